package node

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
)

// TestSignals_AreSentByWhoMay: by HTTP, with and without a login.
func TestSignals_AreSentByWhoMay(t *testing.T) {
	const text = `
[[tasks]]
id = "payment"
type = "wait"
properties = { signal = "paid", key = "17" }

[[tasks]]
id = "release"
type = "approval"
dependencies = ["payment"]
properties = { message = "ship it?", approvers = ["alice"] }

[[tasks]]
id = "send"
type = "approval"
dependencies = ["release"]
properties = { message = "send it?" }

[[tasks]]
id = "tell"
type = "log"
dependencies = ["send"]
properties = { message = "done" }
`
	n := httpNode(t, func(c *Config) {
		if err := os.WriteFile(filepath.Join(c.Flows, "shop.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	alice, shop, other := token(t, n, `{"role":"operator","name":"alice"}`), token(t, n, `{"role":"trigger","flows":["shop"],"name":"shop"}`), token(t, n, `{"role":"trigger","flows":["good"]}`)
	ask := func(want int, path, body, token string) string {
		t.Helper()
		headers := []string{}
		if token != "" {
			headers = []string{"Authorization", "Bearer " + token}
		}
		res, text := request(t, n, "POST", "/api/v1"+path, body, headers...)
		if res.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", path, res.StatusCode, text, want)
		}
		return string(text)
	}
	status := func(id engine.RunID, task engine.TaskID) (got engine.Status) {
		_, text := request(t, n, "GET", "/api/v1/runs/"+string(id), "")
		doc := new(engine.RunDoc)
		if err := json.Unmarshal(text, doc); err != nil {
			t.Fatal(err)
		}
		for _, d := range doc.Tasks {
			if d.TaskID == task {
				got = d.Status
			}
		}
		return got
	}
	var doc engine.RunDoc
	if err := json.Unmarshal([]byte(ask(202, "/flows/shop/runs", `{}`, "")), &doc); err != nil {
		t.Fatal(err)
	}
	run := "/runs/" + string(doc.RunID)
	if text := ask(403, run+"/signals/paid", "", ""); !strings.Contains(text, `run.signal needs a login`) {
		t.Errorf("without a login: %s", text)
	}
	ask(403, run+"/signals/paid", "", other)
	ask(403, "/flows/shop/signals/paid", `{"key":"17"}`, other)
	if text := ask(400, run+"/signals/pa%20id", "", shop); !strings.Contains(text, `signal \"pa id\"`) {
		t.Errorf("a bad name: %s", text)
	}
	ask(404, "/flows/shp/signals/paid", `{"key":"17"}`, alice)
	ask(400, "/flows/shop/signals/paid", `{"key":""}`, alice)
	waitFor(t, "payment waits", func() bool { return status(doc.RunID, "payment") == engine.Waiting })
	ask(409, run+"/decide", `{"task_id":"payment","as":"approve"}`, alice)
	ask(200, "/flows/shop/signals/paid", `{"key":"17","value":{"by":"eve"}}`, shop)
	waitFor(t, "release waits", func() bool { return status(doc.RunID, "release") == engine.Waiting })

	if text := ask(403, run+"/decide", `{"task_id":"release","as":"approve"}`, ""); !strings.Contains(text, "task release is decided by alice; you are not logged in") {
		t.Errorf("without a login: %s", text)
	}
	ask(400, run+"/decide", `{"task_id":"release","as":"maybe"}`, alice)
	page := func(token string) string {
		_, text := request(t, n, "GET", run, "", "Authorization", "Bearer "+token, "Accept", "text/html")
		return string(text)
	}
	if html := page(alice); !strings.Contains(html, "release waits for an approval") || !strings.Contains(html, "ship it?") || !strings.Contains(html, `<span class="mono">send</span> may start`) {
		t.Errorf("the page does not say what follows: %s", html)
	}
	ask(200, run+"/decide", `{"task_id":"release","as":"approve","value":{"by":"eve"}}`, alice)
	waitFor(t, "send waits", func() bool { return status(doc.RunID, "send") == engine.Waiting })
	ask(200, run+"/decide", `{"task_id":"send","as":"approve"}`, "")
	waitFor(t, "the end", func() bool { return status(doc.RunID, "tell") == engine.Success })
	for task, want := range map[string]string{"payment": `{"by":"eve"}`, "release": `"by":"alice"`, "send": `"by":"unverified"`} {
		if _, text := request(t, n, "GET", "/api/v1"+run+"/xcom/"+task, ""); !strings.Contains(string(text), want) {
			t.Errorf("%s has left %s, want %s", task, text, want)
		}
	}
	if text := ask(409, run+"/decide", `{"task_id":"send","as":"reject"}`, ""); !strings.Contains(text, "task send waits for no approval: it is success") {
		t.Errorf("after the end: %s", text)
	}
	ask(409, run+"/signals/paid", "", alice)
}
