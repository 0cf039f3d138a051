package transform

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// Preview implements engine.Previewer: the statements as they would be run, with
// the values of their parameters.
func (p *program) Preview(ctx context.Context, in *engine.TaskInput) (*engine.Preview, error) {
	out := &engine.Preview{Task: in.Key.Task, Database: p.target.String(), Policy: p.policy()}
	if len(p.props.sql) == 0 {
		return out, nil
	}
	v := &vars{TaskInput: in, prog: p}
	j, f := p.job(ctx, v)
	if f != nil {
		return nil, errors.New(f.message)
	}
	for i := range j.statements {
		st := &j.statements[i]
		shows := engine.PreviewStatement{SQL: st.Text}
		seen := map[string]bool{}
		for n, name := range st.Params {
			if seen[name] {
				continue
			}
			seen[name] = true
			shown := preview(j.args[i][n])
			switch {
			case v.hide:
				shown = "***"
			case name == runKey:
				shown = "(made from the run, the same in all attempts)"
			}
			shows.Parameters = append(shows.Parameters, engine.PreviewParameter{Name: name, Value: shown})
		}
		out.Statements = append(out.Statements, shows)
	}
	return out, nil
}

// preview is a bound value, for people.
func preview(v any) string {
	if b, ok := v.([]byte); ok {
		return fmt.Sprintf("(%d bytes)", len(b))
	}
	text, err := value.JSON(v)
	if s, isText := v.(string); isText && len(s) > 0 && (s[0] == '{' || s[0] == '[') {
		text = []byte(s)
	}
	if err != nil {
		return fmt.Sprint(v)
	}
	return cut(string(text), 200)
}

// Worst implements engine.Previewer.
func (p *program) Worst() time.Duration {
	if len(p.props.sql) == 0 {
		return 0
	}
	worst := p.props.timeout
	for i := 1; i <= p.props.retry.Count; i++ {
		wait, _ := p.props.retry.Next(i, 0.999999)
		worst += wait + p.props.timeout
	}
	return worst
}

// policy says in words how long and how often the task is tried.
func (p *program) policy() string {
	out := "timeout " + p.props.timeout.String()
	if p.props.retry.Count == 0 {
		out += " · 1 attempt, no retries"
	} else {
		out += fmt.Sprintf(" · up to %d attempts, %s apart · worst case %s", p.props.retry.Count+1, p.props.retry.Delay, p.Worst())
	}
	if p.needs.Unrepeatable {
		return out + " · not repeated when its outcome is unknown"
	}
	return out + " · executed once"
}
