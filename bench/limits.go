package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

// LimitFigures say how close the engine comes to what its surroundings allow.
type LimitFigures struct {
	// Slots is, by number of slots, the part of slots / 20 ms calls per second
	// that was reached against a server which takes 20 ms to answer.
	Slots map[string]float64 `json:"slots,omitempty"`
	// SlotsCPU is how much of one processor the engine had then.
	SlotsCPU map[string]float64 `json:"slots_cpu,omitempty"`

	Lists  *Load `json:"lists,omitempty"`  // single-task runs, submitted in lists
	Chains *Load `json:"chains,omitempty"` // 64 chains of ten tasks at once

	IdleP50     float64 `json:"idle_transition_p50_us,omitempty"` // the server has answered, and gets the next task's request
	IdleP99     float64 `json:"idle_transition_p99_us,omitempty"`
	SyncP50     float64 `json:"sync_p50_us,omitempty"` // 512 bytes written to a file of this disk, and synced
	SyncP99     float64 `json:"sync_p99_us,omitempty"`
	IdleSyncs50 float64 `json:"idle_transition_p50_syncs,omitempty"`
	IdleSyncs99 float64 `json:"idle_transition_p99_syncs,omitempty"`
	CrowdP50    float64 `json:"crowd_transition_p50_us,omitempty"` // the same while another flow runs 100,000 tasks
	CrowdP99    float64 `json:"crowd_transition_p99_us,omitempty"`
	CrowdTPS    float64 `json:"crowd_tasks_ps,omitempty"` // of those
	CrowdRatio  float64 `json:"crowd_p99_ratio,omitempty"`

	// Loaded is, by number of flows that are loaded, what single-task runs cost;
	// "history" is 10,000 of them with 100,000 runs before.
	Loaded map[string]*Load `json:"loaded,omitempty"`
}

// slotCounts are those of the part "slots".
var slotCounts = []int{1, 4, 16, 64, 256, 1024}

// slowAnswer is how long the target takes for /slow.
const slowAnswer = 20 * time.Millisecond

// listRuns is how many runs are submitted in one list.
const listRuns = 500

// slots measures how full slots are kept while a server takes its time.
func (b *bencher) slots(ctx context.Context) error {
	b.Slots, b.SlotsCPU = map[string]float64{}, map[string]float64{}
	for _, slots := range slotCounts {
		ideal := float64(slots) / slowAnswer.Seconds()
		// Where the processor is full before, more runs would only take longer.
		runs := int(min(ideal, 6000) * b.length.Seconds())
		flow := strings.ReplaceAll(b.task("call", ""), b.target, b.target+"slow")
		err := b.withEngine(ctx, engineSetup{Slots: slots, Flows: map[string]string{"slow": flow}}, func(e *engineProcess) error {
			if _, err := submitAll(ctx, e.client, "slow", min(slots, 256)); err != nil { // connections, caches
				return err
			}
			before, err := e.used()
			if err != nil {
				return err
			}
			took, err := submitAll(ctx, e.client, "slow", runs)
			if err != nil {
				return err
			}
			after, err := e.used()
			name := fmt.Sprint(slots)
			b.Slots[name] = float64(runs) / took.Seconds() / ideal
			b.SlotsCPU[name] = (after.CPU - before.CPU).Seconds() / took.Seconds()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// submitAll submits runs in lists and waits until all have ended.
func submitAll(ctx context.Context, c *bus.Client, flow string, runs int) (time.Duration, error) {
	began := time.Now()
	for left := runs; left > 0; {
		list := make([]bus.StartRun, min(listRuns, left))
		for i := range list {
			list[i].Flow = flow
		}
		var answer struct {
			Started int `json:"started"`
			Refused int `json:"refused"`
		}
		if err := c.Call(ctx, "run.start", list, &answer); err != nil {
			return 0, err
		}
		if answer.Started != len(list) {
			return 0, fmt.Errorf("%d of %d runs were started", answer.Started, len(list))
		}
		left -= len(list)
		for ctx.Err() == nil { // some thousand are enough to keep it busy
			open, err := openRuns(ctx, c)
			if err != nil {
				return 0, err
			}
			if open < 8*listRuns && left > 0 || open == 0 {
				break
			}
			pass(ctx, 2*time.Millisecond)
		}
	}
	return time.Since(began), ctx.Err()
}

func openRuns(ctx context.Context, c *bus.Client) (int, error) {
	var st struct {
		Engine engine.NodeStatus `json:"engine"`
	}
	err := c.Call(ctx, "node.status", nil, &st)
	return st.Engine.OpenRuns, err
}

// lists measures single-task runs that are submitted in lists.
func (b *bencher) lists(ctx context.Context) error {
	bare, err := b.bare(ctx)
	if err != nil {
		return err
	}
	w := workload{name: "lists", calls: 1}
	runs := b.cfg.Runs
	if runs <= 0 {
		runs = int(6000 * b.length.Seconds())
	}
	return b.withEngine(ctx, engineSetup{Slots: b.cfg.Node.Slots, Flows: map[string]string{"lists": b.task("call", "")}}, func(e *engineProcess) error {
		if _, err := submitAll(ctx, e.client, "lists", runs/5); err != nil {
			return err
		}
		b.Lists, err = b.measure(e, &w, bare, func() (int, time.Duration, error) {
			took, err := submitAll(ctx, e.client, "lists", runs)
			return runs, took, err
		})
		return err
	})
}

// chainOf is a chain of tasks that call an address each.
func (b *bencher) chainOf(tasks int, address func(i int) string) string {
	var text strings.Builder
	for i := range tasks {
		deps := ""
		if i > 0 {
			deps = fmt.Sprintf("dependencies = [\"t%d\"]\n", i-1)
		}
		fmt.Fprintf(&text, "[[tasks]]\nid = \"t%d\"\ntype = \"api_call\"\n%sproperties = { url = %q }\n", i, deps, address(i))
	}
	return text.String()
}

// manyChains measures 64 chains of ten tasks at once.
func (b *bencher) manyChains(ctx context.Context) (err error) {
	w := workload{name: "chains", calls: benchChain, open: 64, flow: b.chainOf(benchChain, func(int) string { return b.target })}
	b.Chains, err = b.load(ctx, &w)
	return err
}

// gapFlow is a chain whose transitions the target measures.
func (b *bencher) gapFlow() string {
	return b.chainOf(benchChain, func(i int) string {
		if i == 0 {
			return b.target + "gap?first"
		}
		return b.target + "gap"
	})
}

// crowd measures transitions of a small flow, as the server sees them: alone,
// beside syncs of the same disk, and while another flow runs 100,000 tasks.
func (b *bencher) crowd(ctx context.Context) error {
	var big strings.Builder
	for i := range benchGrowth {
		big.WriteString(b.task(fmt.Sprintf("t%d", i), ""))
	}
	flows := map[string]string{"small": b.gapFlow(), "big": big.String()}
	return b.withEngine(ctx, engineSetup{Slots: b.cfg.Node.Slots, Flows: flows}, func(e *engineProcess) error {
		small := func(more func() bool) (gaps []float64, err error) {
			if _, err := b.takeGaps(ctx); err != nil {
				return nil, err
			}
			for more() {
				if err := e.client.Call(ctx, "run.start", bus.StartRun{Flow: "small", Wait: json.RawMessage("60")}, new(json.RawMessage)); err != nil {
					return nil, err
				}
			}
			return b.takeGaps(ctx)
		}
		for began := time.Now(); time.Since(began) < b.length/4; { // to warm up
			if _, err := small(func() bool { return time.Since(began) < b.length/4 }); err != nil {
				return err
			}
		}
		syncs, err := syncTimes(100)
		if err != nil {
			return err
		}
		began := time.Now()
		gaps, err := small(func() bool { return time.Since(began) < b.length })
		if err != nil {
			return err
		}
		more, err := syncTimes(100)
		if err != nil {
			return err
		}
		syncs = append(syncs, more...)
		b.IdleP50, b.IdleP99 = quantile(gaps, 0.5), quantile(gaps, 0.99)
		b.SyncP50, b.SyncP99 = quantile(syncs, 0.5), quantile(syncs, 0.99)
		b.IdleSyncs50, b.IdleSyncs99 = b.IdleP50/b.SyncP50, b.IdleP99/b.SyncP50
		began = time.Now()
		for range 100_000 / benchGrowth {
			if err := e.client.Call(ctx, "run.start", bus.StartRun{Flow: "big"}, new(json.RawMessage)); err != nil {
				return err
			}
		}
		open := 1
		gaps, err = small(func() bool {
			if err == nil {
				open, err = openRuns(ctx, e.client)
			}
			return err == nil && open > 0 && ctx.Err() == nil
		})
		b.CrowdP50, b.CrowdP99 = quantile(gaps, 0.5), quantile(gaps, 0.99)
		b.CrowdTPS, b.CrowdRatio = 100_000/time.Since(began).Seconds(), b.CrowdP99/b.IdleP99
		return err
	})
}

// loaded measures whether what else is there makes runs cost more.
func (b *bencher) loaded(ctx context.Context) error {
	bare, err := b.bare(ctx)
	if err != nil {
		return err
	}
	runs := b.cfg.Runs
	if runs <= 0 {
		runs = 20_000
	}
	b.Loaded = map[string]*Load{}
	for _, flows := range []int{1, 100, 10_000} {
		files := map[string]string{"single": b.task("call", "")}
		for i := 1; i < flows; i++ {
			files[fmt.Sprintf("flow_%d", i)] = b.task("call", "")
		}
		w := workload{name: fmt.Sprintf("loaded_%d", flows), calls: 1}
		in := bus.StartRun{Flow: "single", Wait: json.RawMessage("60")}
		err := b.withEngine(ctx, engineSetup{Slots: b.cfg.Node.Slots, Flows: files}, func(e *engineProcess) error {
			if _, _, err := drive(ctx, e.client, in, benchOpen, runs/4, 0); err != nil {
				return err
			}
			measured := func(name string) (err error) {
				b.Loaded[name], err = b.measure(e, &w, bare, func() (int, time.Duration, error) { return drive(ctx, e.client, in, benchOpen, runs, 0) })
				return err
			}
			if err := measured(fmt.Sprint(flows)); err != nil || flows < 10_000 {
				return err
			}
			b.tell("100,000 runs before the last measurement")
			if _, err := submitAll(ctx, e.client, "single", 100_000); err != nil {
				return err
			}
			return measured("history")
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// takeGaps are the transitions, in microseconds, that the target has seen since
// they were taken last.
func (b *bencher) takeGaps(ctx context.Context) (gaps []float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.target+"gaps", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(text, &gaps)
	}
	return gaps, err
}

// syncTimes are the times, in microseconds, that writing 512 bytes to a file
// and syncing it takes.
func syncTimes(n int) (times []float64, err error) {
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for range n {
		began := time.Now()
		if _, err := f.Write(make([]byte, 512)); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		times = append(times, float64(time.Since(began).Nanoseconds())/1e3)
	}
	return times, nil
}

// quantile is the value below which a part of the list is; 0 of none.
func quantile(list []float64, part float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}
