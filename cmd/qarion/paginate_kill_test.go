package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestCrash_PagesGoOn kills the node while it waits for page 40 of 80. That page
// is asked for again, no other one is, and the list is whole.
func TestCrash_PagesGoOn(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	reached := make(chan struct{})
	var held atomic.Bool
	u.Handle("/list", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		page, _ := strconv.Atoi(c.URL.Query().Get("page"))
		if page == 40 && held.CompareAndSwap(false, true) {
			close(reached)
			c.Wait(-1)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"data": [{"n": %d}], "pages": 80}`, page)
	}))
	u.Handle("/sum", testkit.OK(`{}`))
	dir := t.TempDir()
	text := fmt.Sprintf(`
[[tasks]]
id = "list"
type = "api_call"
[tasks.properties]
url = "%[1]s/list"
[tasks.properties.paginate]
type = "page"
items = "data"
total_pages = "pages"

[[tasks]]
id = "sum"
type = "api_call"
[tasks.properties]
url = "%[1]s/sum"
params = { items = "{{ xcom_list | length }}", sum = "{{ xcom_list | sum(attribute='n') }}", pages = "{{ resp_list.pages }}" }
`, u.URL)
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "flows", "pages.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := testkit.Serve(t, dir)
	command(t, dir, "trigger", "pages")
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
	if doc.Status != engine.Success || doc.Tasks[0].Turns != 80 {
		t.Fatalf("run: %s, %+v, %+v", doc.Status, doc.Tasks, doc.Error)
	}
	asked := map[string]int{}
	for _, r := range u.Requests("/list") {
		asked[r.Query.Get("page")]++
	}
	for page := 1; page <= 80; page++ {
		want := 1
		if page == 40 {
			want = 2
		}
		if n := asked[strconv.Itoa(page)]; n != want {
			t.Errorf("page %d was asked for %d times, want %d", page, n, want)
		}
	}
	if q := u.Requests("/sum")[0].Query; q.Get("items") != "80" || q.Get("sum") != "3240" || q.Get("pages") != "80" {
		t.Errorf("the next task read %v", q)
	}
	ops := logged(t, p)
	if len(ops) != 81 {
		t.Errorf("the operation log has %d entries, want 81", len(ops))
	}
}
