package steps_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/steps"
)

// do prepares a task and does it once, with variables and values of others.
func do(t *testing.T, kind engine.TaskType, props *value.Map, change ...func(*engine.TaskInput)) engine.TaskOutput {
	t.Helper()
	flow := &engine.Flow{ID: "f", Timeout: time.Hour, Tasks: []engine.Task{{ID: "a", Type: kind.Name(), Properties: props}}}
	prog, problems := kind.Prepare(flow, &flow.Tasks[0])
	if wrong := engine.Refused(problems); wrong != nil {
		t.Fatalf("refused: %s", wrong.Message)
	}
	in := engine.NewTaskInput(flow, &flow.Tasks[0], value.MapOf("n", int64(3), "word", "paid"), map[engine.TaskID]any{"order": value.MapOf("id", int64(7), "ok", true)})
	for _, c := range change {
		c(in)
	}
	return prog.Execute(t.Context(), in)
}

func TestSet_KeepsTypes(t *testing.T) {
	out := do(t, steps.NewSet(), value.MapOf("values", value.MapOf(
		"id", "{{ xcom_order.id }}", "text", "order {{ xcom_order.id }}", "list", []any{"{{ n + 1 }}", int64(2), true}, "none", value.NewMap(0), "deep", value.MapOf("ok", "{{ xcom_order.ok }}"),
	)))
	if want := `{"id":7,"text":"order 7","list":[4,2,true],"none":{},"deep":{"ok":true}}`; out.Err != nil || string(out.Value) != want {
		t.Errorf("got %s, %v, want %s", out.Value, out.Err, want)
	}
	if out := do(t, steps.NewSet(), value.MapOf("values", value.MapOf("a", "{{ missing }}"))); out.Err == nil || out.Err.Class != "template" || out.Err.Retryable {
		t.Errorf("an undefined name: %+v", out.Err)
	}
}

func TestLog_WritesALine(t *testing.T) {
	var lines bytes.Buffer
	kind := steps.NewLog(slog.New(slog.NewTextHandler(&lines, nil)))
	out := do(t, kind, value.MapOf("message", "order {{ xcom_order.id }}", "level", "warn"))
	if out.Err != nil || out.Details.Note != "order 7" || out.Value != nil {
		t.Errorf("got %+v, %v", out.Details, out.Err)
	}
	if got := lines.String(); !strings.Contains(got, `level=WARN msg="order 7" flow=f`) {
		t.Errorf("the log has %s", got)
	}
	long := do(t, kind, value.MapOf("message", "{{ 'x' * 9000 }}"))
	if n := len(long.Details.Note); n > 4200 || !strings.HasSuffix(long.Details.Note, "(cut)") {
		t.Errorf("a long line has %d bytes", n)
	}
}

func TestWait_TakesATurnUntilItsTime(t *testing.T) {
	start := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	now := start
	kind := steps.NewWait(func() time.Time { return now })
	for name, props := range map[string]*value.Map{
		"duration": value.MapOf("duration", "90s"), "seconds": value.MapOf("duration", int64(90)), "template": value.MapOf("duration", "{{ n * 30 }}"),
		"until": value.MapOf("until", "2026-03-04T06:08:37+01:01"), "epoch": value.MapOf("until", "{{ "+fmt.Sprint(start.Unix()+90)+" }}"),
	} {
		now = start
		out := do(t, kind, props)
		if out.Err != nil || out.Next == nil || out.Next.After != 90*time.Second || out.Value != nil {
			t.Errorf("%s: %+v, %v", name, out.Next, out.Err)
			continue
		}
		early := start.Add(80 * time.Second)
		for _, at := range []time.Time{early, start.Add(90 * time.Second), start.Add(time.Hour)} {
			now = at
			next := do(t, kind, props, func(in *engine.TaskInput) { in.SetTurn(engine.Turning{Carry: out.Next.Carry}) })
			if at == early != (next.Next != nil) || next.Err != nil {
				t.Errorf("%s at %s: %+v, %v", name, at, next.Next, next.Err)
			}
			if at != early && string(next.Value) != `"2026-03-04T05:07:37.000Z"` {
				t.Errorf("%s leaves %s", name, next.Value)
			}
		}
	}
	now = start
	if out := do(t, kind, value.MapOf("until", "{{ '2020-01-01T00:00:00Z' }}")); out.Err != nil || out.Next != nil {
		t.Errorf("a time that has passed: %+v, %v", out.Next, out.Err)
	}
	if out := do(t, kind, value.MapOf("until", "{{ word }}")); out.Err == nil || out.Err.Class != "input" {
		t.Errorf("no time: %+v", out.Err)
	}
}

func TestSwitch_SkipsWhatItDoesNotChoose(t *testing.T) {
	cases := value.MapOf("paid", []any{"ship", "thank"}, "open", "remind", "7", []any{"count"}, "true", []any{}, "_", "ask")
	for on, want := range map[string]string{
		"{{ word }}": `"paid" [remind count ask]`, "open": `"open" [ship thank count ask]`, "{{ xcom_order.id }}": `"7" [ship thank remind ask]`,
		"{{ xcom_order.ok }}": `"true" [ship thank remind count ask]`, "nobody": `"_" [ship thank remind count]`,
	} {
		out := do(t, steps.NewSwitch(), value.MapOf("on", on, "cases", cases))
		if got := fmt.Sprintf("%s %v", out.Value, out.Skip); out.Err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", on, got, out.Err, want)
		}
	}
	out := do(t, steps.NewSwitch(), value.MapOf("on", "x", "cases", value.MapOf("y", "b")))
	if out.Err == nil || out.Err.Message != `switch: no case for "x" and no "_"` {
		t.Errorf("no case: %+v", out.Err)
	}
	if out := do(t, steps.NewSwitch(), value.MapOf("on", "{{ xcom_order }}", "cases", cases)); out.Err == nil || !strings.Contains(out.Err.Message, "on is a dict") {
		t.Errorf("a table: %+v", out.Err)
	}
}

func TestSteps_RefuseWhatCannotBe(t *testing.T) {
	for _, c := range []struct {
		kind  engine.TaskType
		props *value.Map
		want  string
	}{
		{steps.NewSet(), value.MapOf(), "set: values is missing"},
		{steps.NewSet(), value.MapOf("values", "x"), "values is a str, want a table"},
		{steps.NewSet(), value.MapOf("values", value.MapOf("a", "{{ x"), "vars", int64(1)), `unknown property "vars"`},
		{steps.NewLog(nil), value.MapOf("level", "loud"), `level is "loud", want one of debug, info, warn, error`},
		{steps.NewLog(nil), value.MapOf(), "log: message is missing"},
		{steps.NewWait(nil), value.MapOf(), "wait: give one of duration, until"},
		{steps.NewWait(nil), value.MapOf("duration", "1m", "until", "x"), "wait: give one of duration, until"},
		{steps.NewWait(nil), value.MapOf("duration", "2h"), "a wait of 2h0m0s, and the run may take 1h0m0s: raise timeout"},
		{steps.NewWait(nil), value.MapOf("duration", "soon"), `duration: "soon" is not a time span`},
		{steps.NewWait(nil), value.MapOf("until", "tomorrow"), `until: "tomorrow" is no RFC 3339 time`},
		{steps.NewSwitch(), value.MapOf("on", "x"), "switch: cases is missing"},
		{steps.NewSwitch(), value.MapOf("cases", value.MapOf("a", "b")), "switch: on is missing"},
		{steps.NewSwitch(), value.MapOf("on", "x", "cases", value.MapOf("a", int64(1))), `case "a" is an int, want a list of tasks`},
	} {
		flow := &engine.Flow{ID: "f", Timeout: time.Hour, Tasks: []engine.Task{{ID: "a", Type: c.kind.Name(), Properties: c.props}}}
		prog, problems := c.kind.Prepare(flow, &flow.Tasks[0])
		wrong := engine.Refused(problems)
		if wrong == nil || !strings.HasPrefix(wrong.Message, c.want) || wrong.Code == "" || len(wrong.Path) == 0 {
			t.Errorf("%s %v: %+v, want %s", c.kind.Name(), c.props, wrong, c.want)
		}
		if out := prog.Execute(t.Context(), engine.NewTaskInput(flow, &flow.Tasks[0], nil, nil)); out.Err == nil || out.Err.Class != "config" {
			t.Errorf("%s %v: it can be tried: %+v", c.kind.Name(), c.props, out)
		}
	}
}

// TestDocs_TablesAreThoseOfTheCode: every property of every type.
func TestDocs_TablesAreThoseOfTheCode(t *testing.T) {
	text, err := os.ReadFile("../docs/flow-control.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []*steps.TaskType{steps.NewSet(), steps.NewLog(nil), steps.NewWait(nil), steps.NewSwitch()} {
		for _, p := range kind.Table() {
			def := p.Default
			if def != "" && def != "required" {
				def = "`" + def + "`"
			}
			if row := fmt.Sprintf("| `%s` | `%s` | %s | %s | %s |\n", kind.Name(), p.Name, p.Type, def, p.Doc); !strings.Contains(string(text), row) {
				t.Errorf("docs/flow-control.md lacks %s", row)
			}
		}
	}
}
