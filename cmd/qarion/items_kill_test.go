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

// TestCrash_ItemsGoOn kills the node when 2,000 of 10,000 items have been called for.
// No item is called for again whose record is stored; those that are refused fail the
// task, and a rerun calls for them alone.
func TestCrash_ItemsGoOn(t *testing.T) {
	t.Parallel()
	const total, killAt, lanes = 10_000, 2_000, 64
	u := testkit.NewUpstream(t)
	var calls atomic.Int64
	var healthy atomic.Bool
	reached := make(chan struct{})
	u.Handle("/list", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		w.Header().Set("Content-Type", "application/json")
		rows := make([]map[string]any, total)
		for i := range rows {
			rows[i] = map[string]any{"id": i + 1, "text": strings.Repeat("x", 30)}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"rows": rows})
	}))
	u.Handle("/one", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		id := c.URL.Query().Get("id")
		if calls.Add(1) == killAt {
			close(reached)
			c.Wait(-1)
		}
		if n, _ := strconv.Atoi(id); n%4000 == 17 && !healthy.Load() {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id": %s}`, id)
	}))
	u.Handle("/sum", testkit.OK(`{}`))
	dir := t.TempDir()
	text := fmt.Sprintf(`
[[tasks]]
id = "list"
type = "api_call"
properties = { url = "%[1]s/list" }

[[tasks]]
id = "each"
type = "api_call"
for_each = "{{ xcom_list.rows }}"
max_parallel = %[2]d
properties = { url = "%[1]s/one", params = { id = "{{ item.id }}", index = "{{ index }}", total = "{{ items_total }}" } }

[[tasks]]
id = "sum"
type = "api_call"
properties = { url = "%[1]s/sum", params = { n = "{{ xcom_each | length }}", sum = "{{ xcom_each | sum(attribute='id') }}", last = "{{ xcom_each[9999].id }}", good = "{{ resp_each.success }}" } }
`, u.URL, lanes)
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "flows", "items.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := testkit.Serve(t, dir)
	command(t, dir, "trigger", "items")
	<-reached
	p.Kill()
	before := len(u.Requests("/one"))
	p = testkit.Serve(t, dir)
	c, err := bus.Dial(p.Access, p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	doc := new(engine.RunDoc)
	if err := c.Call(t.Context(), "run.get", bus.RunRef{Run: "last", Wait: 240}, doc); err != nil {
		t.Fatal(err)
	}
	const want = "3 of 10000 items failed (first: item 17: 422"
	if doc.Status != engine.Failed || doc.Error == nil || !strings.HasPrefix(doc.Error.Message, want) || !strings.Contains(doc.Error.Message, "--from failed") {
		t.Fatalf("run: %s, %+v", doc.Status, doc.Error)
	}
	if it := doc.Tasks[1].Items; it == nil || it.Total != total || it.Success != total-3 || it.Failed != 3 || len(it.Failures) != 3 || it.Failures[2].Item != 8017 {
		t.Fatalf("items: %+v", it)
	}
	asked := map[string]int{}
	for _, r := range u.Requests("/one") {
		asked[r.Query.Get("id")]++
		if r.Query.Get("index") != r.Query.Get("id") || r.Query.Get("total") != "10000" {
			t.Fatalf("an item was asked for with %v", r.Query)
		}
	}
	again := 0
	for n := 1; n <= total; n++ {
		switch asked[strconv.Itoa(n)] {
		case 1:
		case 2:
			again++
		default:
			t.Fatalf("item %d was asked for %d times", n, asked[strconv.Itoa(n)])
		}
	}
	if before < killAt || again > 4*lanes { // in flight, or answered and not stored yet
		t.Errorf("%d calls before the kill, %d items were asked for again", before, again)
	}
	healthy.Store(true)
	out := string(command(t, dir, "runs", "rerun", "last", "--wait"))
	if n := len(u.Requests("/one")) - total - again; n != 3 {
		t.Errorf("the rerun made %d calls, want 3: %s", n, out)
	}
	if q := u.Requests("/sum")[0].Query; q.Get("n") != "10000" || q.Get("sum") != "50005000" || q.Get("last") != "10000" || q.Get("good") != "10000" {
		t.Errorf("the next task read %v", q)
	}
	for item, want := range map[string]string{"17": `{"id":17}`, "18": `{"id":18}`} {
		got := strings.ReplaceAll(strings.TrimSpace(string(command(t, dir, "xcom", "get", "last", "each", "--item", item))), " ", "")
		if got != want {
			t.Errorf("item %s has left %s, want %s", item, got, want)
		}
	}
	if out := string(command(t, dir, "runs", "show", "last")); !strings.Contains(out, "10000 items") {
		t.Errorf("runs show does not tell of the items: %s", out)
	}
}
