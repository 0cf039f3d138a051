package main_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/qarion/qarion/internal/testkit"
)

// canaries are random secrets, one per place where a flow may have one.
type canaries struct {
	mu   sync.Mutex
	all  map[string]string // by where it is
	seen map[string]int    // how often the server got it
}

func (c *canaries) make(where string) string {
	raw := make([]byte, 12)
	_, _ = rand.Read(raw)
	secret := "cnry/" + hex.EncodeToString(raw) + "+=" // has what encodings change
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[where] = secret
	return secret
}

// forms are the texts in which a secret may show up.
func forms(where, secret string) map[string]string {
	quoted, _ := json.Marshal(secret)
	return map[string]string{
		"raw": secret, "query": url.QueryEscape(secret), "path": url.PathEscape(secret), "json": strings.Trim(string(quoted), `"`),
		"hex": hex.EncodeToString([]byte(secret)), "base64": base64.StdEncoding.EncodeToString([]byte(secret)),
		"basic":  base64.StdEncoding.EncodeToString([]byte("user-" + where + ":" + secret)),
		"client": base64.StdEncoding.EncodeToString([]byte("id:" + url.QueryEscape(secret))),
	}
}

// leaks lists the secrets that a text shows.
func (c *canaries) leaks(text []byte) (found []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for where, secret := range c.all {
		for form, s := range forms(where, secret) {
			if bytes.Contains(text, []byte(s)) {
				found = append(found, where+" ("+form+")")
			}
		}
	}
	return found
}

// serve is an API that says back whatever it got, except in a success: what a
// success holds is data. The first element of the path is the outcome.
func (c *canaries) serve(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	var body bytes.Buffer
	_, _ = body.ReadFrom(r.Body)
	got := r.Method + " " + r.URL.RequestURI() + " " + fmt.Sprint(r.Header) + body.String()
	c.mu.Lock()
	for where, secret := range c.all {
		for _, s := range forms(where, secret) {
			if strings.Contains(got, s) {
				c.seen[where]++
				break
			}
		}
	}
	c.mu.Unlock()
	outcome := strings.Split(r.URL.Path, "/")[1]
	switch outcome {
	case "token":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":3600,"refresh_token":%q}`, c.make("token of "+r.URL.Path), c.make("refresh token of "+r.URL.Path))
	case "badtoken":
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":%q}`, got)
	case "drop":
		panic(http.ErrAbortHandler)
	case "redirect":
		http.Redirect(w, r, "http://localhost:1/?from="+url.QueryEscape(got), http.StatusFound)
	case "ok":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"id":1}`)
	case "check":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"id": got})
	default:
		w.Header().Set("X-Echo", strings.ReplaceAll(got, "\n", " "))
		w.Header().Set("Set-Cookie", "session="+url.QueryEscape(got))
		w.WriteHeader(map[string]int{"unauthorized": 401, "server": 500, "teapot": 418}[outcome])
		fmt.Fprintf(w, `{"you_sent":%q}`, got)
	}
}

// TestCanaries_SecretsAreSeenByTheServerAlone runs every way to use a secret
// with every outcome and looks for the secrets in everything that comes out.
func TestCanaries_SecretsAreSeenByTheServerAlone(t *testing.T) {
	c := &canaries{all: map[string]string{}, seen: map[string]int{}}
	srv := httptest.NewServer(http.HandlerFunc(c.serve))
	defer srv.Close()
	dir := t.TempDir()
	var shown bytes.Buffer
	qarion := func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.Command(testkit.Binary(t), args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		cmd.Env = append(os.Environ(), "QARION_DATA_DIR=data")
		out, err := cmd.CombinedOutput()
		fmt.Fprintf(&shown, "\n%v: %s", args, out)
		if _, failed := err.(*exec.ExitError); err != nil && !failed {
			t.Fatal(err)
		}
	}
	object := func(pairs ...string) string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	store := func(id, kind, fields string) {
		qarion(fields, "credentials", "store", "--credential-id", id, "--type", kind, "--json", "-")
	}
	store("basic", "basic_auth", object("username", "user-basic", "password", c.make("basic")))
	store("bearer", "custom", object("token", c.make("bearer")))
	store("key", "api_key", object("api_key", c.make("key"), "header_name", "X-Shop"))
	store("param", "api_key", object("api_key", c.make("param"), "query_param", "k"))
	store("oauth", "oauth", object("client_id", "id", "client_secret", c.make("oauth"), "token_url", srv.URL+"/token/a"))
	store("refused", "oauth", object("client_id", "id", "client_secret", c.make("refused"), "token_url", srv.URL+"/badtoken"))
	store("inbody", "oauth", object("client_id", "id", "client_secret", c.make("inbody"), "token_url", srv.URL+"/badtoken", "auth_style", "body"))
	store("ref", "custom", object("token", c.make("ref"), "pin", c.make("pin")))

	uses := map[string]string{
		"basic": `auth_type = "basic", credential_id = "basic"`, "bearer": `auth_type = "bearer", credential_id = "bearer"`,
		"key": `auth_type = "api_key", credential_id = "key"`, "param": `auth_type = "api_key", credential_id = "param"`,
		"oauth": `auth_type = "oauth2", credential_id = "oauth"`, "refused": `auth_type = "oauth2", credential_id = "refused"`,
		"inbody": `auth_type = "oauth2", credential_id = "inbody"`,
		"ref":    `operation = "post", idempotency_key = true, headers = { X-My = "a ${credential:ref} b" }, params = { q = "${credential:ref.pin}" }, body = { deep = [{ x = "${credential:ref}" }] }`,
	}
	var flow strings.Builder
	fmt.Fprint(&flow, "id = \"canary\"\n")
	for name, use := range uses {
		for _, outcome := range []string{"ok", "unauthorized", "server", "teapot", "drop", "redirect", "check"} {
			extra := ""
			if outcome == "check" {
				extra = `, response_validation = { field_checks = { id = { type = "int", pattern = "^x$" } } }`
			}
			fmt.Fprintf(&flow, "[[tasks]]\nid = %q\ntype = \"api_call\"\nproperties = { url = %q, retry_count = 1, retry_delay = 0.01, breaker = false, %s%s }\n",
				name+"_"+outcome, srv.URL+"/"+outcome, use, extra)
		}
		fmt.Fprintf(&flow, "[[tasks]]\nid = %q\ntype = \"api_call\"\nproperties = { url = \"http://127.0.0.1:1/\", breaker = false, %s }\n", name+"_refused", use)
	}
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "flows", "canary.toml"), []byte(flow.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	qarion("", "flows", "validate")
	qarion("", "run", "flows/canary.toml")
	qarion("", "run", "flows/canary.toml", "--output", "json")
	server := testkit.Serve(t, dir)
	qarion("", "trigger", "canary", "--wait")
	for _, args := range [][]string{
		{"runs", "list", "--output", "json"}, {"runs", "show", "last"}, {"runs", "show", "last", "--output", "json"},
		{"logs"}, {"logs", "--output", "json"}, {"status"}, {"status", "--output", "json"}, {"breakers", "list"},
		{"credentials", "list"}, {"credentials", "show", "basic"}, {"credentials", "show", "oauth", "--output", "json"}, {"credentials", "show", "ref"},
		{"runs", "show", "last", "--task", "basic_unauthorized", "--body"}, {"runs", "show", "last", "--task", "ref_check", "--body"},
		{"runs", "show", "last", "--task", "param_redirect"}, {"runs", "show", "last", "--task", "oauth_server", "--output", "json"},
		{"xcom", "get", "last", "basic_ok"}, {"credentials", "rekey"}, {"credentials", "delete", "key"},
	} {
		qarion("", args...)
	}
	server.Stop()
	shown.WriteString(server.Log())

	for where := range c.all {
		if c.seen[where] == 0 && !strings.HasPrefix(where, "refresh") {
			t.Errorf("the server never got the secret %q: the test shows nothing", where)
		}
	}
	if !strings.Contains(shown.String(), "you_sent") {
		t.Error("no failure showed what the server said: the test shows nothing")
	}
	if found := c.leaks(shown.Bytes()); len(found) > 0 {
		t.Errorf("shown: %v\n%.4000s", found, excerpt(shown.String(), c, found[0]))
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if found := c.leaks(data); len(found) > 0 {
			t.Errorf("on disk, %s: %v", strings.TrimPrefix(path, dir), found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// excerpt is the text around the first leak.
func excerpt(text string, c *canaries, leak string) string {
	where, _, _ := strings.Cut(leak, " (")
	for _, s := range forms(where, c.all[where]) {
		if i := strings.Index(text, s); i >= 0 {
			return text[max(0, i-600):min(len(text), i+200)]
		}
	}
	return ""
}
