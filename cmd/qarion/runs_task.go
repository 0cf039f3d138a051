package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

// taskView is one task of a run with everything that is known of it: what
// `runs show RUN --task T --output json` prints.
type taskView struct {
	RunID  engine.RunID  `json:"run_id"`
	FlowID engine.FlowID `json:"flow_id"`
	File   string        `json:"file,omitempty"`
	engine.TaskDoc
	Operations []*engine.Operation `json:"operations,omitempty"` // its attempts, as in the log
	Value      json.RawMessage     `json:"value,omitempty"`      // what it left for others

	details engine.Details // of the last attempt
	ref     string         // how the run was named
}

// showTask prints a task in whatever state it is.
func (a *app) showTask(ctx context.Context, s *session, d *engine.RunDoc, ref, task string, body bool) error {
	v := &taskView{RunID: d.RunID, FlowID: d.FlowID, File: d.File, ref: ref}
	err := v.load(ctx, s, d, engine.TaskID(task))
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(v)
	}
	fmt.Fprint(a.ui.out, a.taskBlock(v, body))
	return nil
}

// load reads what the views know of a task: its state from the run, its
// attempts from the operation log, its value.
func (v *taskView) load(ctx context.Context, s *session, d *engine.RunDoc, task engine.TaskID) error {
	var names []string
	for i := range d.Tasks {
		names = append(names, string(d.Tasks[i].TaskID))
		if d.Tasks[i].TaskID == task {
			v.TaskDoc = d.Tasks[i]
		}
	}
	if err := v.operations(ctx, s, d, task); err != nil {
		return err
	}
	switch {
	case v.TaskID != "":
	case len(v.Operations) > 0: // the document of a large run leaves out what simply succeeded
		v.fromLog(task)
	case engine.Nearest(string(task), names) != "":
		return fail(fmt.Errorf("run %s has no task %q (did you mean %q?)", d.RunID, task, engine.Nearest(string(task), names)))
	default:
		return fail(fmt.Errorf("run %s has no task %q (there are: %s)", d.RunID, task, strings.Join(names, ", ")))
	}
	if n := len(v.Operations); n > 0 {
		_ = json.Unmarshal(v.Operations[n-1].Details, &v.details)
	} else if d.Error != nil && d.Error.TaskID == task && len(d.Error.Details) > 0 {
		_ = json.Unmarshal(d.Error.Details, &v.details)
	}
	if v.Status != engine.Success {
		return nil
	}
	if err := s.Call(ctx, "xcom.get", bus.XComRef{Run: string(d.RunID), Task: string(task)}, &v.Value); err != nil {
		v.Value = nil // it left none, or it is past its retention
	}
	return nil
}

func (v *taskView) operations(ctx context.Context, s *session, d *engine.RunDoc, task engine.TaskID) error {
	if task == "" {
		return nil
	}
	if _, err := engine.ParseTaskID(string(task)); err != nil {
		return fail(err)
	}
	return s.operations(ctx, bus.LogFilter{Flow: string(d.FlowID), Task: string(task), Run: d.RunID}, 0, func(_ []byte, op *engine.Operation) error {
		v.Operations = append(v.Operations, op)
		return nil
	})
}

// fromLog makes the task's document from its operations.
func (v *taskView) fromLog(task engine.TaskID) {
	first, last := v.Operations[0], v.Operations[len(v.Operations)-1]
	v.TaskDoc = engine.TaskDoc{
		TaskID: task, Status: engine.Success, Operation: last.OperationSubtype, Attempts: last.Attempt,
		StartTime: first.StartTime, EndTime: last.EndTime, DurationMS: float64(between(first.StartTime, last.EndTime).Microseconds()) / 1e3,
	}
}

// attempts are those that were made; a wait for a breaker is none.
func (v *taskView) attempts() []engine.AttemptDoc {
	var list []engine.AttemptDoc
	for _, op := range v.Operations {
		if op.Status == string(engine.OutcomeDeferred) {
			continue
		}
		var d engine.Details
		_ = json.Unmarshal(op.Details, &d)
		reason := d.NotRetried
		if d.RetryAt != "" {
			reason = d.RetryReason
		}
		list = append(list, engine.AttemptDoc{
			Turn: op.Turn, Attempt: op.Attempt, Status: op.Status, StartTime: op.StartTime, EndTime: op.EndTime,
			StatusCode: d.StatusCode, Message: op.ErrorMessage, RetryAt: d.RetryAt, Reason: reason,
		})
	}
	if len(list) < len(v.History) {
		return v.History // the log is behind, or past its retention
	}
	return list
}

// headline says in one line how a task is.
func (v *taskView) headline(now time.Time) string {
	id := v.TaskID
	switch v.Status {
	case engine.Success:
		text := fmt.Sprintf("task %s succeeded", id)
		if v.StatusCode == 0 {
			v.StatusCode = v.details.StatusCode
		}
		if v.StatusCode > 0 {
			text += strings.TrimRight(fmt.Sprintf(": %d %s", v.StatusCode, http.StatusText(v.StatusCode)), " ")
		}
		return text
	case engine.Interrupted:
		return fmt.Sprintf("task %s waits for a person: %s", id, v.Reason)
	case engine.Ready, engine.Waiting:
		return fmt.Sprintf("task %s is waiting: %s", id, waitNote(&v.TaskDoc, now))
	case engine.Running:
		return fmt.Sprintf("task %s is running: %s", id, inFlight(&v.TaskDoc, now))
	case engine.Pending:
		return fmt.Sprintf("task %s has not started: tasks that it depends on have not ended", id)
	case engine.Failed:
		return fmt.Sprintf("task %s failed: %s", id, v.Reason)
	}
	return strings.TrimSuffix(fmt.Sprintf("task %s was %s: %s", id, v.Status, v.Reason), ": ")
}

// taskBlock tells of a task: how it is, the request as it was sent (redacted),
// every attempt, the answer where it was kept, and the value.
func (a *app) taskBlock(v *taskView, whole bool) string {
	var b strings.Builder
	place := ""
	if v.File != "" && v.Line > 0 {
		place = fmt.Sprintf("  %s:%d", v.File, v.Line)
	}
	fmt.Fprintf(&b, "%s%s\n", v.headline(a.ui.now()), a.ui.paint(place, dim))
	attempts := v.attempts()
	a.request(&b, &v.details)
	a.attempts(&b, attempts, &v.TaskDoc, &v.details)
	for _, line := range v.details.Validation {
		a.ui.indented(&b, "    ", 0, line)
	}
	more := fmt.Sprintf("qarion runs show %s --task %s --body", v.ref, v.TaskID)
	a.answer(&b, lastAttempt(attempts), &v.details, whole, more)
	if len(v.Value) > 0 {
		a.value(&b, v, whole)
	}
	for _, hint := range hintsOf(&v.details) {
		fmt.Fprintf(&b, "\n  hint: %s\n", hint)
	}
	for i, c := range wakeCommands(&engine.RunDoc{RunID: v.RunID}, &v.TaskDoc) {
		if i == 0 {
			b.WriteString("\n  what it waits for:\n")
		}
		fmt.Fprintf(&b, "    %s\n", c)
	}
	if v.Status == engine.Interrupted {
		b.WriteString("\n  what became of the call? say so with one of:\n")
		for _, c := range resolveCommands(v.RunID, v.TaskID) {
			fmt.Fprintf(&b, "    %s\n", c)
		}
	}
	return b.String()
}

// value shows what a task left for others.
func (a *app) value(b *strings.Builder, v *taskView, whole bool) {
	fmt.Fprintf(b, "\n  value (qarion xcom get %s %s)\n", v.ref, v.TaskID)
	text := string(v.Value)
	shown := text
	if !whole {
		shown = firstLines(text, true)
	}
	a.ui.indented(b, "    ", 0, printable(shown))
	if len(shown) < len(text) {
		fmt.Fprintf(b, "    ... %s more: --body\n", bytesize(int64(len(text)-len(shown))))
	}
}

// hintsOf are the ways out that a failure names.
func hintsOf(d *engine.Details) []string {
	if d.Hint == "" {
		return nil
	}
	return []string{d.Hint}
}

// resolveCommands are the three words that a person can say of an interrupted
// task, as commands to paste.
func resolveCommands(run engine.RunID, task engine.TaskID) []string {
	resolve := fmt.Sprintf("qarion runs resolve %s %s --as ", run, task)
	return []string{
		resolve + "success   # it was carried out; --value '{\"id\": 7}' for those who read it",
		resolve + "failed    # it was not, and shall not be",
		resolve + "retry     # send it again",
	}
}
