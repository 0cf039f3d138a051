package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestRerun_WithTheFlowAsItIsNow mends a flow after a run of it has failed. The
// same version, which nothing uses any more, fails again; the newest one keeps
// what it can, and says what stands otherwise. Large variables come along.
func TestRerun_WithTheFlowAsItIsNow(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Handle("/a", testkit.OK(`{"n": 1}`))
	u.Handle("/b", testkit.OK(`{"n": 2}`))
	u.Handle("/d", testkit.OK(`{"n": 4}`))
	dir := t.TempDir()
	write := func(params, b, more string) {
		t.Helper()
		text := fmt.Sprintf(`
[variables]
text = ""

[[tasks]]
id = "a"
type = "api_call"
properties = { url = "%[1]s/a"%[2]s }

[[tasks]]
id = "b"
type = "api_call"
dependencies = ["a"]
properties = { url = "%[1]s/%[3]s" }
%[4]s`, u.URL, params, b, more)
		if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "flows", "orders.toml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("", "missing", "")
	p := testkit.Serve(t, dir)
	ask := func(name string, in, out any) error {
		t.Helper()
		c, err := bus.Dial(p.Access, p.Access.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.Call(t.Context(), name, in, out)
	}
	first := new(engine.RunDoc)
	variables := fmt.Appendf(nil, `{"text": %q}`, strings.Repeat("y", 20_000)) // more than the fold keeps
	if err := ask("run.start", bus.StartRun{Flow: "orders", Variables: variables, Wait: json.RawMessage("50")}, first); err != nil || first.Status != engine.Failed {
		t.Fatalf("%v, %+v", err, first)
	}
	if code := p.Stop(); code != 0 {
		t.Fatalf("the node stopped with exit code %d", code)
	}
	write(`, params = { all = "1" }`, "b", fmt.Sprintf(`
[[tasks]]
id = "d"
type = "api_call"
properties = { url = "%s/d", params = { a = "{{ xcom_a.n }}", b = "{{ xcom_b.n }}", text = "{{ text | length }}" } }
`, u.URL))
	p = testkit.Serve(t, dir)
	for _, c := range []struct {
		in     bus.RerunRun
		want   string
		status engine.Status
	}{
		{bus.RerunRun{}, "kept 1, again [b], changed []", engine.Failed},
		{bus.RerunRun{Version: "newest"}, "kept 1, again [b d], changed [a]", engine.Success},
		{bus.RerunRun{Version: "newest", From: "all"}, "kept 0, again [a b d], changed []", engine.Success},
	} {
		c.in.Run, c.in.Wait = string(first.RunID), json.RawMessage("50")
		out := new(engine.Rerunning)
		if err := ask("run.rerun", c.in, out); err != nil {
			t.Errorf("%+v: %v", c.in, err)
			continue
		}
		got := fmt.Sprintf("kept %d, again %v, changed %v", out.Kept, out.Tasks, out.Changed)
		if got != c.want || out.Run.Status != c.status || (out.Newer != "") != (c.in.Version == "") {
			t.Errorf("%+v: %s, %s, newer %q; want %s, %s; %+v", c.in, got, out.Run.Status, out.Newer, c.want, c.status, out.Run.Error)
		}
	}
	if q := u.Requests("/d"); len(q) != 2 || q[0].Query.Get("a") != "1" || q[0].Query.Get("text") != "20000" {
		t.Errorf("the new task was called with %+v", q)
	}
	if n := u.Count("/a"); n != 2 {
		t.Errorf("what was kept was called %d times, want 2: first, and when all was done again", n)
	}
	for want, in := range map[string]bus.RerunRun{
		"no task \"d\" in version": {Run: string(first.RunID), From: "d"},
	} {
		if err := ask("run.rerun", in, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", in, err, want)
		}
	}
}
