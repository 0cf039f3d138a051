package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestCrash_FinallyGoesOn cancels a run and kills the node while it does what
// finally says. That call is made again, with its key; nothing else is, and the
// run is cancelled as it was.
func TestCrash_FinallyGoesOn(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Handle("POST /open", testkit.OK(`{"lease": 12}`))
	working, releasing := make(chan struct{}), make(chan struct{})
	u.Handle("GET /work", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		close(working)
		c.Wait(-1)
	}))
	var held atomic.Bool
	u.Handle("POST /release", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		if held.CompareAndSwap(false, true) {
			close(releasing)
			c.Wait(-1)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(c.Seen.Body)
	}))
	u.Handle("/alert", testkit.OK(`{}`))
	dir := t.TempDir()
	text := fmt.Sprintf(`
[[tasks]]
id = "open"
type = "api_call"
properties = { url = "%[1]s/open", operation = "post", idempotency_key = true }

[[tasks]]
id = "work"
type = "api_call"
dependencies = ["open"]
properties = { url = "%[1]s/work" }

[[on_failure.tasks]]
id = "alert"
type = "api_call"
properties = { url = "%[1]s/alert" }

[[finally.tasks]]
id = "release"
type = "api_call"
properties = { url = "%[1]s/release", operation = "post", idempotency_key = true, body = { lease = "{{ xcom_open.lease }}", run = "{{ run.status }}", work = "{{ run.tasks.work.status }}" } }
`, u.URL)
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "flows", "lease.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := testkit.Serve(t, dir)
	dial := func() *bus.Client {
		c, err := bus.Dial(p.Access, p.Access.URL)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	command(t, dir, "trigger", "lease")
	<-working
	if err := dial().Call(t.Context(), "run.cancel", bus.RunRef{Run: "last"}, nil); err != nil {
		t.Fatal(err)
	}
	<-releasing
	p.Kill()
	p = testkit.Serve(t, dir)
	doc := new(engine.RunDoc)
	if err := dial().Call(t.Context(), "run.get", bus.RunRef{Run: "last", Wait: 50, XCom: []string{"release"}}, doc); err != nil {
		t.Fatal(err)
	}
	if doc.Status != engine.Cancelled || fmt.Sprint(doc.Counts) != "map[cancelled:1 skipped:1 success:2]" {
		t.Errorf("run: %s %v %+v", doc.Status, doc.Counts, doc.Error)
	}
	if got := fmt.Sprint(doc.XCom["release"]); got != "map[lease:12 run:cancelled work:cancelled]" {
		t.Errorf("finally was told %s", got)
	}
	for path, want := range map[string]int{"/open": 1, "/work": 1, "/alert": 0, "/release": 2} {
		if n := u.Count(path); n != want {
			t.Errorf("%s was called %d times, want %d", path, n, want)
		}
	}
	if r := u.Requests("/release"); len(r) == 2 && (r[0].Key == "" || r[0].Key != r[1].Key) {
		t.Errorf("finally sent the keys %q and %q", r[0].Key, r[1].Key)
	}
}
