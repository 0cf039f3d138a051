package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
	"github.com/qarion/qarion/node"
)

// What the history of the part "history" is like: every run has five calls, and
// of a hundred runs one fails and two have a call that is repeated. Four fifths
// of the runs are of one flow.
const (
	// DefaultHistoryRuns is how many runs the part "history" makes.
	DefaultHistoryRuns = 200_000

	historyTasks  = 5
	historyTurn   = 1000 // runs that are written together
	historyAhead  = 2048 // records on their way into the ledger
	historyRepeat = 50   // one run in so many has a repeated call
	historyFail   = 100  // one run in so many fails
	historySpan   = 20 * time.Millisecond
)

// writeHistory makes a data directory with finished runs: their records go
// through the ledger's own writers, as those of a node do, only that no call is
// made. The node that is opened on it next folds and projects all of them.
func (b *bencher) writeHistory(ctx context.Context, dir string, runs int) (operations int, err error) {
	flows := filepath.Join(dir, "flows")
	if err := os.MkdirAll(flows, 0o755); err != nil {
		return 0, err
	}
	var text strings.Builder
	for i := range historyTasks {
		text.WriteString(b.task(fmt.Sprintf("call_%d", i), ""))
	}
	for _, name := range historyFlows {
		if err := os.WriteFile(filepath.Join(flows, name+".toml"), []byte(text.String()), 0o644); err != nil {
			return 0, err
		}
	}
	cfg := b.cfg.Node
	cfg.DataDir, cfg.Flows, cfg.Sync = filepath.Join(dir, "data"), flows, 2*time.Minute
	n, err := node.Open(ctx, cfg) // it stores the flows
	if err != nil {
		return 0, err
	}
	if err := n.Close(); err != nil {
		return 0, err
	}
	server, err := bus.Open(ctx, bus.Config{Dir: filepath.Join(cfg.DataDir, "nats"), SyncInterval: cfg.Sync})
	if err != nil {
		return 0, err
	}
	defer server.Close()
	blobs, err := kvstore.OpenBlobs(ctx, server.Conn())
	if err != nil {
		return 0, err
	}
	ledger, err := server.Ledger(ctx, bus.LedgerConfig{Node: "local", Version: cfg.Version, Blobs: blobs})
	if err != nil {
		return 0, err
	}
	defer ledger.Close()
	h := &historian{ledger: ledger, ids: engine.RunIDs(), now: time.Now().Add(-time.Duration(runs) * historySpan)}
	said := time.Now()
	for h.runs < runs {
		if time.Since(said) >= tellEvery {
			said = time.Now()
			b.tell("%d of %d runs written", h.runs, runs)
		}
		if err := h.turn(ctx, min(historyTurn, runs-h.runs)); err != nil {
			return 0, err
		}
	}
	return h.operations, nil
}

// historyFlows are the flows of the history; the first has most of it.
var historyFlows = []string{"orders", "stock", "refunds"}

// historian writes what runs leave in the ledger.
type historian struct {
	ledger     *bus.Ledger
	ids        func(time.Time) engine.RunID
	now        time.Time
	runs       int
	operations int
}

// turn writes some runs: first that they were started, then their attempts, each
// attempt number after the one before.
func (h *historian) turn(ctx context.Context, runs int) error {
	submits := make([]*engine.SubmitRecord, runs)
	var attempts [2][]*engine.AttemptRecord
	for i := range submits {
		h.runs++
		h.now = h.now.Add(historySpan)
		submits[i] = &engine.SubmitRecord{Run: h.ids(h.now), Flow: h.flow(), TriggerType: "api", Variables: []byte(`{"customer":7}`)}
		for task := range historyTasks {
			last := h.attempt(submits[i], task, 1)
			switch {
			case task == 0 && h.runs%historyRepeat == 1:
				first := h.attempt(submits[i], task, 1)
				first.Outcome, first.NotBefore, first.Error, first.Class = engine.OutcomeRetry, first.End+1000, "503 Service Unavailable", "status"
				first.Value = nil
				attempts[0] = append(attempts[0], first)
				last = h.attempt(submits[i], task, 2)
				attempts[1] = append(attempts[1], last)
				continue
			case task == historyTasks-1 && h.runs%historyFail == 2:
				last.Outcome, last.Error, last.Class, last.Value = engine.OutcomeFailed, "422 Unprocessable Entity", "status", nil
			}
			attempts[0] = append(attempts[0], last)
		}
	}
	for from := 0; from < len(submits); from += 100 {
		if _, err := h.ledger.AppendTogether(ctx, submits[from:min(from+100, len(submits))]); err != nil {
			return err
		}
	}
	for _, list := range attempts {
		h.operations += len(list)
		if err := h.append(ctx, list); err != nil {
			return err
		}
	}
	return nil
}

func (h *historian) flow() engine.FlowID {
	switch {
	case h.runs%100 == 3:
		return engine.FlowID(historyFlows[2])
	case h.runs%5 == 4:
		return engine.FlowID(historyFlows[1])
	}
	return engine.FlowID(historyFlows[0])
}

// attempt is the record of a call as a worker makes it.
func (h *historian) attempt(s *engine.SubmitRecord, task, attempt int) *engine.AttemptRecord {
	at := engine.At(h.now) + engine.Micros(1000*attempt)
	return &engine.AttemptRecord{
		AttemptKey: engine.AttemptKey{Run: s.Run, Task: engine.TaskID(fmt.Sprintf("call_%d", task)), Attempt: attempt},
		Flow:       s.Flow, Outcome: engine.OutcomeSuccess, Start: at, End: at + 731, Status: 200, Type: "api_call", Subtype: "get", Worker: "local",
		Value:   []byte(`{"id":8817,"customer":7,"status":"confirmed","total":129.9,"currency":"EUR"}`),
		Details: []byte(`{"method":"GET","url":"https://api.shop.example/v2/orders/8817/lines","status_code":200,"response_bytes":200,"content_type":"application/json","timeout_ms":30000}`),
	}
}

// append writes attempts, many at a time, as workers do.
func (h *historian) append(ctx context.Context, list []*engine.AttemptRecord) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	places := make(chan struct{}, historyAhead)
	for _, rec := range list {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if _, err := h.ledger.Append(ctx, rec); err != nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return failed
}
