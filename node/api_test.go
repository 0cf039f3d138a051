package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/web"
)

// token makes a token and returns its text.
func token(t *testing.T, n *Node, payload string) string {
	t.Helper()
	admin := engine.Caller{Role: engine.RoleAdmin, Login: true}
	answer, err := n.service.Call(t.Context(), admin, "token.create", []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	var made TokenMade
	if err := json.Unmarshal(answer.JSON, &made); err != nil {
		t.Fatal(err)
	}
	return made.Text
}

// request sends a request to the node's door; headers are pairs.
func request(t *testing.T, n *Node, method, path, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, n.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, text
}

// document is the node's OpenAPI document.
type document struct {
	Paths      map[string]map[string]map[string]any
	Components struct{ Schemas map[string]map[string]any }
}

// check holds a value against a schema: nothing that the schema does not know,
// nothing missing, nothing of another type.
func (d *document) check(t *testing.T, where string, schema map[string]any, v any) {
	t.Helper()
	if ref, ok := schema["$ref"].(string); ok {
		schema = d.Components.Schemas[ref[strings.LastIndexByte(ref, '/')+1:]]
	}
	kind, _ := schema["type"].(string)
	switch v := v.(type) {
	case map[string]any:
		if kind != "object" && kind != "" {
			t.Errorf("%s is an object, not %s", where, kind)
		}
		properties, _ := schema["properties"].(map[string]any)
		more, _ := schema["additionalProperties"].(map[string]any)
		for name, field := range v {
			of, known := properties[name].(map[string]any)
			if !known && more == nil && properties != nil {
				t.Errorf("%s has %q, which the document does not", where, name)
			}
			if !known {
				of = more
			}
			d.check(t, where+"."+name, of, field)
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, there := v[name.(string)]; !there {
				t.Errorf("%s has no %q", where, name)
			}
		}
	case []any:
		if kind != "array" && kind != "" {
			t.Errorf("%s is a list, not %s", where, kind)
		}
		items, _ := schema["items"].(map[string]any)
		for i, item := range v {
			d.check(t, fmt.Sprintf("%s[%d]", where, i), items, item)
		}
	case nil:
		if kind != "" {
			t.Errorf("%s is null, not %s", where, kind)
		}
	default:
		want := map[string]string{"string": "string", "boolean": "bool", "number": "float64", "integer": "float64"}[kind]
		if got := fmt.Sprintf("%T", v); kind != "" && got != want {
			t.Errorf("%s is %v, not %s", where, v, kind)
		}
	}
}

// TestAPI_AnswersAreAsTheDocumentSays asks every route of a node that has
// something of everything.
func TestAPI_AnswersAreAsTheDocumentSays(t *testing.T) {
	n := httpNode(t)
	bad := filepath.Join(n.cfg.Flows, "broken.toml")
	if err := os.WriteFile(bad, []byte("[[tasks]]\nid = \"a\"\ntype = \"api_cal\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Flows.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	runFlow(t, n, "bad")
	shown, changed := runFlow(t, n, "good").RunID, runFlow(t, n, "good").RunID // what is asked of the one must not meet what is done to the other
	admin := token(t, n, `{"role":"admin","ttl":60}`)
	if _, err := n.service.Call(t.Context(), engine.Caller{Role: engine.RoleAdmin, Login: true}, "credential.store",
		[]byte(`{"credential_id":"shop","type":"basic_auth","data":{"username":"u","password":"canary-4711"}}`)); err != nil {
		t.Fatal(err)
	}
	_, text := request(t, n, "GET", "/api/v1/openapi.json", "")
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	key := "http:%2F%2F" + strings.TrimPrefix(upstreamOf(t, n), "http://")
	bodies := map[string]string{
		"/query": `{"sql":"SELECT * FROM xt_operation_logs"}`, "/runs/{run}/resolve": `{"task_id":"a","as":"failed"}`, "/runs/{run}/cancel": `{}`,
		"/flows/{flow}/runs": `{"variables":{"a":1}}`, "/breakers/{breaker}/reset": "",
		"/runs/{run}/decide": `{"task_id":"a","as":"approve"}`, "/flows/{flow}/signals/{signal}": `{"key":"17"}`,
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			run := shown
			if method == "post" {
				run = changed
			}
			at := strings.NewReplacer("{flow}", "good", "{run}", string(run), "{task}", "a", "{signal}", "paid", "{breaker}", key).Replace(path)
			res, text := request(t, n, strings.ToUpper(method), "/api/v1"+at, bodies[path], "Authorization", "Bearer "+admin)
			if bytes.Contains(text, []byte("canary-4711")) {
				t.Errorf("%s shows a secret", path)
			}
			if res.StatusCode == http.StatusConflict || res.StatusCode == http.StatusNotFound && strings.HasPrefix(path, "/runs/") && method == "post" {
				continue // the run has ended
			}
			responses := op["responses"].(map[string]any)
			answer, ok := responses[fmt.Sprint(res.StatusCode)].(map[string]any)
			if !ok {
				t.Errorf("%s %s: %d %s", method, path, res.StatusCode, text)
				continue
			}
			var v any
			if err := json.Unmarshal(text, &v); err != nil {
				t.Errorf("%s %s: %v", method, path, err)
			}
			schema := answer["content"].(map[string]any)["application/json"].(map[string]any)["schema"].(map[string]any)
			doc.check(t, method+" "+path, schema, v)
		}
	}
}

// upstreamOf is the address that the flow good calls.
func upstreamOf(t *testing.T, n *Node) string {
	t.Helper()
	list := n.breakers.List()
	if len(list) == 0 {
		t.Fatal("nothing was called yet")
	}
	return strings.TrimSuffix(list[0].Key, "/")
}

func TestTokens_LetInWhomTheyAreFor(t *testing.T) {
	n := httpNode(t, func(c *Config) { c.HTTP.Login = web.LoginAlways })
	ask := func(want int, method, path, token string) string {
		t.Helper()
		res, text := request(t, n, method, path, "", "Authorization", token)
		if res.StatusCode != want {
			t.Errorf("%s %s: %d %s, want %d", method, path, res.StatusCode, text, want)
		}
		return string(text)
	}
	shop := token(t, n, `{"role":"trigger","flows":["good"],"name":"shop"}`)
	short := token(t, n, `{"role":"viewer","ttl":0.05}`)
	ask(202, "POST", "/api/v1/flows/good/runs", "Bearer "+shop)
	if text := ask(403, "POST", "/api/v1/flows/bad/runs", "Bearer "+shop); !strings.Contains(text, `"detail":"you may start good, not bad (token shop)"`) {
		t.Errorf("another flow: %s", text)
	}
	if text := ask(403, "GET", "/api/v1/runs", "Bearer "+shop); !strings.Contains(text, `"detail":"viewer needed: you are trigger (token shop)"`) {
		t.Errorf("looking: %s", text)
	}
	other := shop[:len(shop)-1] + string("ab"[b2i(shop[len(shop)-1] == 'a')])
	for _, wrong := range []string{"", "Bearer", "Bearer x", "Bearer " + other, "Bearer qt_aaaaaaaaaa_" + shop[14:], "Bearer qt_>aaaaaaaaa_" + shop[14:], "Basic " + shop} {
		text := ask(401, "POST", "/api/v1/flows/good/runs", wrong)
		if strings.Contains(text, shop[14:]) {
			t.Errorf("the answer repeats the secret: %s", text)
		}
	}
	waitFor(t, "the token expires", func() bool {
		res, text := request(t, n, "GET", "/api/v1/runs", "", "Authorization", "Bearer "+short)
		return res.StatusCode == 401 && strings.Contains(string(text), "has expired at")
	})
	admin := engine.Caller{Role: engine.RoleAdmin, Login: true}
	if _, err := n.service.Call(t.Context(), admin, "token.delete", fmt.Appendf(nil, `{"id":%q}`, shop[3:13])); err != nil {
		t.Fatal(err)
	}
	ask(401, "POST", "/api/v1/flows/good/runs", "Bearer "+shop)
	for payload, want := range map[string]string{
		`{"role":"viwer"}`:                      `"viwer" is no role; there are viewer, trigger, operator, admin (did you mean "viewer"?)`,
		`{"role":"viewer","flows":["good"]}`:    "only the role trigger is bound to flows",
		`{"role":"trigger","flows":["a.b"]}`:    `flow id "a.b" may have only letters, digits, _ and -, and starts with a letter or _`,
		`{"role":"viewer","ttl":-1}`:            "ttl is -1 seconds, want up to a hundred years",
		`{"role":"viewer","name":"two\nlines"}`: "a name is one line of at most 64 bytes",
	} {
		if _, err := n.service.Call(t.Context(), admin, "token.create", []byte(payload)); err == nil || engine.ErrorLine(err) != want {
			t.Errorf("%s: %v, want %s", payload, err, want)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestAPI_TheSameKeyIsTheSameRun starts a run many times at once with one key,
// from callers of whom half go away at once.
func TestAPI_TheSameKeyIsTheSameRun(t *testing.T) {
	n := httpNode(t)
	const callers = 32
	ids := make(chan string, callers)
	for i := range callers {
		go func() {
			req, err := http.NewRequest("POST", n.URL()+"/api/v1/flows/good/runs", nil)
			if err != nil {
				t.Error(err)
			}
			req.Header.Set("Idempotency-Key", "order-1")
			req.Header.Set("Prefer", "wait=20")
			c := http.Client{Timeout: 20 * time.Second}
			if i%2 == 1 {
				c.Timeout = time.Millisecond
			}
			res, err := c.Do(req)
			if err != nil {
				ids <- ""
				return
			}
			defer res.Body.Close()
			var doc engine.RunDoc
			if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
				ids <- ""
				return
			}
			ids <- string(doc.RunID)
		}()
	}
	seen := map[string]bool{}
	for range callers {
		if id := <-ids; id != "" {
			seen[id] = true
		}
	}
	_, text := request(t, n, "GET", "/api/v1/runs", "")
	var list struct{ Runs []engine.RunDoc }
	if err := json.Unmarshal(text, &list); err != nil || len(list.Runs) != 1 || len(seen) != 1 || !seen[string(list.Runs[0].RunID)] {
		t.Errorf("runs: %s; answers: %v", text, seen)
	}
}

// TestAudit_IsAnEvent reads it as any NATS client does.
func TestAudit_IsAnEvent(t *testing.T) {
	n := httpNode(t)
	sub, err := n.Bus.Conn().SubscribeSync("qarion.event._.audit")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Bus.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	request(t, n, "POST", "/api/v1/flows/good/runs", "")
	m, err := sub.NextMsg(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var a web.Audit
	if err := json.Unmarshal(m.Data, &a); err != nil || a.Who != "no login" || a.Endpoint != "run.start" || a.Result != "ok" || a.From != "127.0.0.1" {
		t.Errorf("got %s", m.Data)
	}
}
