package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/node"
)

// breakerPairs is how often a rate with breaker is held against one without.
const breakerPairs = 8

// breaker measures what circuit breakers cost: short turns with and without,
// on one node, and the median of their ratios.
func (b *bencher) breaker(ctx context.Context) error {
	task := b.task("call", "")
	flows := map[string]string{"single": task, "free": strings.Replace(task, "{ url", "{ breaker = false, url", 1)}
	return b.withNode(ctx, 0, false, flows, func(_ *node.Node, c *bus.Client) error {
		var costs []float64
		for i := range breakerPairs {
			rates := map[string]float64{}
			order := []string{"single", "free"}
			if i%2 == 1 {
				slices.Reverse(order)
			}
			for _, flow := range order {
				tps, err := b.rate(ctx, c, flow, b.length/2)
				if err != nil {
					return err
				}
				rates[flow] = tps
			}
			costs = append(costs, 100*(1-rates["single"]/rates["free"]))
		}
		b.BreakerCost = median(costs)
		return nil
	})
}

// rate counts finished runs of a flow per second, after a warm-up.
func (b *bencher) rate(ctx context.Context, c *bus.Client, flow string, length time.Duration) (float64, error) {
	var n atomic.Int64
	var failed atomic.Value
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for range benchOpen {
		wg.Go(func() {
			for ctx.Err() == nil {
				var doc json.RawMessage // not decoded: the caller's work is not the engine's
				err := c.Call(ctx, "run.start", bus.StartRun{Flow: flow, Wait: json.RawMessage("60")}, &doc)
				switch {
				case ctx.Err() != nil:
				case err != nil:
					failed.Store(err)
					cancel()
				case !bytes.Contains(doc, []byte(`"status":"success"`)):
					failed.Store(fmt.Errorf("a run did not succeed: %.300s", doc))
					cancel()
				default:
					n.Add(1)
				}
			}
		})
	}
	pass(ctx, length/4)
	before, began := n.Load(), time.Now()
	pass(ctx, length)
	tps := float64(n.Load()-before) / time.Since(began).Seconds()
	cancel()
	wg.Wait()
	if err, bad := failed.Load().(error); bad {
		return 0, err
	}
	return tps, nil
}

func pass(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// chains measures the idle transition: a task is done to the next request is
// sent, in a chain of ten, with sync and without.
func (b *bencher) chains(ctx context.Context) error {
	var text strings.Builder
	for i := range benchChain {
		deps := ""
		if i > 0 {
			deps = fmt.Sprintf("dependencies = [\"t%d\"]\n", i-1)
		}
		text.WriteString(b.task(fmt.Sprintf("t%d", i), deps))
	}
	for _, sync := range []time.Duration{0, 2 * time.Minute} {
		err := b.withNode(ctx, sync, false, map[string]string{"chain": text.String()}, func(n *node.Node, c *bus.Client) error {
			var gaps []float64
			for began := time.Now(); time.Since(began) < b.length/2; {
				doc := new(engine.RunDoc)
				if err := c.Call(ctx, "run.start", bus.StartRun{Flow: "chain", Wait: json.RawMessage("60")}, doc); err != nil {
					return err
				}
				gaps = append(gaps, transition(doc))
			}
			slices.Sort(gaps)
			p50 := gaps[len(gaps)/2]
			if sync == 0 {
				b.ChainP50 = p50
			} else {
				b.ChainNoSyncP50 = p50
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// transition is the mean time, in microseconds, between the end of one task of
// a chain and the start of the next: the run's own span less its calls, over
// its tasks. What submission and end cost is in it.
func transition(doc *engine.RunDoc) float64 {
	calls := 0.0
	for i := range doc.Tasks {
		calls += doc.Tasks[i].DurationMS
	}
	return (doc.DurationMS - calls) * 1000 / float64(len(doc.Tasks))
}

// fanout measures one task, a thousand, and one that joins them.
func (b *bencher) fanout(ctx context.Context) error {
	bare, err := b.bare(ctx)
	if err != nil {
		return err
	}
	var text, all strings.Builder
	text.WriteString(b.task("first", ""))
	for i := range benchFan {
		text.WriteString(b.task(fmt.Sprintf("t%d", i), "dependencies = [\"first\"]\n"))
		fmt.Fprintf(&all, "\"t%d\", ", i)
	}
	text.WriteString(b.task("last", "dependencies = ["+all.String()+"]\n"))
	return b.withNode(ctx, 0, false, map[string]string{"fan": text.String()}, func(_ *node.Node, c *bus.Client) error {
		tasks, spent := 0, time.Duration(0)
		for spent < b.length/2 || tasks < 3*benchFan {
			began := time.Now()
			doc := new(engine.RunDoc)
			if err := c.Call(ctx, "run.start", bus.StartRun{Flow: "fan", Wait: json.RawMessage("60")}, doc); err != nil {
				return err
			}
			if doc.Status != engine.Success {
				return fmt.Errorf("run %s: %s", doc.RunID, doc.Status)
			}
			spent += time.Since(began)
			tasks += benchFan + 2
		}
		b.FanoutTPS = float64(tasks) / spent.Seconds()
		b.FanoutRatio = b.FanoutTPS / bare
		return nil
	})
}

// triggers measures how fast a plain client may publish triggers that are
// acknowledged as stored.
func (b *bencher) triggers(ctx context.Context) error {
	return b.withNode(ctx, 0, true, nil, func(n *node.Node, _ *bus.Client) error {
		var sent atomic.Int64
		ctx, cancel := context.WithTimeout(ctx, b.length/2)
		defer cancel()
		var wg sync.WaitGroup
		began := time.Now()
		for range benchOpen {
			wg.Go(func() {
				for ctx.Err() == nil {
					if _, err := n.Bus.JetStream().Publish(ctx, bus.TriggerSubject("nothing"), []byte(`{"customer":7}`)); err == nil {
						sent.Add(1)
					}
				}
			})
		}
		wg.Wait()
		b.TriggerPS = float64(sent.Load()) / time.Since(began).Seconds()
		return nil
	})
}

// growth compares one flow of ten thousand tasks with ten thousand runs of one.
func (b *bencher) growth(ctx context.Context) error {
	var text strings.Builder
	for i := range benchGrowth {
		text.WriteString(b.task(fmt.Sprintf("t%d", i), ""))
	}
	flows := map[string]string{"big": text.String(), "single": b.task("call", "")}
	return b.withNode(ctx, 0, false, flows, func(_ *node.Node, c *bus.Client) error {
		began := time.Now()
		doc := new(engine.RunDoc)
		if err := c.Call(ctx, "run.start", bus.StartRun{Flow: "big", Wait: json.RawMessage("120")}, doc); err != nil {
			return err
		}
		if doc.Status != engine.Success {
			return fmt.Errorf("run of %d tasks: %s", benchGrowth, doc.Status)
		}
		b.OneFlowUS = float64(time.Since(began).Microseconds()) / benchGrowth
		took, err := b.fill(ctx, c, benchGrowth)
		b.ManyFlowsUS = float64(took.Microseconds()) / benchGrowth
		b.GrowthRatio = b.OneFlowUS / b.ManyFlowsUS
		return err
	})
}

// fill makes a number of single-task runs and waits for all of them.
func (b *bencher) fill(ctx context.Context, c *bus.Client, runs int) (time.Duration, error) {
	var next atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	began := time.Now()
	for range benchOpen {
		wg.Go(func() {
			for int(next.Add(1)) <= runs && failed.Load() == nil && ctx.Err() == nil {
				if err := c.Call(ctx, "run.start", bus.StartRun{Flow: "single", Wait: json.RawMessage("60")}, new(engine.RunDoc)); err != nil {
					failed.Store(err)
				}
			}
		})
	}
	wg.Wait()
	err, _ := failed.Load().(error)
	return time.Since(began), err
}
