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
		if out.Err != nil || out.Next == nil || out.Next.After != 90*time.Second || out.Next.Await != engine.AwaitTime || out.Value != nil {
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

func TestWait_ForASignal(t *testing.T) {
	props := value.MapOf("signal", "paid", "key", "{{ xcom_order.id }}", "timeout", "2h")
	out := do(t, steps.NewWait(nil), props)
	if out.Err != nil || out.Next == nil || out.Next.Await != "signal:paid:7" || out.Next.After != 2*time.Hour {
		t.Fatalf("it waits for %+v, %v", out.Next, out.Err)
	}
	woken := func(props *value.Map, w *engine.Wake) engine.TaskOutput {
		return do(t, steps.NewWait(nil), props, func(in *engine.TaskInput) {
			in.SetTurn(engine.Turning{Carry: out.Next.Carry})
			in.SetWake(w)
		})
	}
	if got := woken(props, &engine.Wake{Cause: engine.WakeSignal, Value: []byte(`{"sum":7}`)}); got.Err != nil || string(got.Value) != `{"sum":7}` {
		t.Errorf("it leaves %s, %v", got.Value, got.Err)
	}
	if got := woken(props, &engine.Wake{Cause: engine.WakeSignal}); got.Err != nil || string(got.Value) != `null` {
		t.Errorf("a signal with nothing leaves %s, %v", got.Value, got.Err)
	}
	late := &engine.Wake{Cause: engine.WakeTime}
	if got := woken(props, late); got.Err == nil || got.Err.Class != "timeout" || got.Err.Message != "signal paid did not come within 2h0m0s" || got.Err.Retryable {
		t.Errorf("its time is up: %+v", got.Err)
	}
	if got := woken(value.MapOf("signal", "paid", "timeout", "2h", "on_timeout", "continue"), late); got.Err != nil || string(got.Value) != "null" {
		t.Errorf("it goes on with %s, %v", got.Value, got.Err)
	}
	if got := woken(props, nil); got.Err != nil || got.Next == nil || got.Next.After != 2*time.Hour {
		t.Errorf("in a run that repeats it, it waits anew: %+v, %v", got.Next, got.Err)
	}
	if got := do(t, steps.NewWait(nil), value.MapOf("signal", "paid", "key", "{{ xcom_order }}")); got.Err == nil || got.Err.Class != "input" {
		t.Errorf("a table is no key: %+v", got.Err)
	}
}

func TestApproval_IsDecided(t *testing.T) {
	props := value.MapOf("message", "pay order {{ xcom_order.id }}?", "approvers", []any{"alice"})
	out := do(t, steps.NewApproval(nil), props)
	if out.Err != nil || out.Next == nil || out.Next.Await != engine.AwaitApproval || out.Next.After != steps.DefaultApprovalTimeout || out.Details.Note != "pay order 7?" {
		t.Fatalf("it waits for %+v, %v, %q", out.Next, out.Err, out.Details.Note)
	}
	at := engine.At(time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC))
	for _, c := range []struct {
		wake engine.Wake
		want string
	}{
		{engine.Wake{Cause: engine.WakeApproval, As: "approve", By: "alice", Comment: "fine", Value: []byte(`{"by":"eve"}`), Time: at},
			`{"approved":true,"by":"alice","comment":"fine","time":"2026-03-04T05:06:07.000Z","value":{"by":"eve"}}`},
		{engine.Wake{Cause: engine.WakeApproval, As: "approve", Time: at}, `{"approved":true,"by":"unverified","comment":"","time":"2026-03-04T05:06:07.000Z"}`},
		{engine.Wake{Cause: engine.WakeApproval, As: "reject", By: "alice", Comment: "too much"}, `rejected: rejected by alice: too much`},
		{engine.Wake{Cause: engine.WakeApproval, As: "reject"}, `rejected: rejected by unverified`},
		{engine.Wake{Cause: engine.WakeTime}, `rejected: rejected by nobody: no decision within 168h0m0s`},
	} {
		got := do(t, steps.NewApproval(nil), props, func(in *engine.TaskInput) { in.SetWake(&c.wake) })
		text := string(got.Value)
		if got.Err != nil {
			text = got.Err.Class + ": " + got.Err.Message
		}
		if text != c.want {
			t.Errorf("%+v leaves\n%s, want\n%s", c.wake, text, c.want)
		}
	}
}

func TestFlow_OpensARunAndTakesItsEnd(t *testing.T) {
	props := value.MapOf("flow", "invoice", "variables", value.MapOf("order", "{{ xcom_order.id }}"), "xcom", "send")
	out := do(t, steps.NewFlow(), props)
	if out.Err != nil || out.Next == nil || out.Next.Open == nil || string(out.Next.Open.Variables) != `{"order":7}` || !out.Next.Open.Waits || out.Next.Open.XCom != "send" || out.Next.Open.Flow != "invoice" {
		t.Fatalf("it opens %+v, %v", out.Next, out.Err)
	}
	for _, c := range []struct {
		wake engine.Wake
		want string
	}{
		{engine.Wake{Cause: engine.WakeRun, As: "success", Run: "R", At: engine.Pos{Seq: 1}, Value: []byte(`[1]`)}, `[1]`},
		{engine.Wake{Cause: engine.WakeRun, As: "success", Run: "R", Comment: "it has no task send that has succeeded"}, `run R of invoice: it has no task send that has succeeded`},
		{engine.Wake{Cause: engine.WakeRun, As: "failed", Run: "R", Comment: "pay: 503"}, `run R of invoice is failed: pay: 503`},
		{engine.Wake{Cause: engine.WakeRun, As: "cancelled", Run: "R"}, `run R of invoice is cancelled`},
		{engine.Wake{Cause: engine.WakeRun, As: engine.WakeOpened, Run: "R"}, `{"run_id":"R"}`},
		{engine.Wake{Cause: engine.WakeRefused, Comment: "no flow"}, `flow invoice was not started: no flow`},
	} {
		got := do(t, steps.NewFlow(), props, func(in *engine.TaskInput) { in.SetWake(&c.wake) })
		text := string(got.Value)
		if got.Err != nil {
			text = got.Err.Message
		}
		if text != c.want {
			t.Errorf("%+v leaves %s, want %s", c.wake, text, c.want)
		}
	}
	got := do(t, steps.NewFlow(), value.MapOf("flow", "invoice"), func(in *engine.TaskInput) { in.SetWake(&engine.Wake{Cause: engine.WakeRun, As: "success", Run: "R"}) })
	if string(got.Value) != `{"run_id":"R","status":"success"}` {
		t.Errorf("without xcom it leaves %s", got.Value)
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
		{steps.NewWait(nil), value.MapOf(), "wait: give one of duration, until, signal"},
		{steps.NewWait(nil), value.MapOf("duration", "1m", "until", "x"), "wait: give one of duration, until"},
		{steps.NewWait(nil), value.MapOf("duration", "2h", "signal", "paid"), "wait: give one of duration, until, signal"},
		{steps.NewWait(nil), value.MapOf("duration", "2h", "key", "a"), "key: only a wait for a signal has one"},
		{steps.NewWait(nil), value.MapOf("signal", "{{ word }}"), "signal: no template can stand here"},
		{steps.NewWait(nil), value.MapOf("signal", "is paid"), `invalid: signal "is paid"`},
		{steps.NewWait(nil), value.MapOf("signal", "paid", "timeout", "0s"), "timeout: 0 is no time to wait"},
		{steps.NewWait(nil), value.MapOf("signal", "paid", "timeout", "1h", "on_timeout", "go"), `on_timeout is "go", want one of fail, continue`},
		{steps.NewWait(nil), value.MapOf("signal", "paid", "on_timeout", "continue"), "on_timeout: without timeout the wait has no end"},
		{steps.NewFlow(), value.MapOf(), "flow: flow is missing"},
		{steps.NewFlow(), value.MapOf("flow", "f"), "cycle of flows: f -> f"},
		{steps.NewFlow(), value.MapOf("flow", "{{ word }}"), "flow: no template can stand here"},
		{steps.NewFlow(), value.MapOf("flow", "g", "wait", "no"), "wait is a str, want true or false"},
		{steps.NewFlow(), value.MapOf("flow", "g", "wait", false, "xcom", "a"), "xcom: with wait = false nobody knows"},
		{steps.NewFlow(), value.MapOf("flow", "g", "variables", "a"), "variables is a str, want a table"},
		{steps.NewApproval(nil), value.MapOf(), "approval: message is missing"},
		{steps.NewApproval(nil), value.MapOf("message", "ok?", "approvers", "alice"), "approvers: want a list of names"},
		{steps.NewApproval(nil), value.MapOf("message", "ok?", "on_timeout", "ask"), `on_timeout is "ask", want one of reject, approve`},
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
	for _, kind := range []*steps.TaskType{steps.NewSet(), steps.NewLog(nil), steps.NewWait(nil), steps.NewApproval(nil), steps.NewFlow(), steps.NewSwitch()} {
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
