package transform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/secret"
	"github.com/qarion/qarion/transform/sqltext"
)

var errTimeout = errors.New("timeout")

// maxShown bounds a statement as the operation log shows it, in bytes, and
// maxListed how many it shows.
const (
	maxShown  = 2 << 10
	maxListed = 20
)

// Execute implements engine.Program: one attempt, which is one transaction.
func (p *program) Execute(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
	if p.why != "" {
		return p.failed(ctx, in, false, nil, failed(classTemplate, p.why))
	}
	if len(p.props.sql) == 0 {
		return engine.TaskOutput{Value: []byte("null")}
	}
	v := &vars{TaskInput: in, prog: p}
	job, f := p.job(ctx, v)
	if f != nil {
		return p.failed(ctx, in, v.hide, job, f)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.props.timeout, errTimeout)
	defer cancel()
	if ctx.Err() != nil {
		return p.failed(ctx, in, v.hide, job, failed(classCancelled, "cancelled before anything was run"))
	}
	db, err := p.t.database(p.target)
	if err != nil {
		return p.failed(ctx, in, v.hide, job, failed(classConnect, err.Error()))
	}
	if err := in.Sending(ctx, p.announcement(job)); err != nil {
		return p.failed(ctx, in, v.hide, job, failed(classLedger, err.Error()))
	}
	done, f := db.run(ctx, job)
	if f != nil {
		if done != nil {
			job.ran(done)
		}
		return p.failed(ctx, in, v.hide, job, p.ended(ctx, f))
	}
	out := engine.TaskOutput{Value: done.value, Rows: done.rows}
	out.Details = p.details(job)
	out.Details.Statements, out.Details.RowsProcessed = done.ran, done.rows
	if done.repeated {
		out.Details.Repeated = true
		out.Details.Note = "its transaction had been committed before, and was not executed again"
	}
	return out
}

// job renders the SQL and finds the values of its parameters.
func (p *program) job(ctx context.Context, v *vars) (*job, *failure) {
	j := &job{result: collector{mode: p.props.result, maxRows: p.props.maxRows, maxBytes: p.props.maxBytes}, now: p.t.cfg.Now()}
	for i := range p.texts {
		list, f := p.texts[i].statements(ctx, v)
		if f != nil {
			return nil, f
		}
		j.statements = append(j.statements, list...)
	}
	if len(j.statements) == 0 {
		return nil, failed(classTemplate, "sql: there is no statement")
	}
	b, err := newBinder(ctx, v)
	if err != nil {
		return nil, failed(classTemplate, err.Error())
	}
	for i := range j.statements {
		args, err := b.args(ctx, &j.statements[i])
		if err != nil {
			f := failed(classParameter, err.Error())
			f.at, f.offset = i+1, j.statements[i].ParamOffset(len(args))
			return j, f
		}
		j.args = append(j.args, args)
	}
	j.mark = p.mark(v.TaskInput, j.writes())
	return j, nil
}

// statements are those of one text, rendered.
func (s *source) statements(ctx context.Context, v *vars) ([]sqltext.Statement, *failure) {
	if s.fixed != nil {
		return s.fixed, nil
	}
	r, err := s.tpl.Text(ctx, v)
	if err != nil {
		return nil, failed(classTemplate, explained(err).Error())
	}
	v.hide = v.hide || r.Origin.Secret()
	sql, _ := r.Value.(string)
	list, err := sqltext.Split(sql, v.prog.target.dialect)
	var wrong *sqltext.Error
	if errors.As(err, &wrong) {
		line, column := sqltext.Place(sql, wrong.At)
		return nil, failed(classTemplate, at(s.file, line, column)+" of the rendered SQL: "+wrong.Message)
	}
	for i := range list {
		list[i].Source = s.text
		if len(list) == len(s.masked) {
			list[i].Source = s.text[s.masked[i].Start : s.masked[i].Start+len(s.masked[i].Text)]
		}
	}
	return list, nil
}

// announcement describes what is about to run.
func (p *program) announcement(j *job) func() engine.Details {
	return func() engine.Details {
		d := p.details(j)
		for i := range j.statements {
			d.Statements = append(d.Statements, engine.Statement{SQL: shown(&j.statements[i])})
		}
		return d
	}
}

func (p *program) details(j *job) engine.Details {
	d := engine.Details{Database: p.target.String(), TimeoutMS: p.props.timeout.Milliseconds(), Credential: p.target.credential}
	if j != nil && j.mark != nil {
		d.IdempotencyKey = j.mark.key
	}
	return d
}

// shown is a statement as the operation log has it: as it stands in the flow, so
// that no data is in it. Where it speaks of a password, what stands in quotes is
// hidden.
func shown(st *sqltext.Statement) string {
	sql := cmp.Or(st.Source, st.Text)
	if secret.Name(sql) {
		sql = sqltext.WithoutTexts(sql, secret.Hidden)
	}
	return cut(sql, maxShown)
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "... (cut)"
}

// ran notes the statements that ran before one failed.
func (j *job) ran(o *outcome) { j.done = o.ran }

// note adds a statement that has ended to what the operation log shows.
func (o *outcome) note(st *sqltext.Statement, rows int64, began time.Time) {
	o.rows += rows
	if len(o.ran) == maxListed {
		o.ran = append(o.ran[:maxListed-1], engine.Statement{SQL: "... and others"})
	}
	if len(o.ran) > 0 && o.ran[len(o.ran)-1].SQL == "... and others" {
		o.ran[len(o.ran)-1].Rows += rows
		return
	}
	o.ran = append(o.ran, engine.Statement{SQL: shown(st), Rows: rows, DurationMS: float64(time.Since(began).Microseconds()) / 1000})
}

// ended says why a transaction that was cut off ended.
func (p *program) ended(ctx context.Context, f *failure) *failure {
	if ctx.Err() == nil || f.unknown || f.class == classSQL && f.code != "" || f.class == classConstraint {
		return f
	}
	f.class, f.message = classCancelled, "cancelled"
	if errors.Is(context.Cause(ctx), errTimeout) {
		f.class, f.message = classTimeout, fmt.Sprintf("not done within %s, and rolled back", p.props.timeout)
	}
	f.offset = -1
	return f
}

// failed turns a failure into the attempt's output.
func (p *program) failed(ctx context.Context, in *engine.TaskInput, hide bool, j *job, f *failure) engine.TaskOutput {
	out := engine.TaskOutput{Details: p.details(j)}
	message := f.message
	if hide || in.Task.Sensitive {
		message = "the database's message is not shown, since the data is sensitive"
		if f.code != "" {
			message += ": " + f.code
		}
		if !f.fromDatabase() {
			message = f.class + ": the message is not shown, since the data is sensitive"
		}
	}
	if j != nil {
		out.Details.Statements = j.done
		if f.at > 0 && f.at <= len(j.statements) {
			st := &j.statements[f.at-1]
			out.Details.Statements = append(out.Details.Statements, engine.Statement{SQL: shown(st)})
			message = cmp.Or(p.where(j, f), "") + message
		}
	}
	out.Err = &engine.TaskError{
		Class: f.class, Message: cut(strings.ReplaceAll(strings.ReplaceAll(message, "\r", ""), "\n", " "), engine.MaxErrorText-16), Retryable: retried(f.class), Unknown: f.unknown && ctx.Err() != nil,
	}
	if f.unknown {
		// With a mark the next attempt finds out; without one only a person can, or
		// the flow has said what to do.
		out.Err.Retryable = j.mark != nil || p.props.onInterrupted == "retry"
		out.Err.Ask = j.mark == nil && !out.Err.Unknown && p.props.onInterrupted == ""
	}
	if !out.Err.Retryable {
		out.Details.NotRetried = f.class + " failures are not retried"
	}
	return out
}

// fromDatabase reports whether the message is the database's own.
func (f *failure) fromDatabase() bool {
	return f.class == classSQL || f.class == classConstraint || f.code != ""
}

// where says which statement failed, and where in it.
func (p *program) where(j *job, f *failure) string {
	out := ""
	if len(j.statements) > 1 {
		out = fmt.Sprintf("statement %d of %d, ", f.at, len(j.statements))
	}
	if file := p.texts[0].file; file != "" && p.texts[0].fixed == nil {
		out = file + ", " + out
	}
	// The text that the statement stands in: positions count from its start.
	n := f.at - 1
	for i := range p.texts {
		list := p.texts[i].fixed
		if list == nil {
			break // a template: where its text stands is not known
		}
		if n < len(list) {
			st := &list[n]
			offset := max(f.offset, 0)
			line, column := sqltext.Place(p.texts[i].text, st.Start+offset)
			if f.offset < 0 && p.texts[i].file == "" {
				return strings.TrimSuffix(fmt.Sprintf("%sline %d", out, line), ", ") + ": "
			}
			return out + at(p.texts[i].file, line, column) + ": "
		}
		n -= len(list)
	}
	if f.offset >= 0 {
		line, column := sqltext.Place(j.statements[f.at-1].Text, f.offset)
		out += at("", line, column) + " of it as it was rendered"
	}
	if out = strings.TrimSuffix(out, ", "); out != "" {
		out += ": "
	}
	return out
}
