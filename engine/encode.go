package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/qarion/qarion/internal/value"
)

// The documents that views write for every run and attempt. They have the
// fields, names and order of their types' JSON tags; written by hand, since
// every task of every run passes here.

// AppendJSON appends the document as JSON.
func (d *RunDoc) AppendJSON(dst []byte) ([]byte, error) { return d.append(dst, true) }

// AppendSummary appends the document without its tasks, and without what its
// error says about single attempts: what an event carries.
func (d *RunDoc) AppendSummary(dst []byte) ([]byte, error) { return d.append(dst, false) }

func (d *RunDoc) append(dst []byte, full bool) ([]byte, error) {
	o := object{append(dst, '{')}
	o.text("run_id", string(d.RunID))
	o.text("flow_id", string(d.FlowID))
	o.text("flow_version", d.FlowVersion)
	o.optional("file", d.File)
	o.optional("environment", d.Environment)
	o.text("status", string(d.Status))
	o.boolean("final", d.Final)
	o.integer("batch_id", d.BatchID)
	o.text("execution_date", d.ExecutionDate)
	o.text("trigger_type", d.TriggerType)
	o.optional("trigger_id", d.TriggerID)
	o.optional("rerun_of", string(d.RerunOf))
	o.optional("root", string(d.Root))
	if d.Variables != nil {
		o.key("variables")
		var err error
		if o.b, err = value.AppendJSON(o.b, d.Variables); err != nil {
			return dst, fmt.Errorf("variables of run %s: %w", d.RunID, err)
		}
	}
	o.text("start_time", d.StartTime)
	o.optional("end_time", d.EndTime)
	o.fraction("duration_ms", d.DurationMS)
	o.counts(d.Counts)
	o.integer("calls", int64(d.Calls))
	if d.Rows != 0 {
		o.integer("rows_processed", d.Rows)
	}
	if full {
		o.key("tasks")
		o.b = append(o.b, '[')
		for i := range d.Tasks {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.task(&d.Tasks[i])
		}
		o.b = append(o.b, ']')
	}
	if d.Waiting != nil {
		o.key("waiting")
		o.task(d.Waiting)
	}
	if d.Error != nil {
		o.runError(d.Error, full)
	}
	if err := o.xcom(d.XCom); err != nil {
		return dst, fmt.Errorf("values of run %s: %w", d.RunID, err)
	}
	o.texts("warnings", d.Warnings)
	return o.end(), nil
}

// texts appends a list of texts, unless it is empty.
func (o *object) texts(key string, list []string) {
	if len(list) == 0 {
		return
	}
	o.key(key)
	o.b = append(o.b, '[')
	for i, s := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = value.AppendString(o.b, s)
	}
	o.b = append(o.b, ']')
}

// states is the order in which counts are written.
var states = [...]Status{Pending, Ready, Running, Waiting, Success, Failed, Skipped, Cancelled, Interrupted}

func (o *object) counts(counts map[Status]int) {
	o.key("task_counts")
	c := object{append(o.b, '{')}
	for _, s := range states {
		if n, ok := counts[s]; ok {
			c.integer(string(s), int64(n))
		}
	}
	o.b = c.end()
}

func (o *object) task(t *TaskDoc) {
	d := object{append(o.b, '{')}
	d.text("task_id", string(t.TaskID))
	d.text("status", string(t.Status))
	d.optional("operation", t.Operation)
	d.optionalInteger("turns", t.Turns)
	d.integer("attempts", int64(t.Attempts))
	d.optionalInteger("status_code", t.StatusCode)
	d.optional("start_time", t.StartTime)
	d.optional("end_time", t.EndTime)
	if t.DurationMS != 0 {
		d.fraction("duration_ms", t.DurationMS)
	}
	d.optional("not_before", t.NotBefore)
	d.optional("awaits", t.Awaits)
	d.optional("reason", t.Reason)
	d.optional("note", t.Note)
	if len(t.History) > 0 {
		d.attempts("history", t.History)
	}
	d.optionalInteger("line", t.Line)
	if t.Items != nil {
		d.items(t.Items)
	}
	d.optional("kept_from", string(t.KeptFrom))
	o.b = d.end()
}

func (o *object) items(t *ItemsDoc) {
	o.key("items")
	d := object{append(o.b, '{')}
	d.integer("total", int64(t.Total))
	d.integer("success", int64(t.Success))
	d.integer("failed", int64(t.Failed))
	d.integer("skipped", int64(t.Skipped))
	d.optionalInteger("running", t.Running)
	d.optionalInteger("interrupted", t.Interrupted)
	if len(t.Failures) > 0 {
		d.key("failures")
		d.b = append(d.b, '[')
		for i := range t.Failures {
			if i > 0 {
				d.b = append(d.b, ',')
			}
			d.itemFailure(&t.Failures[i])
		}
		d.b = append(d.b, ']')
	}
	o.b = d.end()
}

func (o *object) itemFailure(f *ItemFailure) {
	d := object{append(o.b, '{')}
	d.integer("item", int64(f.Item))
	d.text("class", f.Class)
	d.text("message", f.Message)
	d.optionalInteger("status_code", f.StatusCode)
	d.integer("attempts", int64(f.Attempts))
	if f.Interrupted {
		d.boolean("interrupted", true)
	}
	o.b = d.end()
}

func (o *object) attempts(key string, list []AttemptDoc) {
	o.key(key)
	o.b = append(o.b, '[')
	for i, a := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		d := object{append(o.b, '{')}
		d.optionalInteger("turn", a.Turn)
		d.integer("attempt", int64(a.Attempt))
		d.text("status", a.Status)
		d.text("start_time", a.StartTime)
		d.text("end_time", a.EndTime)
		d.optionalInteger("status_code", a.StatusCode)
		d.optional("message", a.Message)
		d.optional("retry_at", a.RetryAt)
		d.optional("reason", a.Reason)
		o.b = d.end()
	}
	o.b = append(o.b, ']')
}

func (o *object) runError(e *RunError, full bool) {
	o.key("error")
	d := object{append(o.b, '{')}
	d.optional("task_id", string(e.TaskID))
	d.text("class", e.Class)
	d.text("message", e.Message)
	d.optional("method", e.Method)
	d.optional("url", e.URL)
	d.optionalInteger("status_code", e.StatusCode)
	if full {
		d.optional("response_excerpt", e.ResponseExcerpt)
		if len(e.Attempts) > 0 {
			d.attempts("attempts", e.Attempts)
		}
		if len(e.Details) > 0 {
			d.raw("details", e.Details)
		}
	}
	o.b = d.end()
}

func (o *object) xcom(values map[TaskID]any) error {
	if len(values) == 0 {
		return nil
	}
	o.key("xcom")
	d := object{append(o.b, '{')}
	for _, id := range slices.Sorted(maps.Keys(values)) {
		if text, ok := values[id].(json.RawMessage); ok {
			d.raw(string(id), text)
			continue
		}
		d.key(string(id))
		var err error
		if d.b, err = value.AppendJSON(d.b, values[id]); err != nil {
			return err
		}
	}
	o.b = d.end()
	return nil
}

// AppendOperation appends the operation-log document of an attempt (see
// Operation). superseded says that the record came too late.
func (rec *AttemptRecord) AppendOperation(dst []byte, superseded bool) []byte {
	o := object{append(dst, '{')}
	o.key("operation_id")
	o.b = append(rec.appendOperationID(append(o.b, '"')), '"')
	o.text("operation_type", rec.Type)
	o.optional("operation_subtype", rec.Subtype)
	o.text("execution_id", string(rec.Run))
	o.text("flow_id", string(rec.Flow))
	o.text("task_id", string(rec.Task))
	o.integer("item_index", int64(rec.Item))
	o.optionalInteger("turn", rec.Turn)
	o.integer("attempt", int64(rec.Attempt))
	o.integer("batch_id", rec.BatchID)
	o.text("status", string(rec.Outcome))
	o.boolean("success", rec.Outcome.Good())
	o.time("start_time", rec.Start)
	o.time("end_time", rec.End)
	o.fraction("duration_ms", rec.End.Since(rec.Start))
	o.optional("error_message", rec.Error)
	if len(rec.Details) > 0 {
		o.raw("operation_details", rec.Details)
	} else {
		o.raw("operation_details", []byte("{}"))
	}
	o.text("worker", rec.Worker)
	if superseded {
		o.boolean("superseded", true)
	}
	return o.end()
}

// appendOperationID appends what AttemptKey.OperationID returns.
func (k *AttemptKey) appendOperationID(b []byte) []byte {
	b = append(append(append(b, k.Run...), '.'), k.Task...)
	for _, n := range [...]int{k.Item, k.Generation, k.Attempt, k.Dispatch} {
		b = strconv.AppendInt(append(b, '.'), int64(n), 10)
	}
	if k.Turn > 0 {
		b = strconv.AppendInt(append(b, ".t"...), int64(k.Turn), 10)
	}
	return b
}

// object appends the members of a JSON object.
type object struct{ b []byte }

func (o *object) key(name string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(value.AppendString(o.b, name), ':')
}

func (o *object) text(name, s string) {
	o.key(name)
	o.b = value.AppendString(o.b, s)
}

func (o *object) optional(name, s string) {
	if s != "" {
		o.text(name, s)
	}
}

func (o *object) integer(name string, n int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *object) optionalInteger(name string, n int) {
	if n != 0 {
		o.integer(name, int64(n))
	}
}

func (o *object) fraction(name string, f float64) {
	o.key(name)
	o.b = strconv.AppendFloat(o.b, f, 'f', -1, 64)
}

func (o *object) boolean(name string, v bool) {
	o.key(name)
	o.b = strconv.AppendBool(o.b, v)
}

func (o *object) time(name string, t Micros) {
	o.key(name)
	o.b = append(o.b, '"')
	if t != 0 {
		o.b = t.Time().AppendFormat(o.b, timeLayout)
	}
	o.b = append(o.b, '"')
}

func (o *object) raw(name string, text []byte) {
	o.key(name)
	o.b = append(o.b, text...)
}

func (o *object) end() []byte { return append(o.b, '}') }

// AppendWithin appends the document as JSON of at most limit bytes. Where it
// would be longer, tasks lose their history, and then those that simply
// succeeded, and at last any, are left out; the counts still say how many
// there are.
func (d *RunDoc) AppendWithin(dst []byte, limit int) ([]byte, error) {
	out, err := d.AppendJSON(dst)
	if err != nil || len(out)-len(dst) <= limit {
		return out, err
	}
	small := *d
	small.Tasks = slices.Clone(d.Tasks)
	for i := range small.Tasks {
		small.Tasks[i].History = nil
	}
	for {
		out, err = small.AppendJSON(dst)
		if err != nil || len(out)-len(dst) <= limit || len(small.Tasks) == 0 {
			return out, err
		}
		kept := slices.DeleteFunc(slices.Clone(small.Tasks), func(t TaskDoc) bool { return t.Status == Success })
		if len(kept) == len(small.Tasks) {
			kept = kept[:len(kept)/2]
		}
		small.Tasks = kept
	}
}
