package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/flows"
	"github.com/qarion/qarion/node"
	"github.com/qarion/qarion/traces"
	"github.com/qarion/qarion/web"
)

// pairs is how often a rate with something is held against one without.
const pairs = 8

// paired measures what something costs a loaded node: short turns of
// single-task runs on two nodes, one with and one without, and the median of
// their ratios and of the processor time that one task costs more, in
// microseconds. beside runs beside the node that has it.
func (b *bencher) paired(ctx context.Context, with, without node.Config, beside func(context.Context, *node.Node)) (ratio, cpu float64, err error) {
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	flows := map[string]string{"single": b.task("call", "")}
	return b.pairedFlows(ctx, dir, with, without, flows, flows, beside)
}

// pairedFlows is paired with flows that may differ; both have one that is called
// single.
func (b *bencher) pairedFlows(ctx context.Context, dir string, with, without node.Config, flowsWith, flowsWithout map[string]string, beside func(context.Context, *node.Node)) (ratio, cpu float64, err error) {
	with.DataDir, without.DataDir = filepath.Join(dir, "with"), filepath.Join(dir, "without")
	err = b.with(ctx, with, flowsWith, func(n *node.Node, on *bus.Client) error {
		return b.with(ctx, without, flowsWithout, func(_ *node.Node, off *bus.Client) error {
			life, stop := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				if beside != nil {
					beside(life, n)
				}
			}()
			ratio, cpu, err = b.turns(ctx, on, off)
			stop()
			<-done
			return err
		})
	})
	return ratio, cpu, err
}

func (b *bencher) turns(ctx context.Context, on, off *bus.Client) (ratio, cpu float64, err error) {
	var ratios, costs []float64
	for i := range pairs {
		var tps, cpu [2]float64 // with, without
		order := []int{0, 1}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, which := range order {
			before, began := processorTime(), time.Now()
			if tps[which], err = b.rate(ctx, []*bus.Client{on, off}[which], "single", b.length/2); err != nil {
				return 0, 0, err
			}
			cpu[which] = float64((processorTime() - before).Microseconds()) / (tps[which] * time.Since(began).Seconds())
		}
		ratios, costs = append(ratios, tps[0]/tps[1]), append(costs, cpu[0]-cpu[1])
	}
	return median(ratios), median(costs), nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// tables measures what the SQL tables cost.
func (b *bencher) tables(ctx context.Context) (err error) {
	with, without := b.cfg.Node, b.cfg.Node
	with.Tables, without.Tables = node.TablesSQLite, node.TablesOff
	b.TablesRatio, b.TablesCPU, err = b.paired(ctx, with, without, nil)
	return err
}

// metrics measures what the metrics cost, with somebody who asks for them every
// second.
func (b *bencher) metrics(ctx context.Context) (err error) {
	with, without := b.cfg.Node, b.cfg.Node
	with.HTTP, without.HTTP = &web.Config{Listen: "127.0.0.1:0"}, nil
	b.MetricsRatio, b.MetricsCPU, err = b.paired(ctx, with, without, scrape)
	return err
}

// traces measures what traces cost that go to a collector in this process.
func (b *bencher) traces(ctx context.Context) (err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	collector := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })}
	go func() { _ = collector.Serve(l) }() // ends with Close
	defer collector.Close()
	with, without := b.cfg.Node, b.cfg.Node
	with.Traces, without.Traces = &traces.Config{Collector: traces.Collector{Endpoint: "http://" + l.Addr().String()}}, nil
	b.TracesRatio, b.TracesCPU, err = b.paired(ctx, with, without, nil)
	return err
}

// scrape asks for the metrics of a node until ctx ends.
func scrape(ctx context.Context, n *node.Node) {
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL()+"/metrics", nil)
		if err != nil {
			return
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
}

// hooks measures what a hook in C costs that checks every response of 1 KB.
func (b *bencher) hooks(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	module, err := flows.Files.ReadFile("hooks/check.wasm")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "check.wasm"), module, 0o600); err != nil {
		return err
	}
	with, without := b.cfg.Node, b.cfg.Node
	with.Hooks = dir
	plain := fmt.Sprintf("[[tasks]]\nid = \"call\"\ntype = \"api_call\"\nproperties = { url = %q }\n", b.target+"list")
	hooked := plain + "[tasks.hooks]\nvalidate = { file = \"check.wasm\", config = { items = \"/items\", min_items = 1 } }\n"
	b.HooksRatio, b.HooksCPU, err = b.pairedFlows(ctx, dir, with, without, map[string]string{"single": hooked}, map[string]string{"single": plain}, nil)
	return err
}
