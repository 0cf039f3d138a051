// Package bench measures the engine against a bare HTTP client, on this machine
// and in one run, so that ratios hold where absolute numbers do not.
//
// It stands beside the commands, above node: it opens nodes in this process,
// and starts the target server and serving nodes as processes of their own.
package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/node"
)

// Config is how the bench is run.
type Config struct {
	Node      node.Config   // of the nodes that it opens; DataDir and Sync are its own
	Parts     []string      // what to measure, of Parts
	Length    time.Duration // of each measurement of a rate
	Runs      int           // for the parts that make runs: so many; 0: as many as come in Length, or the default of the part
	Profile   string        // folder for profiles of the engine in those parts; "": none
	StoreRuns int           // finished runs in the store, for the part "store"
	// ObjectBytes is the size of the object of the part "object"; 0 means
	// DefaultObjectBytes.
	ObjectBytes int64
	HistoryRuns int // runs of the part "history"; 0 means DefaultHistoryRuns
	Begin       func(part string)
	Tell        func(text string) // what a part that takes minutes is doing; nil: nobody wants to know
}

// usual are the parts that are measured where none is named, unusual those that
// take room on the disk, and time.
var (
	usual   = []string{"single", "user", "tables", "metrics", "pages", "traces", "hooks", "breaker", "chain", "fanout", "triggers", "sql", "serve", "growth"}
	unusual = []string{"lists", "chains", "slots", "crowd", "loaded", "burst", "object", "memory", "soak", "store", "history"}
)

// Parts are the parts, in the order in which they run.
func Parts() []string { return slices.Concat(usual, unusual) }

// UsualParts are those that are measured where none is named.
func UsualParts() []string { return slices.Clone(usual) }

// What the bench does.
const (
	benchOpen   = 256  // runs open at a time
	benchFan    = 1000 // tasks of the fan-out
	benchChain  = 10   // tasks of the chain
	benchGrowth = 10_000
)

// Figures is what the bench measures. A ratio is against the bare client of
// the same run. Times are in microseconds where the name says us.
type Figures struct {
	BareRPS         float64 `json:"bare_rps,omitempty"`
	BareCPU         float64 `json:"bare_cpu_us,omitempty"` // processor time of the bare client for one call
	Single          *Load   `json:"single,omitempty"`
	SingleQuiet     *Load   `json:"single_no_events,omitempty"`
	User            *Load   `json:"user,omitempty"`
	TablesRatio     float64 `json:"tables_ratio,omitempty"` // with the SQL tables, of without
	TablesCPU       float64 `json:"tables_cpu_us_per_task,omitempty"`
	MetricsRatio    float64 `json:"metrics_ratio,omitempty"` // with the metrics, asked for every second, of without
	MetricsCPU      float64 `json:"metrics_cpu_us_per_task,omitempty"`
	TracesRatio     float64 `json:"traces_ratio,omitempty"` // with traces, to a collector that throws them away, of without
	TracesCPU       float64 `json:"traces_cpu_us_per_task,omitempty"`
	HooksRatio      float64 `json:"hooks_ratio,omitempty"` // with a hook in C that checks every response of 1 KB, of without
	HooksCPU        float64 `json:"hooks_cpu_us_per_task,omitempty"`
	BreakerCost     float64 `json:"breaker_cost_percent,omitempty"`
	ChainP50        float64 `json:"chain_transition_p50_us,omitempty"`
	ChainNoSyncP50  float64 `json:"chain_transition_nosync_p50_us,omitempty"`
	FanoutTPS       float64 `json:"fanout_tps,omitempty"`
	FanoutRatio     float64 `json:"fanout_ratio,omitempty"`
	TriggerPS       float64 `json:"trigger_publish_ps,omitempty"`
	ReadyMS         float64 `json:"serve_ready_ms,omitempty"`
	IdleRSSMiB      float64 `json:"serve_idle_rss_mib,omitempty"`
	IdleCPU         float64 `json:"serve_idle_cpu_percent,omitempty"`
	StoreRuns       int     `json:"store_runs,omitempty"`
	StoreStartMS    float64 `json:"store_start_to_request_ms,omitempty"`
	StoreRSSMiB     float64 `json:"store_rss_mib,omitempty"`
	StoreIdleRSSMiB float64 `json:"store_idle_rss_mib,omitempty"`
	MemoryFlow      float64 `json:"memory_flow_bytes,omitempty"`
	MemoryEnded     float64 `json:"memory_ended_run_bytes,omitempty"`
	MemoryKey       float64 `json:"memory_key_bytes,omitempty"`
	MemoryOpen      float64 `json:"memory_open_run_bytes,omitempty"`
	RestartMS       float64 `json:"memory_restart_ms,omitempty"`
	OneFlowUS       float64 `json:"growth_one_flow_us_per_task,omitempty"`
	ManyFlowsUS     float64 `json:"growth_many_runs_us_per_task,omitempty"`
	GrowthRatio     float64 `json:"growth_ratio,omitempty"`
	BurstP99        float64 `json:"burst_other_flow_p99_ms,omitempty"`
	BurstRSSMiB     float64 `json:"burst_rss_mib,omitempty"`
	BurstStoredPS   float64 `json:"burst_stored_ps,omitempty"`
	BurstTakenPS    float64 `json:"burst_run_ps,omitempty"`
	InvalidP99      float64 `json:"burst_invalid_other_flow_p99_ms,omitempty"`
	InvalidRSSMiB   float64 `json:"burst_invalid_rss_mib,omitempty"`
	InvalidTakenPS  float64 `json:"burst_invalid_taken_ps,omitempty"`
	ObjectMiB       float64 `json:"object_mib,omitempty"`
	ObjectDown      float64 `json:"object_download_mib_ps,omitempty"`
	ObjectUp        float64 `json:"object_upload_mib_ps,omitempty"`
	ObjectRSSMiB    float64 `json:"object_rss_growth_mib,omitempty"`
	LimitFigures
	SoakFigures
	SQLFigures
	PageFigures
	HistoryFigures
}

// HistoryFigures are those of the part "history". Commands are timed from the
// start of their process to its end.
type HistoryFigures struct {
	HistoryRuns       int     `json:"history_runs,omitempty"`
	HistoryOperations int     `json:"history_operations,omitempty"`
	HistoryWriteS     float64 `json:"history_write_s,omitempty"`   // into the ledger
	HistoryViewsS     float64 `json:"history_views_s,omitempty"`   // start on that ledger until every view shows it
	HistoryRebuildS   float64 `json:"history_rebuild_s,omitempty"` // start without tables until they are made again
	HistoryRebuildCPU float64 `json:"history_rebuild_cpu_s,omitempty"`
	HistoryRowsPS     float64 `json:"history_rows_ps,omitempty"` // of that
	HistoryRSSMiB     float64 `json:"history_rss_mib,omitempty"` // at rest
	HistoryListMS     float64 `json:"history_runs_list_ms,omitempty"`
	HistoryFailedMS   float64 `json:"history_runs_list_status_ms,omitempty"`
	HistoryFlowMS     float64 `json:"history_runs_list_flow_ms,omitempty"`
	HistoryNoneMS     float64 `json:"history_runs_list_none_ms,omitempty"` // where no run fits
	HistoryShowMS     float64 `json:"history_runs_show_ms,omitempty"`
	HistoryShowEndMS  float64 `json:"history_runs_show_ending_ms,omitempty"` // named by the end of its id
	HistoryLogsMS     float64 `json:"history_logs_run_ms,omitempty"`
	HistoryLastMS     float64 `json:"history_logs_limit_ms,omitempty"` // the last 100 of a flow
	HistoryLast100MS  float64 `json:"history_last_100_ms,omitempty"`   // the same, asked of the node
	HistoryStatusMS   float64 `json:"history_status_ms,omitempty"`
}

// Run measures the parts one after the other.
func Run(ctx context.Context, cfg Config) (*Figures, error) {
	target, stop, err := startTarget(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	b := &bencher{cfg: cfg, target: target, length: cfg.Length}
	steps := map[string]func(context.Context) error{
		"single": b.single, "user": b.user, "tables": b.tables, "metrics": b.metrics, "pages": b.pages, "traces": b.traces, "hooks": b.hooks, "breaker": b.breaker, "chain": b.chains, "fanout": b.fanout, "triggers": b.triggers, "sql": b.sql,
		"serve": b.serve, "growth": b.growth, "lists": b.lists, "chains": b.manyChains, "slots": b.slots, "crowd": b.crowd, "loaded": b.loaded,
		"burst": b.burst, "object": b.object, "memory": b.memory, "soak": b.soak, "store": b.store, "history": b.history,
	}
	for _, name := range Parts() {
		if !slices.Contains(cfg.Parts, name) {
			continue
		}
		cfg.Begin(name)
		if err := steps[name](ctx); err != nil {
			return nil, fmt.Errorf("measure %s: %w", name, err)
		}
	}
	return &b.Figures, nil
}

// bencher holds the target and what was measured so far.
type bencher struct {
	cfg    Config
	target string
	length time.Duration
	Figures
}

// tell says what is being done.
func (b *bencher) tell(format string, args ...any) {
	if b.cfg.Tell != nil {
		b.cfg.Tell(fmt.Sprintf(format, args...))
	}
}

// bare measures a tuned net/http client at the worker's concurrency, once.
func (b *bencher) bare(ctx context.Context) (float64, error) {
	if b.BareRPS > 0 {
		return b.BareRPS, nil
	}
	slots := b.cfg.Node.Slots
	tr := &http.Transport{MaxIdleConnsPerHost: slots, MaxConnsPerHost: slots, DisableCompression: true}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	ctx, cancel := context.WithTimeout(ctx, b.length)
	defer cancel()
	var n atomic.Int64
	var wg sync.WaitGroup
	began, used := time.Now(), processorTime()
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
	b.BareCPU = float64((processorTime() - used).Nanoseconds()) / 1e3 / float64(n.Load())
	return b.BareRPS, nil
}

// withNode runs fn on a fresh node with a client of its own.
func (b *bencher) withNode(ctx context.Context, sync time.Duration, noViews bool, flows map[string]string, fn func(*node.Node, *bus.Client) error) error {
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cfg := b.cfg.Node
	cfg.DataDir, cfg.Sync, cfg.NoViews = dir, sync, noViews
	return b.with(ctx, cfg, flows, fn)
}

// with runs fn on a node with flows and a client of its own.
func (b *bencher) with(ctx context.Context, cfg node.Config, flows map[string]string, fn func(*node.Node, *bus.Client) error) error {
	n, err := node.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer n.Close()
	for name, text := range flows {
		flow, _, err := flowfile.Parse(name+".toml", []byte(text), n.Types)
		if err != nil {
			return err
		}
		if _, err := n.Engine.PutFlow(ctx, flow); err != nil {
			return err
		}
	}
	c, err := n.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	return fn(n, c)
}

func (b *bencher) task(id, deps string) string {
	return fmt.Sprintf("[[tasks]]\nid = %q\ntype = \"api_call\"\n%sproperties = { url = %q }\n", id, deps, b.target)
}
