package node

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
)

// parrot is a service that says everything back that it was sent: what it gets
// of secrets comes home in every answer.
func parrot(t *testing.T, secretValue string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		said := map[string]any{"sent": string(sent), "auth": r.Header.Get("Authorization"), "at": r.URL.String()}
		switch r.URL.Path {
		case "/sealed":
			said = map[string]any{"token": secretValue}
		case "/fails":
			w.WriteHeader(http.StatusUnprocessableEntity)
		case "/says": // what a success holds is data, and shown
			said = map[string]any{"id": 7}
		}
		_ = json.NewEncoder(w).Encode(said)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// crawl opens every page that a page leads to, beginning with the first, and
// returns what each of them shows, by address.
func crawl(t *testing.T, c *http.Client, base string, more ...string) map[string]string {
	t.Helper()
	links := regexp.MustCompile(`(?:href|src)="([^"]+)"`)
	pages, todo := map[string]string{}, append([]string{"/"}, more...)
	for len(todo) > 0 && len(pages) < 400 {
		path := todo[0]
		todo = todo[1:]
		if _, seen := pages[path]; seen {
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), "GET", base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html")
		status, text := answered(t, c, req)
		if status != http.StatusOK {
			t.Errorf("%s: %d\n%.300s", path, status, text)
		}
		pages[path] = text
		if !strings.HasPrefix(text, "<!doctype html>") {
			continue
		}
		for _, m := range links.FindAllStringSubmatch(text, -1) {
			to, _, _ := strings.Cut(html.UnescapeString(m[1]), "#")
			if strings.HasPrefix(to, "?") || to == "" {
				continue
			}
			if u, err := url.Parse(to); err != nil || u.Host != "" || u.Scheme != "" {
				t.Errorf("%s leads away, to %s", path, to)
				continue
			}
			todo = append(todo, to)
		}
	}
	return pages
}

// TestPages_ShowNoSecret: whatever link somebody follows, without a login or
// with one that may do everything, and whatever a stream tells meanwhile: no
// credential, sealed value or token stands there. All links lead somewhere.
func TestPages_ShowNoSecret(t *testing.T) {
	const password, bearer, value = "cnry-password+/=4711", "cnry-bearer+/=4712", "cnry-value+/=4713"
	api, dir := parrot(t, value), t.TempDir()
	task := func(id, path, more string) string {
		return "[[tasks]]\nid = \"" + id + "\"\ntype = \"api_call\"\n" + more + "[tasks.properties]\nurl = \"" + api + path + "\"\noperation = \"post\"\nretry_count = 0\nidempotency_key = true\n"
	}
	text := task("sealed", "/sealed", "sensitive = true\n") +
		task("uses", "/fails", "dependencies = [\"sealed\"]\n") + "auth_type = \"basic\"\ncredential_id = \"shop\"\nbody = { token = \"{{ xcom_sealed.token }}\" }\nbody_format = \"json\"\n" +
		task("says", "/says", "") + task("echoes", "/fails", "") + "auth_type = \"bearer\"\ncredential_id = \"bank\"\nparams = { key = \"${credential:bank.token}\" }\n"
	if err := os.WriteFile(filepath.Join(dir, "orders.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n := httpNode(t, func(c *Config) { c.Flows = dir })
	admin := engine.Caller{Name: "test", Role: engine.RoleAdmin, Login: true}
	ask := func(endpoint, payload string) []byte {
		t.Helper()
		answer, err := n.service.Call(t.Context(), admin, endpoint, []byte(payload))
		if err != nil {
			t.Fatal(endpoint, err)
		}
		return answer.JSON
	}
	ask("credential.store", `{"credential_id":"shop","type":"basic_auth","data":{"username":"u","password":"`+password+`"}}`)
	ask("credential.store", `{"credential_id":"bank","type":"custom","data":{"token":"`+bearer+`"}}`)
	var made TokenMade
	if err := json.Unmarshal(ask("token.create", `{"role":"admin","name":"me"}`), &made); err != nil {
		t.Fatal(err)
	}

	stream, err := http.Get(n.URL() + "/api/v1/events?topics=runs,log,node,flow:orders")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	var run engine.RunDoc
	if err := json.Unmarshal(ask("run.start", `{"flow":"orders","wait":30}`), &run); err != nil || run.Status != engine.Failed {
		t.Fatalf("the run: %+v %v", run, err)
	}
	var told strings.Builder
	for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
		told.WriteString(lines.Text())
		if strings.Contains(lines.Text(), "run.done") {
			break
		}
	}
	stream.Body.Close()
	waitFor(t, "the log shows all calls", func() bool {
		_, text := get(t, n.URL()+"/log")
		return strings.Count(text, `id="op-`) == 4
	})

	more := []string{"/runs/" + string(run.RunID) + "/xcom/sealed", "/runs/" + string(run.RunID) + "/xcom/says", "/query?sql=" + url.QueryEscape("SELECT * FROM xt_operation_logs"),
		"/query?format=csv&sql=" + url.QueryEscape("SELECT * FROM xt_flow_executions"), "/query?sql=" + url.QueryEscape("SELECT * FROM xt_task_executions")}
	anybody := crawl(t, &http.Client{}, n.URL(), more[1:]...)
	everything := crawl(t, &http.Client{Transport: shows(made.Text)}, n.URL(), more[1:]...)
	everything["the stream"] = told.String()
	if text := everything["/credentials"]; strings.Count(text, `<a href="/flows/orders">orders</a>`) != 2 || strings.Contains(text, "Not stored") {
		t.Errorf("who uses the credentials is not said\n%s", text)
	}
	for path, text := range anybody {
		everything["without a login "+path] = text
	}
	if len(anybody) < 25 || len(everything) < 60 || everything["/credentials"] == "" || !strings.Contains(told.String(), "run.done") {
		t.Errorf("%d pages, %d with all; the stream says %s", len(anybody), len(everything), told.String())
	}
	for path, text := range everything {
		for name, secret := range map[string]string{"password": password, "bearer": bearer, "value": value, "token": made.Text} {
			quoted, _ := json.Marshal(secret)
			for _, form := range []string{secret, html.EscapeString(secret), url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(quoted), `"`), base64.StdEncoding.EncodeToString([]byte("u:" + secret))} {
				if strings.Contains(text, form) {
					t.Errorf("%s shows the %s", path, name)
				}
			}
		}
	}
}

// shows sends a token with every request.
type shows string

func (token shows) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(token))
	return http.DefaultTransport.RoundTrip(r)
}
