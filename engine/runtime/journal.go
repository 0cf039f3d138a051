package runtime

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/qarion/qarion/engine"
)

// journal tells the operator's log what needs eyes: runs that failed, tasks
// that wait for a person, triggers that were refused. One line each, of each
// kind at most journalLines a second and flow; of more, how many.
//
// The scheduler only leaves a note: a log whose reader is slow must not stop it.
type journal struct {
	log   *slog.Logger
	notes chan journalNote
	lost  atomic.Uint64 // notes that found no room
}

const (
	journalLines = 10
	journalRoom  = 1024
)

type journalNote struct {
	what, flow string
	count      uint64 // that it stands for; 1 for itself
	attrs      []any
}

func newJournal(log *slog.Logger) *journal {
	return &journal{log: log, notes: make(chan journalNote, journalRoom)}
}

// see notes a change that has just happened.
func (j *journal) see(c *engine.Change) {
	if c.Replay {
		return
	}
	switch c.Kind {
	case engine.RunDone, engine.RunChanged, engine.RunRejected:
	default:
		return
	}
	if c.Kind == engine.RunDone && c.Doc.Status != engine.Failed {
		return
	}
	n := journalNote{flow: string(c.Flow), count: 1, attrs: []any{engine.LogFlow, c.Flow, engine.LogRun, c.Run}}
	switch {
	case c.Kind == engine.RunDone && c.Doc.Status == engine.Failed:
		n.what = "run failed"
		if e := c.Doc.Error; e != nil {
			if e.TaskID != "" {
				n.attrs = append(n.attrs, engine.LogTask, e.TaskID)
			}
			n.attrs = append(n.attrs, "reason", e.Message)
		}
	case c.Kind == engine.RunChanged && c.Doc.Status == engine.Interrupted && c.Task != "":
		n.what = "task waits for a person"
		n.attrs = append(n.attrs, engine.LogTask, c.Task, "reason", c.Reason)
	case c.Kind == engine.RunRejected:
		n.what, n.count = "trigger refused", 1+c.Untold
		n.attrs = append(n.attrs, "reason", c.Reason)
	default:
		return
	}
	select {
	case j.notes <- n:
	default:
		j.lost.Add(1)
	}
}

// run writes the log until ctx ends.
func (j *journal) run(ctx context.Context) error {
	type key struct{ what, flow string }
	type told struct {
		lines int
		more  uint64
	}
	second := map[key]*told{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-j.notes:
			k := key{n.what, n.flow}
			t := second[k]
			if t == nil {
				t = &told{}
				second[k] = t
			}
			if t.lines == journalLines {
				t.more += n.count
				continue
			}
			t.lines++
			t.more += n.count - 1
			j.log.Warn(n.what, n.attrs...)
		case <-tick.C:
			for k, t := range second {
				if t.more > 0 {
					j.log.Warn(k.what+": more of the same", engine.LogFlow, k.flow, "count", t.more)
				}
			}
			clear(second)
			if n := j.lost.Swap(0); n > 0 {
				j.log.Warn("failures came faster than the log was read", "untold", n)
			}
		}
	}
}
