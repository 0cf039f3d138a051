package main

import (
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
