package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
)

// What the bench does.
const (
	benchOpen   = 256  // runs open at a time
	benchFan    = 1000 // tasks of the fan-out
	benchChain  = 10   // tasks of the chain
	benchGrowth = 10_000
)

// figures is what the bench measures. A ratio is against the bare client of
// the same run. Times are in microseconds where the name says us.
type figures struct {
	BareRPS          float64 `json:"bare_rps,omitempty"`
	SingleTPS        float64 `json:"single_tps,omitempty"`
	SingleRatio      float64 `json:"single_ratio,omitempty"`
	SingleQuietTPS   float64 `json:"single_no_events_tps,omitempty"`
	SingleQuietRatio float64 `json:"single_no_events_ratio,omitempty"`
	BreakerCost      float64 `json:"breaker_cost_percent,omitempty"`
	ChainP50         float64 `json:"chain_transition_p50_us,omitempty"`
	ChainNoSyncP50   float64 `json:"chain_transition_nosync_p50_us,omitempty"`
	FanoutTPS        float64 `json:"fanout_tps,omitempty"`
	FanoutRatio      float64 `json:"fanout_ratio,omitempty"`
	TriggerPS        float64 `json:"trigger_publish_ps,omitempty"`
	ReadyMS          float64 `json:"serve_ready_ms,omitempty"`
	IdleRSSMiB       float64 `json:"serve_idle_rss_mib,omitempty"`
	IdleCPU          float64 `json:"serve_idle_cpu_percent,omitempty"`
	StoreRuns        int     `json:"store_runs,omitempty"`
	StoreStartMS     float64 `json:"store_start_to_request_ms,omitempty"`
	StoreRSSMiB      float64 `json:"store_rss_mib,omitempty"`
	OneFlowUS        float64 `json:"growth_one_flow_us_per_task,omitempty"`
	ManyFlowsUS      float64 `json:"growth_many_runs_us_per_task,omitempty"`
	GrowthRatio      float64 `json:"growth_ratio,omitempty"`
}

// benchParts are the parts, in the order in which they run.
var benchParts = []string{"single", "breaker", "chain", "fanout", "triggers", "serve", "growth", "store"}

func (a *app) benchCommand() *cobra.Command {
	var parts []string
	var length time.Duration
	var storeRuns int
	c := &cobra.Command{
		Use: "bench", Short: "Measure the engine against a bare HTTP client",
		Long: `Starts a target HTTP server as a process of its own (200-byte JSON), measures a
bare net/http client against it, and then the engine with sync = "always",
XCom and events on. Ratios are of one run on this machine.

Parts: ` + strings.Join(benchParts, ", ") + ". The last, store, fills a store with finished runs and takes minutes.",
		Example: "  qarion bench --part single --part chain\n  qarion bench --output json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, p := range parts {
				if !slices.Contains(benchParts, p) {
					return usageError(fmt.Errorf("--part is %q, want one of %s", p, strings.Join(benchParts, ", ")))
				}
			}
			return a.bench(c.Context(), parts, length, storeRuns)
		},
	}
	c.Flags().StringArrayVar(&parts, "part", benchParts[:7], "what to measure; may be repeated")
	c.Flags().DurationVar(&length, "time", 4*time.Second, "how long each rate is measured")
	c.Flags().IntVar(&storeRuns, "store-runs", 100_000, "finished runs in the store, for the part store")
	return c
}

// bench measures the parts one after the other.
func (a *app) bench(ctx context.Context, parts []string, length time.Duration, storeRuns int) error {
	target, stop, err := startTarget(ctx)
	if err != nil {
		return err
	}
	defer stop()
	b := &bencher{app: a, target: target, length: length, storeRuns: storeRuns}
	steps := map[string]func(context.Context) error{
		"single": b.single, "breaker": b.breaker, "chain": b.chains, "fanout": b.fanout, "triggers": b.triggers,
		"serve": b.serve, "growth": b.growth, "store": b.store,
	}
	for _, name := range benchParts {
		if !slices.Contains(parts, name) {
			continue
		}
		if !a.flags.quiet {
			fmt.Fprintf(a.ui.err, "measuring %s ...\n", name)
		}
		if err := steps[name](ctx); err != nil {
			return fmt.Errorf("measure %s: %w", name, err)
		}
	}
	if a.json() {
		return a.printJSON(b.figures)
	}
	return a.printFigures(&b.figures)
}

func (a *app) printFigures(f *figures) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	t := newTable("FIGURE", "VALUE").alignRight(1)
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		v, err := d.Token()
		if err != nil {
			return err
		}
		n, _ := v.(float64)
		t.add(fmt.Sprint(name), strings.TrimSuffix(fmt.Sprintf("%.2f", n), ".00"))
	}
	a.ui.printTable(t)
	return nil
}

// bencher holds the target and what was measured so far.
type bencher struct {
	app       *app
	target    string
	length    time.Duration
	storeRuns int
	figures
}

// bare measures a tuned net/http client at the worker's concurrency, once.
func (b *bencher) bare(ctx context.Context) (float64, error) {
	if b.BareRPS > 0 {
		return b.BareRPS, nil
	}
	slots := b.app.cfg.Worker.Slots
	tr := &http.Transport{MaxIdleConnsPerHost: slots, MaxConnsPerHost: slots, DisableCompression: true}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	ctx, cancel := context.WithTimeout(ctx, b.length)
	defer cancel()
	var n atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range slots {
		wg.Go(func() {
			for ctx.Err() == nil {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.target, nil)
				if err != nil {
					return
				}
				resp, err := client.Do(req)
				if err != nil {
					return
				}
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				if err == nil {
					n.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n.Load() == 0 {
		return 0, fmt.Errorf("the bare client made no call against %s", b.target)
	}
	b.BareRPS = float64(n.Load()) / time.Since(began).Seconds()
	return b.BareRPS, nil
}

// withNode runs fn on a fresh node with a client of its own.
func (b *bencher) withNode(ctx context.Context, sync string, noViews bool, flows map[string]string, fn func(*node, *bus.Client) error) error {
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cfg := *b.app.cfg
	cfg.Storage.Sync = sync
	n, err := openNode(ctx, &cfg, nodeOptions{dataDir: dir, noViews: noViews, log: quietLogger(b.app)})
	if err != nil {
		return err
	}
	defer n.Close()
	for name, text := range flows {
		flow, _, err := flowfile.Parse(name+".toml", []byte(text), n.types)
		if err != nil {
			return err
		}
		if _, err := n.engine.PutFlow(ctx, flow); err != nil {
			return err
		}
	}
	c, err := n.client()
	if err != nil {
		return err
	}
	defer c.Close()
	return fn(n, c)
}

func (b *bencher) task(id, deps string) string {
	return fmt.Sprintf("[[tasks]]\nid = %q\ntype = \"api_call\"\n%sproperties = { url = %q }\n", id, deps, b.target)
}

// single submits single-task flows through run.start, with 256 runs open at a
// time.
func (b *bencher) single(ctx context.Context) error {
	bare, err := b.bare(ctx)
	if err != nil {
		return err
	}
	flows := map[string]string{"single": b.task("call", "")}
	for _, quiet := range []bool{false, true} {
		err := b.withNode(ctx, "always", quiet, flows, func(_ *node, c *bus.Client) error {
			tps, err := b.rate(ctx, c, "single", b.length)
			if quiet {
				b.SingleQuietTPS, b.SingleQuietRatio = tps, tps/bare
			} else {
				b.SingleTPS, b.SingleRatio = tps, tps/bare
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// breakerPairs is how often a rate with breaker is held against one without.
const breakerPairs = 8

// breaker measures what circuit breakers cost: short turns with and without,
// on one node, and the median of their ratios.
func (b *bencher) breaker(ctx context.Context) error {
	task := b.task("call", "")
	flows := map[string]string{"single": task, "free": strings.Replace(task, "{ url", "{ breaker = false, url", 1)}
	return b.withNode(ctx, "always", false, flows, func(_ *node, c *bus.Client) error {
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
		slices.Sort(costs)
		b.BreakerCost = (costs[breakerPairs/2-1] + costs[breakerPairs/2]) / 2
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
	for _, sync := range []string{"always", "2m"} {
		err := b.withNode(ctx, sync, false, map[string]string{"chain": text.String()}, func(n *node, c *bus.Client) error {
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
			if sync == "always" {
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
	return b.withNode(ctx, "always", false, map[string]string{"fan": text.String()}, func(_ *node, c *bus.Client) error {
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
	return b.withNode(ctx, "always", true, nil, func(n *node, _ *bus.Client) error {
		var sent atomic.Int64
		ctx, cancel := context.WithTimeout(ctx, b.length/2)
		defer cancel()
		var wg sync.WaitGroup
		began := time.Now()
		for range benchOpen {
			wg.Go(func() {
				for ctx.Err() == nil {
					if _, err := n.bus.JetStream().Publish(ctx, bus.TriggerSubject("nothing"), []byte(`{"customer":7}`)); err == nil {
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
	return b.withNode(ctx, "always", false, flows, func(_ *node, c *bus.Client) error {
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
