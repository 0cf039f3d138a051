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

// TestCrash_PollsGoOn kills the node while it asks about a job that a POST
// without key has started. The job is asked about again, and started once: a
// look may be repeated, so nobody has to say what became of it.
func TestCrash_PollsGoOn(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Handle("POST /start", testkit.Reply(202, `{"status": "queued"}`, "Content-Type", "application/json", "Location", "/jobs/7"))
	reached := make(chan struct{})
	var looks atomic.Int32
	u.Handle("GET /jobs/7", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		n := looks.Add(1)
		if n == 5 {
			close(reached)
			c.Wait(-1)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"status": %q}`, map[bool]string{true: "done", false: "running"}[n >= 9])
	}))
	dir := t.TempDir()
	text := fmt.Sprintf(`
[[tasks]]
id = "job"
type = "api_call"
[tasks.properties]
url = "%s/start"
operation = "post"
[tasks.properties.poll]
follow = "location"
until = "{{ body.status == 'done' }}"
interval = 0.01
`, u.URL)
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "flows", "job.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := testkit.Serve(t, dir)
	command(t, dir, "trigger", "job")
	<-reached
	p.Kill()
	p = testkit.Serve(t, dir)
	c, err := bus.Dial(p.Access, p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	doc := new(engine.RunDoc)
	if err := c.Call(t.Context(), "run.get", bus.RunRef{Run: "last", Wait: 50}, doc); err != nil {
		t.Fatal(err)
	}
	if doc.Status != engine.Success || doc.Tasks[0].Turns != 9 {
		t.Errorf("run: %s, %+v, %+v", doc.Status, doc.Tasks, doc.Error)
	}
	if n := u.Count("/start"); n != 1 || looks.Load() != 9 {
		t.Errorf("the job was started %d times and asked about %d times", n, looks.Load())
	}
}
