package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestCrash_ARerunGoesOn repeats a run twice, with a kill of the node between
// and within. What succeeded is never called again: a large value, a sensitive
// one, the pages before the one that failed. A POST that a server answered with
// 500 sends its first key, one that it refused a new one.
func TestCrash_ARerunGoesOn(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	var healthy atomic.Bool
	large := strings.Repeat("x", 200_000)
	u.Handle("GET /large", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"text": %q}`, large)
	}))
	u.Handle("GET /secret", testkit.OK(`{"pin": "4711-8822"}`))
	u.Handle("GET /list", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		page, _ := strconv.Atoi(c.URL.Query().Get("page"))
		if page == 7 && !healthy.Load() {
			w.WriteHeader(500)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"data": [{"n": %d}], "pages": 12}`, page)
	}))
	answer := func(status int) testkit.Answer {
		return testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
			if !healthy.Load() {
				w.WriteHeader(status)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"ok": true}`))
		})
	}
	u.Handle("POST /broken", answer(500))
	u.Handle("POST /refused", answer(422))
	reached := make(chan struct{})
	var held atomic.Bool
	u.Handle("POST /sum", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		if held.CompareAndSwap(false, true) {
			close(reached)
			c.Wait(-1)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(c.Seen.Body)
	}))
	dir := t.TempDir()
	text := fmt.Sprintf(`
[[tasks]]
id = "large"
type = "api_call"
properties = { url = "%[1]s/large" }

[[tasks]]
id = "secret"
type = "api_call"
sensitive = true
properties = { url = "%[1]s/secret" }

[[tasks]]
id = "list"
type = "api_call"
dependencies = ["large", "secret"]
[tasks.properties]
url = "%[1]s/list"
[tasks.properties.paginate]
type = "page"
items = "data"
total_pages = "pages"

[[tasks]]
id = "broken"
type = "api_call"
properties = { url = "%[1]s/broken", operation = "post", idempotency_key = true }

[[tasks]]
id = "refused"
type = "api_call"
properties = { url = "%[1]s/refused", operation = "post", idempotency_key = true }

[[tasks]]
id = "sum"
type = "api_call"
dependencies = ["broken", "refused"]
properties = { url = "%[1]s/sum", operation = "post", idempotency_key = true, body = { text = "{{ xcom_large.text | length }}", pin = "{{ xcom_secret.pin }}", sum = "{{ xcom_list | sum(attribute='n') }}" } }
`, u.URL)
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "flows", "orders.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := testkit.Serve(t, dir)
	ask := func(name string, in, out any) {
		t.Helper()
		c, err := bus.Dial(p.Access, p.Access.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Call(t.Context(), name, in, out); err != nil {
			t.Fatal(err)
		}
	}
	first, second, third := new(engine.RunDoc), new(engine.Rerunning), new(engine.Rerunning)
	ask("run.start", bus.StartRun{Flow: "orders", Wait: json.RawMessage("50")}, first)
	if first.Status != engine.Failed || first.Counts[engine.Success] != 2 {
		t.Fatalf("the first run: %s %v", first.Status, first.Counts)
	}
	p.Kill()
	p = testkit.Serve(t, dir)
	ask("run.rerun", bus.RerunRun{Run: string(first.RunID), Wait: json.RawMessage("50")}, second) // nothing has changed
	if second.Run.Status != engine.Failed || second.Kept != 2 || fmt.Sprint(second.GoOn, second.SameKey, second.Tasks) != "[list] [list broken] [list broken refused sum]" {
		t.Fatalf("the second run: %+v, %+v", second.Run, second)
	}
	healthy.Store(true)
	ask("run.rerun", bus.RerunRun{Run: string(second.Run.RunID)}, third)
	<-reached
	p.Kill()
	p = testkit.Serve(t, dir)
	doc := new(engine.RunDoc)
	ask("run.get", bus.RunRef{Run: string(third.Run.RunID), Wait: 50, XCom: []string{"sum", "large"}}, doc)
	if doc.Status != engine.Success || doc.Counts[engine.Success] != 6 || doc.Root != first.RunID || doc.RerunOf != second.Run.RunID {
		t.Fatalf("the third run: %s %v %+v", doc.Status, doc.Counts, doc.Error)
	}
	if got := fmt.Sprint(doc.XCom["sum"]); got != "map[pin:4711-8822 sum:78 text:200000]" {
		t.Errorf("the last task read %s", got)
	}
	if got := fmt.Sprint(doc.XCom["large"]); len(got) < 200_000 {
		t.Errorf("a large value that was kept is shown as %.200s", got)
	}
	for path, want := range map[string]int{"/large": 1, "/secret": 1, "/list": 14, "/broken": 3, "/refused": 3, "/sum": 2} {
		if n := u.Count(path); n != want {
			t.Errorf("%s was called %d times, want %d", path, n, want)
		}
	}
	for path, want := range map[string]int{"/broken": 1, "/refused": 3, "/sum": 1} {
		keys := map[string]bool{}
		for _, r := range u.Requests(path) {
			keys[r.Key] = true
		}
		if len(keys) != want || keys[""] {
			t.Errorf("%s got the keys %v, want %d", path, keys, want)
		}
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("the node stopped with exit code %d", code)
	}
}
