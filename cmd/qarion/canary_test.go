package main_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

	proofs int // what was made of secrets, seen by the server
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

// makeKey makes a private key as PEM text.
func (c *canaries) makeKey(t *testing.T, where string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[where] = strings.Split(text, "\n")[1]
	return text
}

// proofs are what stands in a request that was computed of a secret: of digests
// and signatures, and of assertions for tokens.
var proofs = regexp.MustCompile(`(?:response="|Signature=|X-Sign:\[|assertion=)([\w.-]{32,})`)

// proven notes the proofs in a request as secrets of their own.
func (c *canaries) proven(got string) {
	for _, m := range proofs.FindAllStringSubmatch(got, -1) {
		where := fmt.Sprintf("proof %.12s", m[1])
		c.all[where] = m[1]
		c.seen[where]++
		c.proofs++
	}
}

// of is the secret of a place.
func (c *canaries) of(where string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[where]
}

// forms are the texts in which a secret may show up.
func forms(where, secret string) map[string]string {
	quoted, _ := json.Marshal(secret)
	return map[string]string{
		"raw": secret, "half": secret[:len(secret)/2], "query": url.QueryEscape(secret), "path": url.PathEscape(secret), "json": strings.Trim(string(quoted), `"`),
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
	c.proven(got)
	c.mu.Unlock()
	if r.URL.Query().Get("ask") == "digest" && r.Header.Get("Authorization") == "" {
		w.Header().Set("WWW-Authenticate", `Digest realm="shop", nonce="n1", qop="auth"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
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
	case "left": // what a sensitive task leaves
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Left", c.of("left header"))
		fmt.Fprintf(w, `{"token":%q,"deep":[{"key":%q}],"text":%q}`, c.of("left token"), c.of("left key"), "<&>\""+c.of("left text"))
	case "setcookie": // a session, by the rest of the path; in a redirect, too
		name := strings.Split(r.URL.Path, "/")[2]
		w.Header().Add("Set-Cookie", name+"="+c.of("cookie "+name)+"; Path=/")
		if name == "moved" {
			http.Redirect(w, r, "/setcookie/arrived", http.StatusFound)
		}
	case "leftbytes":
		w.Header().Set("Content-Type", "application/x-thing")
		fmt.Fprint(w, strings.Repeat("\x00\xff"+c.of("left bytes"), 5000))
	case "lefterror":
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, c.of("left token"))
	case "leftredirect":
		http.Redirect(w, r, "/left/x?code="+url.QueryEscape(c.of("left key")), http.StatusFound)
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
		fmt.Fprintf(&shown, "\n%v: %s", args[:min(5, len(args))], out) // what is given by hand stands behind
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

	store("aws", "aws", object("access_key_id", "AKID", "secret_access_key", c.make("aws key, never sent"), "session_token", c.make("aws session"), "region", "eu-west-1", "service", "s3"))
	key := c.makeKey(t, "private key, never sent")
	grant := func(id string, pairs ...string) {
		store(id, "oauth", object(append([]string{"client_id", "id", "token_url", srv.URL + "/badtoken"}, pairs...)...))
	}
	grant("password", "grant_type", "password", "client_secret", c.make("password grant's client"), "username", "user-pw", "password", c.make("password grant"))
	grant("service", "grant_type", "jwt-bearer", "private_key", key)
	grant("keyjwt", "auth_style", "private_key_jwt", "private_key", key)
	grant("secretjwt", "auth_style", "client_secret_jwt", "client_secret", c.make("client_secret_jwt, never sent"))

	uses := map[string]string{
		"digest":   `auth_type = "digest", credential_id = "basic", params = { ask = "digest" }`,
		"aws":      `operation = "post", auth_type = "aws_sigv4", credential_id = "aws", body = { n = 7 }`,
		"password": `auth_type = "oauth2", credential_id = "password"`, "service": `auth_type = "oauth2", credential_id = "service"`,
		"keyjwt": `auth_type = "oauth2", credential_id = "keyjwt"`, "secretjwt": `auth_type = "oauth2", credential_id = "secretjwt"`,
		"signed": `headers = { X-Sign = '{{ "text" | hmac_sha256("${credential:ref.pin}") }}', X-My = '${credential:ref}:{{ "more" | hmac_sha256("${credential:ref.pin}") }}' }`,
		"basic":  `auth_type = "basic", credential_id = "basic"`, "bearer": `auth_type = "bearer", credential_id = "bearer"`,
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
	for _, where := range []string{"left token", "left key", "left text", "left header", "left bytes"} {
		c.make(where)
	}
	sensitive := func(id, path, more string) {
		fmt.Fprintf(&flow, "[[tasks]]\nid = %q\ntype = \"api_call\"\nsensitive = true\nproperties = { url = %q, breaker = false, %s }\n", id, srv.URL+path, more)
	}
	sensitive("login", "/left/a", "")
	sensitive("dl", "/leftbytes/a", `store_as = "object"`)
	sensitive("small", "/leftbytes/b", "")
	sensitive("login_fails", "/lefterror/a", "")
	sensitive("login_moved", "/leftredirect/a", "")
	sensitive("login_checked", "/left/b", `retry_count = 1, retry_delay = 0.01, retry_on_validation = true, response_validation = { required_fields = ["id"], field_checks = { token = { type = "int", pattern = "^x$", value = "y" } } }`)
	sensitive("login_selected", "/left/c", `select = ".token.x"`)
	sensitive("login_read", "/left/d", `response_format = "csv"`)
	for i, use := range []string{
		`headers = { X-T = "{{ xcom_login.token }}", X-H = "a {{ resp_login.headers['x-left'] }} b" }`,
		`params = { q = "{{ xcom_login.token }}" }, operation = "post", body = { all = "{{ xcom_login }}", b64 = "{{ xcom_login.token | b64encode }}" }`,
		`operation = "post", body_format = "xml", body = { r = { t = "{{ xcom_login.text }}", k = "{{ xcom_login.deep[0].key }}" } }`,
		`operation = "post", body_format = "form", body = { t = "{{ xcom_login.text ~ xcom_login.token }}" }`,
		`operation = "put", body_format = "raw", body = "{{ xcom_login }}"`,
		`operation = "put", body_format = "raw", body = "{{ xcom_dl }}"`,
		`operation = "post", body_format = "multipart", body = { f = { content = "{{ xcom_small }}" }, t = "{{ xcom_login.text }}" }`,
	} {
		for _, outcome := range []string{"ok", "unauthorized", "server", "drop", "redirect", "check"} {
			extra := ""
			if outcome == "check" {
				extra = `, response_validation = { field_checks = { id = { type = "int", pattern = "^x$" } } }`
			}
			fmt.Fprintf(&flow, "[[tasks]]\nid = \"left%d_%s\"\ntype = \"api_call\"\nproperties = { url = %q, breaker = false, %s%s }\n",
				i, outcome, srv.URL+"/"+outcome, use, extra)
		}
	}
	for _, where := range []string{"shared", "private", "moved", "arrived", "value"} {
		c.make("cookie " + where)
	}
	cookie := func(id, deps, path, props string) {
		fmt.Fprintf(&flow, "[[tasks]]\nid = %q\ntype = \"api_call\"\n%sproperties = { url = %q, breaker = false, %s }\n", id, deps, srv.URL+path, props)
	}
	cookie("cookie_shared", "", "/setcookie/shared", `cookie_jar = "shop"`)
	cookie("cookie_moved", after("cookie_shared"), "/setcookie/moved", `cookie_jar = "shop"`)
	cookie("cookie_private", "sensitive = true\n", "/setcookie/private", `cookie_jar = "private"`)
	cookie("cookie_value", "", "/setcookie/value", "")
	for _, outcome := range []string{"ok", "unauthorized", "server", "teapot", "drop", "redirect", "check"} {
		extra := ""
		if outcome == "check" {
			extra = `, response_validation = { field_checks = { id = { type = "int", pattern = "^x$" } } }`
		}
		cookie("cookie_shop_"+outcome, after("cookie_moved"), "/"+outcome, `cookie_jar = "shop", retry_count = 1, retry_delay = 0.01`+extra)
		cookie("cookie_private_"+outcome, after("cookie_private"), "/"+outcome, `cookie_jar = "private"`+extra)
		cookie("cookie_sent_"+outcome, "", "/"+outcome, `operation = "post", headers = { X-C = "{{ resp_cookie_value.cookies.value }}" }, params = { q = "{{ resp_cookie_value.cookies.value }}" }, `+
			`body = { t = "a {{ resp_cookie_value.cookies.value }} b", h = "{{ resp_cookie_private.cookies.private | b64encode }}" }`+extra)
	}
	fmt.Fprintf(&flow, "[[tasks]]\nid = \"left_path\"\ntype = \"api_call\"\nproperties = { url = \"%s/teapot/{{ xcom_login.token }}/{{ xcom_login.missing }}\", breaker = false }\n", srv.URL)
	fmt.Fprintf(&flow, "[[tasks]]\nid = \"left_path2\"\ntype = \"api_call\"\nproperties = { url = \"%s/teapot/{{ xcom_login.token }}\", breaker = false }\n", srv.URL)
	fmt.Fprintf(&flow, "[[tasks]]\nid = \"left_key\"\ntype = \"api_call\"\nproperties = { url = \"%s/teapot\", breaker = false, idempotency_key = \"{{ xcom_login.token }}\" }\n", srv.URL)
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
		{"xcom", "get", "last", "basic_ok"}, {"xcom", "get", "last", "login"}, {"xcom", "get", "last", "dl", "--raw"}, {"xcom", "get", "last", "login_checked", "--attempt", "1"},
		{"runs", "show", "last", "--task", "login_checked", "--body"}, {"runs", "show", "last", "--task", "login_selected", "--output", "json"},
		{"runs", "show", "last", "--task", "left1_unauthorized", "--body"}, {"runs", "show", "last", "--task", "left2_server", "--body"}, {"runs", "show", "last", "--task", "left_path"},
		{"render", "canary", "--task", "left1_ok", "--run", "last"}, {"render", "canary", "--task", "left0_ok", "--curl", "--xcom", "login=" + object("token", c.of("left token"), "text", c.of("left text")) + ""},
		{"render", "canary", "--task", "left1_ok", "--curl", "--xcom", `login={"token":"` + c.of("left token") + `"}`},
		{"render", "canary", "--task", "aws_ok", "--curl"}, {"render", "canary", "--task", "digest_ok", "--curl"}, {"render", "canary", "--task", "signed_ok", "--curl"},
		{"render", "canary", "--task", "service_ok"}, {"credentials", "show", "service"}, {"credentials", "show", "aws", "--output", "json"},
		{"runs", "show", "last", "--task", "digest_unauthorized", "--body"}, {"runs", "show", "last", "--task", "aws_teapot", "--body"},
		{"runs", "show", "last", "--task", "signed_check", "--body"}, {"runs", "show", "last", "--task", "service_ok"}, {"runs", "show", "last", "--task", "keyjwt_ok", "--output", "json"},
		{"runs", "show", "last", "--task", "cookie_shared"}, {"runs", "show", "last", "--task", "cookie_shop_unauthorized", "--body"}, {"runs", "show", "last", "--task", "cookie_shop_redirect", "--output", "json"},
		{"runs", "show", "last", "--task", "cookie_private_check", "--body"}, {"runs", "show", "last", "--task", "cookie_sent_server", "--body"}, {"xcom", "get", "last", "cookie_shop_check", "--attempt", "1"},
		{"render", "canary", "--task", "cookie_shop_ok", "--run", "last"}, {"render", "canary", "--task", "cookie_sent_ok", "--run", "last"}, {"render", "canary", "--task", "cookie_sent_ok", "--run", "last", "--curl"},
		{"query", "SELECT * FROM xt_operation_logs"},
		{"credentials", "rekey"}, {"credentials", "delete", "key"},
	} {
		qarion("", args...)
	}
	server.Stop()
	shown.WriteString(server.Log())

	for where := range c.all {
		if c.seen[where] == 0 && !strings.HasPrefix(where, "refresh") && !strings.HasSuffix(where, "never sent") {
			t.Errorf("the server never got the secret %q: the test shows nothing", where)
		}
	}
	if c.proofs < 50 {
		t.Errorf("the server saw %d proofs: the test shows little", c.proofs)
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
