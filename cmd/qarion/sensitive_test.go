package main_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestSensitive_SurvivesCrashesAndPeople: what a sensitive task has left opens
// again after a crash, a rekey and a restart, and what a person gives in its
// place is sealed like it.
func TestSensitive_SurvivesCrashesAndPeople(t *testing.T) {
	const token, given = "the-token-that-was-left", "the-token-a-person-gave"
	u := testkit.NewUpstream(t)
	sent := make(chan struct{}, 10)
	hold := func(then testkit.Answer) testkit.Answer {
		return testkit.First(1, testkit.Do(func(_ http.ResponseWriter, c *testkit.Call) {
			sent <- struct{}{}
			c.Wait(-1) // until the node dies
		}), then)
	}
	u.Handle("/login", testkit.OK(`{"token":"`+token+`"}`))
	u.Handle("/use", hold(testkit.OK(`{}`)))
	u.Handle("/lost", hold(testkit.OK(`{}`)))
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	sensitive := func(task string) string {
		return strings.Replace(task, "type = \"api_call\"\n", "type = \"api_call\"\nsensitive = true\n", 1)
	}
	for name, text := range map[string]string{
		"crash": sensitive(upstreamTask(u, "login", "login", "", "")) + upstreamTask(u, "use", "use", "", "params = { t = \"{{ xcom_login.token }}\" }"),
		"lost":  sensitive(upstreamTask(u, "login", "lost", "", "operation = \"post\"")) + upstreamTask(u, "use", "ok", "", "params = { t = \"{{ xcom_login.token }}\" }"),
	} {
		if err := os.WriteFile(filepath.Join(dir, "flows", name+".toml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := testkit.Serve(t, dir)
	for _, flow := range []string{"crash", "lost"} {
		startFlow(t, p, flow)
		select {
		case <-sent:
		case <-time.After(20 * time.Second):
			t.Fatal("nothing was sent")
		}
	}
	p.Kill()
	p = testkit.Serve(t, dir)
	c, err := bus.Dial(p.Access, p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	doc := awaitFlow(t, c, "crash")
	use := u.Requests("/use")
	if doc.Status != engine.Success || use[len(use)-1].Query.Get("t") != token {
		t.Errorf("after a crash: %s %+v, sent %q", doc.Status, doc.Error, use[len(use)-1].Query)
	}
	lost := awaitFlow(t, c, "lost")
	if lost.Status != engine.Interrupted {
		t.Fatalf("the run whose answer was lost: %s %+v", lost.Status, lost.Error)
	}
	if err := c.Admin(t.Context(), "credential.rekey", nil, nil); err != nil {
		t.Fatal(err)
	}
	in := bus.ResolveTask{Run: string(lost.RunID), Task: "login", As: "success", Value: json.RawMessage(`{"token":"` + given + `"}`)}
	if err := c.Call(t.Context(), "run.resolve", in, nil); err != nil {
		t.Fatal(err)
	}
	done := new(engine.RunDoc)
	if err := c.Call(t.Context(), "run.get", bus.RunRef{Run: string(lost.RunID), Wait: 20, XCom: []string{"login"}}, done); err != nil || done.Status != engine.Success {
		t.Fatalf("%v: %+v", err, done)
	}
	if got := u.Requests("/ok"); len(got) != 1 || got[0].Query.Get("t") != given {
		t.Errorf("what a person gave was sent as %v", got)
	}
	if shown, _ := json.Marshal(done.XCom); string(shown) != `{"login":{"sensitive":true}}` {
		t.Errorf("the run's answer shows %s", shown)
	}
	for _, run := range []engine.RunID{doc.RunID, lost.RunID} {
		var v any
		if err := c.Call(t.Context(), "xcom.get", bus.XComRef{Run: string(run), Task: "login"}, &v); err == nil || !strings.Contains(err.Error(), "task login is sensitive") {
			t.Errorf("xcom.get: %v, %v", v, err)
		}
	}
	p.Stop()
	nowhere(t, filepath.Join(dir, "data"), token, given)
}

func startFlow(t *testing.T, p *testkit.Process, flow string) {
	t.Helper()
	c, err := bus.Dial(p.Access, p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Call(t.Context(), "run.start", bus.StartRun{Flow: flow}, new(engine.RunDoc)); err != nil {
		t.Fatal(err)
	}
}

// awaitFlow waits until the one run of a flow has ended, or waits for a person.
func awaitFlow(t *testing.T, c *bus.Client, flow string) *engine.RunDoc {
	t.Helper()
	var list bus.RunList
	if err := c.Call(t.Context(), "run.list", bus.ListRuns{Flow: flow}, &list); err != nil || len(list.Runs) != 1 {
		t.Fatalf("%v: %d runs", err, len(list.Runs))
	}
	doc := new(engine.RunDoc)
	if err := c.Call(t.Context(), "run.get", bus.RunRef{Run: string(list.Runs[0].RunID), Wait: 20}, doc); err != nil {
		t.Fatal(err)
	}
	return doc
}
