package bus_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

func askList(t testing.TB, nc *nats.Conn, payload string) *bus.StartedRuns {
	t.Helper()
	answer, code, line := ask(t, nc, "run.start", payload)
	if code != "" {
		t.Fatalf("run.start: %s %s", code, line)
	}
	out := new(bus.StartedRuns)
	if err := json.Unmarshal(answer, out); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	return out
}

func TestService_StartsAListOneByOne(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	put(t, n.Node, flow("orders", nil, "a"))
	nc := n.stranger(t)

	out := askList(t, nc, ` [{"flow":"orders","id":"k1","batch_id":7},
		{"flow":"order"},
		{"flow":"orders","variables":[1]},
		{"flow":"orders","wait":true},
		{"flow":"orders","flavour":1},
		{"flow":"no good"},
		17,
		{"flow":"orders","id":"k1"},
		{"flow":"orders","variables":{"customer":7}}]`)
	if out.Started != 3 || out.Refused != 6 || len(out.Runs) != 9 {
		t.Fatalf("%+v", out)
	}
	for i, want := range map[int]string{
		1: `404 no flow "order" (did you mean "orders"?)`,
		2: `400 payload is a JSON list, want an object`,
		3: `400 a list is not waited for: leave out wait and xcom`,
		4: `400 unknown field "flavour"`,
		5: `400 `,
		6: `400 the request is a JSON number, want an object`,
	} {
		e := out.Runs[i].Error
		if e == nil || !strings.HasPrefix(e.Code+" "+e.Message, want) || out.Runs[i].RunID != "" {
			t.Errorf("run %d: %+v, want %s", i, e, want)
		}
	}
	first := out.Runs[0]
	if first.Known || first.BatchID != 7 || first.FlowID != "orders" || first.RunID == "" {
		t.Errorf("the first run: %+v", first)
	}
	if again := out.Runs[7]; !again.Known || again.RunID != first.RunID {
		t.Errorf("the same id in the same list: %+v, want %s", again, first.RunID)
	}
	for _, i := range []int{0, 8} {
		if doc := askRun(t, nc, "run.get", fmt.Sprintf(`{"run_id":%q,"wait":20}`, out.Runs[i].RunID)); doc.Status != engine.Success {
			t.Errorf("run %d: %s", i, doc.Status)
		}
	}
	if again := askList(t, nc, `[{"flow":"orders","id":"k1"}]`); !again.Runs[0].Known || again.Runs[0].RunID != first.RunID {
		t.Errorf("the same id in another list: %+v", again.Runs[0])
	}
	if none := askList(t, nc, `[]`); none.Started != 0 || none.Runs == nil {
		t.Errorf("an empty list: %+v", none)
	}
}

// A list has at most a thousand runs, and a thousand large ones travel in
// several messages.
func TestService_StartsAThousandAndNoMore(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	put(t, n.Node, flow("orders", nil, "a"))
	nc := n.stranger(t)
	list := func(runs int) string {
		entry := `{"flow":"orders","variables":{"note":"` + strings.Repeat("x", 800) + `"}}`
		return "[" + strings.TrimSuffix(strings.Repeat(entry+",", runs), ",") + "]"
	}
	_, code, line := ask(t, nc, "run.start", list(engine.MaxStarts+1))
	if code != "400" || line != "1001 runs in one list, at most 1000: nothing was started; send them in several" {
		t.Errorf("one too many: %s %s", code, line)
	}
	out := askList(t, nc, list(engine.MaxStarts))
	if out.Started != engine.MaxStarts || out.Refused != 0 {
		t.Fatalf("%d started, %d refused", out.Started, out.Refused)
	}
	ids := map[engine.RunID]bool{}
	for _, r := range out.Runs {
		ids[r.RunID] = true
	}
	if len(ids) != engine.MaxStarts {
		t.Errorf("%d ids of %d runs", len(ids), engine.MaxStarts)
	}
	for id := range ids {
		if doc := askRun(t, nc, "run.get", fmt.Sprintf(`{"run_id":%q,"wait":60,"brief":true}`, id)); doc.Status != engine.Success {
			t.Fatalf("run %s: %s", id, doc.Status)
		}
	}
	status, err := n.Engine.Status(t.Context())
	if err != nil || status.LastHour.Started != engine.MaxStarts {
		t.Errorf("%d runs were started, %v: those of the list that was refused must not be", status.LastHour.Started, err)
	}
}
