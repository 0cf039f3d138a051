package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/node"
)

// Load is what a kind of run was measured to cost. What counts is the engine's
// process alone; the target, and whoever starts the runs, are others. Noise
// from elsewhere on the machine moves rates, and the rest hardly.
type Load struct {
	Runs     int     `json:"runs"`
	TPS      float64 `json:"tps"`              // runs per second
	Ratio    float64 `json:"ratio"`            // calls per second, of the bare client's
	CPU      float64 `json:"cpu_us_per_run"`   // processor time of the engine
	CPUCalls float64 `json:"cpu_bare_calls"`   // the same, for each of the run's calls, in calls of the bare client
	Allocs   float64 `json:"allocs_per_run"`   //
	Bytes    float64 `json:"bytes_per_run"`    // allocated
	Messages float64 `json:"messages_per_run"` // stored in streams
	Syncs    float64 `json:"syncs_per_run"`    // of those, the ones that wait for the disk
}

// workload is a kind of run.
type workload struct {
	name  string
	flow  string // the flow file
	calls int    // of one run
	start bus.StartRun
	setup func(context.Context, *bus.Client) error
	quiet bool // without events and XCom bucket
	open  int  // runs at a time; 0 means 256
}

// userWork is a flow like a user's: variables from the trigger, a URL of three
// expressions, a credential, and a value that the next task reads.
func (b *bencher) userWork() workload {
	flow := `[variables]
customer = 0
region = ""
limit = 10
note = ""

[[tasks]]
id = "fetch"
type = "api_call"
[tasks.properties]
url = "` + b.target + `customers/{{ customer }}/orders?region={{ region | lower }}&limit={{ limit }}"
auth_type = "bearer"
credential_id = "shop"

[[tasks]]
id = "confirm"
type = "api_call"
dependencies = ["fetch"]
[tasks.properties]
url = "` + b.target + `orders/{{ xcom_fetch.id }}?status={{ xcom_fetch.status }}"
`
	return workload{
		name: "user", flow: flow, calls: 2,
		start: bus.StartRun{Variables: json.RawMessage(`{"customer":8817,"region":"EU-WEST","limit":50,"note":"started by the bench"}`)},
		setup: func(ctx context.Context, c *bus.Client) error {
			return c.Admin(ctx, "credential.store", json.RawMessage(`{"credential_id":"shop","type":"custom","data":{"token":"bench-token-4711"}}`), new(node.CredentialStored))
		},
	}
}

// single measures runs through run.start, with 256 of them open at a time: of
// one task, and the same without events and XCom.
func (b *bencher) single(ctx context.Context) error {
	one := workload{name: "single", flow: b.task("call", ""), calls: 1}
	quiet := one
	quiet.name, quiet.quiet = "single_no_events", true
	var err error
	if b.Single, err = b.load(ctx, &one); err == nil {
		b.SingleQuiet, err = b.load(ctx, &quiet)
	}
	return err
}

// user measures runs like a user's in the same way.
func (b *bencher) user(ctx context.Context) (err error) {
	w := b.userWork()
	b.User, err = b.load(ctx, &w)
	return err
}

// load measures a kind of run on a fresh engine.
func (b *bencher) load(ctx context.Context, w *workload) (l *Load, err error) {
	bare, err := b.bare(ctx)
	if err != nil {
		return nil, err
	}
	setup := engineSetup{NoViews: w.quiet, Slots: b.cfg.Node.Slots, Flows: map[string]string{w.name: w.flow}}
	err = b.withEngine(ctx, setup, func(e *engineProcess) error {
		if w.setup != nil {
			if err := w.setup(ctx, e.client); err != nil {
				return err
			}
		}
		in := w.start
		in.Flow, in.Wait = w.name, json.RawMessage("60")
		if _, _, err := drive(ctx, e.client, in, cmp.Or(w.open, benchOpen), b.cfg.Runs/5, b.length/4); err != nil { // to warm up
			return err
		}
		l, err = b.measure(e, w, bare, func() (int, time.Duration, error) {
			return drive(ctx, e.client, in, cmp.Or(w.open, benchOpen), b.cfg.Runs, b.length)
		})
		return err
	})
	return l, err
}

// measure says what the runs that do makes have cost the engine.
func (b *bencher) measure(e *engineProcess, w *workload, bare float64, do func() (int, time.Duration, error)) (*Load, error) {
	if b.cfg.Profile != "" {
		if _, err := e.ask(engineAsk{Profile: filepath.Join(b.cfg.Profile, w.name)}); err != nil {
			return nil, err
		}
	}
	before, err := e.used()
	if err != nil {
		return nil, err
	}
	runs, took, err := do()
	if err != nil {
		return nil, err
	}
	after, err := e.used()
	if err != nil {
		return nil, err
	}
	if b.cfg.Profile != "" {
		if _, err := e.ask(engineAsk{Stop: true}); err != nil {
			return nil, err
		}
	}
	n := float64(runs)
	l := &Load{
		Runs: runs, TPS: n / took.Seconds(), CPU: float64((after.CPU - before.CPU).Nanoseconds()) / 1e3 / n,
		Allocs: float64(after.Allocs-before.Allocs) / n, Bytes: float64(after.Bytes-before.Bytes) / n,
		Messages: float64(after.Messages-before.Messages) / n, Syncs: float64(after.Syncs-before.Syncs) / n,
	}
	l.Ratio = l.TPS * float64(w.calls) / bare
	if b.BareCPU > 0 {
		l.CPUCalls = l.CPU / float64(w.calls) / b.BareCPU
	}
	return l, nil
}

// drive makes runs, with some of them open at a time, and waits for the end of
// each: so many, or, where that is 0, for a length of time.
func drive(ctx context.Context, c *bus.Client, in bus.StartRun, open, runs int, length time.Duration) (done int, took time.Duration, err error) {
	var begun, ended atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	began := time.Now()
	more := func() bool {
		if ctx.Err() != nil || failed.Load() != nil {
			return false
		}
		if runs > 0 {
			return begun.Add(1) <= int64(runs)
		}
		return time.Since(began) < length
	}
	for range open {
		wg.Go(func() {
			for more() {
				var doc json.RawMessage // not decoded: the caller's work is not the engine's
				err := c.Call(ctx, "run.start", in, &doc)
				switch {
				case err != nil:
					failed.Store(err)
				case !bytes.Contains(doc, []byte(`"status":"success"`)):
					failed.Store(fmt.Errorf("a run did not succeed: %.600s", doc))
				default:
					ended.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if err, bad := failed.Load().(error); bad {
		return 0, 0, err
	}
	return int(ended.Load()), time.Since(began), ctx.Err()
}
