package metadata

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// batch is what a number of changes leaves in the tables: of each run and task
// the newest state alone, and every operation. It is used again for the next.
type batch struct {
	flows []*engine.Change // with the newest document of a run
	tasks []taskRow
	ops   []*engine.Change
	upTo  engine.Pos // of the last change

	flowAt map[engine.RunID]int
	taskAt map[taskKey]int
}

type taskKey struct {
	run  engine.RunID
	task engine.TaskID
	item int
}

// taskRow is what is new about a task.
type taskRow struct {
	taskKey
	flow     engine.FlowID
	batch    int64
	status   string
	final    bool
	attempts int           // made since the row was written
	began    engine.Micros // when the first of these did
	first    bool          // it is the task's first
	start    engine.Micros // of the task's first attempt; 0: the row may know, or there is none
	end      engine.Micros // of the last attempt; 0: none since the row was written
	err      string
}

func newBatch() *batch {
	return &batch{flowAt: map[engine.RunID]int{}, taskAt: map[taskKey]int{}}
}

func (b *batch) reset() {
	clear(b.flows)
	clear(b.ops)
	b.flows, b.tasks, b.ops = b.flows[:0], b.tasks[:0], b.ops[:0]
	clear(b.flowAt)
	clear(b.taskAt)
}

// fill takes the changes behind a position; the others are in the tables.
func (b *batch) fill(changes []engine.Change, behind engine.Pos) {
	b.reset()
	b.upTo = behind
	for i := range changes {
		if c := &changes[i]; behind.Before(c.Pos) {
			b.add(c)
			b.upTo = c.Pos
		}
	}
}

func (b *batch) add(c *engine.Change) {
	switch c.Kind {
	case engine.RunStarted, engine.RunChanged, engine.RunDone:
		if i, ok := b.flowAt[c.Run]; ok {
			b.flows[i] = c
			return
		}
		b.flowAt[c.Run] = len(b.flows)
		b.flows = append(b.flows, c)
	case engine.TaskReady:
		b.task(c, 0).become(engine.Ready, "")
	case engine.TaskClosed, engine.TaskKept:
		b.task(c, 0).become(c.Status, c.Reason)
	case engine.AttemptDone:
		if c.Attempt.Outcome == engine.OutcomeStarted {
			return
		}
		b.ops = append(b.ops, c)
		if !c.Superseded {
			b.task(c, c.Attempt.Item).attempt(c.Attempt)
		}
	}
}

func (b *batch) task(c *engine.Change, item int) *taskRow {
	key := taskKey{c.Run, c.Task, item}
	i, ok := b.taskAt[key]
	if !ok {
		i = len(b.tasks)
		b.taskAt[key] = i
		b.tasks = append(b.tasks, taskRow{taskKey: key, flow: c.Flow, batch: c.BatchID})
	}
	return &b.tasks[i]
}

func (t *taskRow) become(s engine.Status, reason string) {
	t.status, t.final, t.err = string(s), s.Final(), reason
}

// attempt takes a finished attempt. A postponement is none: nothing was sent.
func (t *taskRow) attempt(rec *engine.AttemptRecord) {
	switch rec.Outcome {
	case engine.OutcomeSuccess:
		t.become(engine.Success, "")
	case engine.OutcomeSkipped:
		t.become(engine.Skipped, rec.Reason)
	case engine.OutcomeAgain:
		t.become(engine.Ready, "")
		if rec.Items != nil {
			t.become(engine.Running, "")
		}
		if rec.Await != "" {
			t.become(engine.Waiting, rec.Note)
		}
	case engine.OutcomeRetry, engine.OutcomeDeferred:
		t.become(engine.Ready, rec.Error)
	case engine.OutcomeInterrupted:
		t.become(engine.Interrupted, rec.Error)
	case engine.OutcomeCancelled:
		t.become(engine.Cancelled, rec.Error)
	default: // failed, and what a stranger may have written
		t.become(engine.Failed, rec.Error)
	}
	if rec.Outcome == engine.OutcomeDeferred || rec.Outcome == engine.OutcomeSkipped {
		return
	}
	if t.attempts == 0 {
		t.began = rec.Start
		if rec.Generation == 0 && rec.Turn == 0 && rec.Attempt == 1 && rec.Dispatch == 0 {
			t.first, t.start = true, rec.Start
		}
	}
	t.attempts++
	t.end = rec.End
}

// needsStart reports whether the row in the table must say when the first
// attempt began.
func (t *taskRow) needsStart() bool { return t.end != 0 && t.start == 0 }

// startedAt takes the first attempt's start from the table; 0: there was none
// before these.
func (t *taskRow) startedAt(at engine.Micros) {
	if t.start = at; at == 0 {
		t.start, t.first = t.began, true
	}
}

// duration is the time from the first attempt's start to the last one's end, in
// milliseconds. Only where one attempt is all, the tables need not be asked for
// its start; otherwise they say it in whole milliseconds, and the result must
// not depend on who was asked.
func (t *taskRow) duration() float64 {
	if t.first && t.attempts == 1 {
		return t.end.Since(t.start)
	}
	return float64(t.end/1000 - t.start/1000)
}

// success is nil while a state is not final.
func success(status string, final bool) any {
	if !final {
		return nil
	}
	return status == string(engine.Success)
}

// errorText is what a run's row says about its failure.
func errorText(d *engine.RunDoc) string {
	switch {
	case d.Error == nil:
		return ""
	case d.Error.TaskID != "":
		return string(d.Error.TaskID) + ": " + d.Error.Message
	}
	return d.Error.Message
}

// variablesText is a run's variables as JSON; "" for none.
func variablesText(d *engine.RunDoc) string {
	if d.Variables == nil || d.Variables.Len() == 0 {
		return ""
	}
	text, err := value.AppendJSON(make([]byte, 0, 256), d.Variables)
	if err != nil {
		return ""
	}
	return string(text)
}

// detailsText is an operation's details; what is not JSON is shown as a text
// in an object, so that every row can be asked in the same way.
func detailsText(rec *engine.AttemptRecord) string {
	if len(rec.Details) == 0 {
		return "{}"
	}
	if rec.Details[0] == '{' && json.Valid(rec.Details) {
		return string(rec.Details)
	}
	text := value.AppendString([]byte(`{"note":`), string(rec.Details))
	return string(append(text, '}'))
}

// clean makes a text that both kinds of database take as it is.
func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return s
}
