package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/qarion/qarion/internal/testkit"
)

// everything notes requests whole: what curl sends and what a flow sends are held
// against each other.
type everything struct {
	mu   sync.Mutex
	list []string
}

// own are headers that each client says of itself.
var own = []string{"User-Agent", "Accept-Encoding", "Content-Length", "Accept"}

func (e *everything) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var lines []string
	boundary := ""
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		_, boundary, _ = strings.Cut(r.Header.Get("Content-Type"), "boundary=")
	}
	if strings.HasPrefix(r.URL.Path, "/digest") && !strings.HasPrefix(r.Header.Get("Authorization"), "Digest ") {
		w.Header().Set("WWW-Authenticate", `Digest realm="shop", nonce="n", qop="auth"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	for name, v := range r.Header {
		switch {
		case name == "Accept" && v[0] == "*/*", slices.Contains(own[:3], name) && !strings.HasPrefix(v[0], "mine"):
			continue
		case name == "Cookie": // in any order
			parts := strings.Split(v[0], "; ")
			sort.Strings(parts)
			v = parts
		case name == "Authorization" && strings.HasPrefix(v[0], "Digest "), name == "Authorization" && strings.HasPrefix(v[0], "AWS4"):
			v = []string{regexp.MustCompile(`(response|cnonce|Signature|SignedHeaders)=("[^"]*"|[^,]*)`).ReplaceAllString(v[0], "$1")}
			v[0], _, _ = strings.Cut(v[0], " ")
		case name == "X-Amz-Date", name == "X-Amz-Content-Sha256":
			continue
		case boundary != "" && name == "Content-Type":
			v = []string{"multipart/form-data"}
		}
		lines = append(lines, fmt.Sprintf("%s: %q", name, v))
	}
	sort.Strings(lines)
	body := make([]byte, 1<<20)
	n := 0
	for {
		m, err := r.Body.Read(body[n:])
		if n += m; err != nil {
			break
		}
	}
	text := string(body[:n])
	switch {
	case boundary != "":
		text = strings.ReplaceAll(text, boundary, "BOUNDARY")
		text = regexp.MustCompile(`(?m)^Content-Type: (text/plain|application/octet-stream)\r\n`).ReplaceAllString(text, "")
		text = strings.ReplaceAll(text, "--------------------------", "--")
		text = strings.ReplaceAll(text, "--BOUNDARY", "BOUNDARY")
	case r.Header.Get("Content-Type") == "application/x-www-form-urlencoded": // as it is read
		text = decodedPairs(text)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, fmt.Sprintf("%s %s?%s\n%s\n%s", r.Method, r.URL.EscapedPath(), decodedPairs(r.URL.RawQuery), strings.Join(lines, "\n"), text))
}

func decodedPairs(s string) string {
	parts := strings.Split(s, "&")
	for i, p := range parts {
		v, err := url.QueryUnescape(p)
		if err == nil {
			parts[i] = v
		}
	}
	sort.Strings(parts)
	return strings.Join(parts, "&")
}

func (e *everything) last() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.list) == 0 {
		return ""
	}
	last := e.list[len(e.list)-1]
	e.list = nil
	return last
}

// TestFlowsNew_MakesTheRequestThatCurlMakes runs each command in a shell with curl
// itself, and as the flow that is written of it. What arrives is the same, and no
// secret stands in the file.
func TestFlowsNew_MakesTheRequestThatCurlMakes(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	got := &everything{}
	s := httptest.NewServer(got)
	t.Cleanup(s.Close)
	dir := t.TempDir()
	for name, text := range map[string]string{"body.json": `{"from": "a file"}`, "flows/scan.txt": "scanned", "scan.txt": "scanned", "token": "X-File: one\nX-Other: two\n"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Serve(t, dir)
	env := append(os.Environ(), "SHOP_TOKEN=verysecrettoken")
	for i, line := range []string{
		`curl URL/plain`,
		`curl 'URL/users?q=a%20b&x=1' -H 'Accept: application/json' -H 'X-A:  spaced ' -H 'X-Empty;' -H 'Accept-Language:'`,
		`curl -X DELETE URL/users/7`,
		`curl -u ann:verysecretword URL/basic`,
		`curl -u 'sk_test_verysecret:' URL/basic`,
		`curl http://ann:very%40secret@HOST/userinfo`,
		`curl -H 'Authorization: Bearer verysecrettoken' URL/bearer`,
		`curl --oauth2-bearer verysecrettoken URL/bearer`,
		`curl -H 'Authorization: Basic YW5uOnZlcnlzZWNyZXR3b3Jk' URL/basic`,
		`curl -H 'Authorization: Token verysecrettoken' URL/scheme`,
		`curl --digest -u ann:verysecretword URL/digest`,
		`curl --aws-sigv4 'aws:amz:eu-west-1:execute-api' -u 'AKID:verysecretkey' URL/aws`,
		`curl -H 'X-API-Key: verysecretkey' 'URL/key?api_key=verysecretkey2&page=2'`,
		`curl -b 'sid=verysecretcookie; lang=de' URL/cookies`,
		`curl -d 'a=1' -d 'b=x y&c=%C3%A9' URL/form`,
		`curl --data-raw '@not a file' URL/raw`,
		`curl --data-urlencode 'name=Ann & Bob' --data-urlencode '=50%' URL/form`,
		`curl --data-urlencode 'name=Ann & Bob' --data-urlencode 'q=50%' URL/form`,
		`curl -G -d 'q=1' --data-urlencode 'name=Ann & Bob' 'URL/search?x=0'`,
		`curl -d 'password=verysecretword&user=ann' URL/login`,
		`curl -H 'Content-Type: application/json' -d '{"user":"ann","password":"very\"secret","n":1.50,"list":[1,null,true]}' URL/json`,
		`curl -X PUT -H 'content-type: application/json; charset=utf-8' --data-binary '{"a": {"token": "verysecrettoken"}}' URL/json`,
		`curl --request PATCH --header 'Content-Type: application/merge-patch+json' --data '{"text": "{{ not a template }} it'\''s 50%"}' URL/json`,
		`curl URL/json --json '{"a": 1}'`,
		`curl -d @body.json -H 'Content-Type: application/json' URL/json`,
		`curl -H 'Content-Type: text/xml' -d '<a b="c">&amp;</a>' URL/xml`,
		`curl -H 'Content-Type: text/plain' --data-binary $'one\ntwo\t\'three\' """ \'\'\'' URL/text`,
		`curl -F 'title=Invoice 7' -F 'meta={"a":1};type=application/json' -F 'scan=@scan.txt;type=text/x-scan;filename=s.txt' URL/upload`,
		`curl --form-string 'at=@not a file;x' URL/upload`,
		`curl -H @token URL/headers`,
		`curl -A 'mine/1.0' -e 'https://from.example/' -r 0-99 URL/agent`,
		`curl -sSL --compressed --max-time 20 --connect-timeout 5 --retry 2 URL/options`,
		`curl -I URL/head`,
		`curl -H "X-Token: ${SHOP_TOKEN}" "URL/variable?token=$SHOP_TOKEN"`,
		"curl 'URL/browser' \\\n  -H 'sec-ch-ua: \"Chromium\";v=\"130\"' \\\n  -H 'priority: u=1, i' \\\n  -b 'sid=verysecretcookie' \\\n  --data-raw $'{\"a\":\"it\\'s \\u00e9\"}' \\\n  -H 'content-type: application/json'",
	} {
		line = strings.NewReplacer("URL", s.URL, "HOST", strings.TrimPrefix(s.URL, "http://")).Replace(line)
		name := fmt.Sprintf("f%d", i)
		sh := exec.Command("sh", "-c", line)
		if strings.Contains(line, "$'") {
			sh = exec.Command("bash", "-c", line)
		}
		sh.Dir, sh.Env = dir, env
		if out, err := sh.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", line, err, out)
			continue
		}
		want := got.last()
		text, err := newFromCurl(t, dir, name, line, env)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if strings.Contains(text, "verysecret") || strings.Contains(text, "very%40secret") || strings.Contains(text, `very\"secret`) {
			t.Errorf("%s\nthe file has a secret:\n%s", line, text)
		}
		if have := got.last(); have != want {
			t.Errorf("%s\ncurl sent\n%s\nthe flow sent\n%s\nflow:\n%s", line, want, have, text)
		}
	}
}

// newFromCurl writes the flow of a command, stores its secrets and runs it.
func newFromCurl(t *testing.T, dir, name, line string, env []string) (text string, err error) {
	t.Helper()
	run := func(stdin string, args ...string) (string, error) {
		cmd := exec.Command(testkit.Binary(t), append(args, "--data-dir", "data")...)
		cmd.Dir, cmd.Stdin, cmd.Env = dir, strings.NewReader(stdin), env
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("qarion %v: %w\n%s", args, err, out)
		}
		return string(out), err
	}
	out, err := run(line, "flows", "new", name, "--curl", "-", "--store")
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(filepath.Join(dir, "flows", name+".toml"))
	if err != nil {
		return "", err
	}
	if hint := regexp.MustCompile(`qarion (credentials store .*) --json '(.*)'`).FindStringSubmatch(out); hint != nil { // a variable of the shell
		secret := "verysecrettoken"
		if strings.Contains(hint[2], "password") {
			secret = "annspassword"
		}
		if _, err := run(strings.ReplaceAll(hint[2], "...", secret), append(strings.Fields(hint[1]), "--json", "-")...); err != nil {
			return string(data), err
		}
	}
	_, err = run("", "run", "flows/"+name+".toml")
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, data)
	}
	return string(data), err
}

// TestFlowsNew_UndoesRender: what render prints as a curl line becomes a flow that
// makes the same request again.
func TestFlowsNew_UndoesRender(t *testing.T) {
	got := &everything{}
	s := httptest.NewServer(got)
	t.Cleanup(s.Close)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	testkit.Serve(t, dir)
	env := append(os.Environ(), "SHOP_PASSWORD=annspassword")
	for i, properties := range []string{
		`url = "URL/a?q=it's"
headers = { X-Token = "verysecrettoken", X-Note = "a \"quoted\" $5!" }`,
		`url = "URL/b"
operation = "post"
auth_type = "digest"
credential_id = "shop"
body = { note = "it's $5! \\ \"x\"", n = 1.50 }`,
		`url = "URL/c"
operation = "put"
body_format = "form"
body = { a = "x & y", b = ["1", "2"] }`,
		`url = "URL/d"
operation = "post"
body_format = "multipart"
cookie_jar = "session"
body = { title = "one; two", meta = { content = { a = 1 }, filename = "m.json" } }`,
		`url = "URL/e"
operation = "patch"
idempotency_key = "key-7"
body_format = "raw"
body = "line one\nline two"`,
	} {
		file := fmt.Sprintf("r%d.toml", i)
		text := "[[tasks]]\nid = \"call\"\ntype = \"api_call\"\n[tasks.properties]\n" + strings.ReplaceAll(properties, "URL", s.URL) + "\n"
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		qarion := func(stdin string, args ...string) string {
			cmd := exec.Command(testkit.Binary(t), append(args, "--data-dir", "data")...)
			cmd.Dir, cmd.Stdin, cmd.Env = dir, strings.NewReader(stdin), env
			var errs strings.Builder
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("qarion %v: %v\n%s\n%s", args, err, errs.String(), out)
			}
			return string(out)
		}
		qarion(`{"username": "ann", "password": "annspassword"}`, "credentials", "store", "--credential-id", "shop", "--type", "basic_auth", "--json", "-")
		qarion("", "run", file)
		want := got.last()
		line := qarion("", "render", file, "--curl")
		back, err := newFromCurl(t, dir, fmt.Sprintf("back%d", i), line, env)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if have := got.last(); have != want {
			t.Errorf("%s\nthe flow sent\n%s\nand the one made of its line\n%s\n%s", line, want, have, back)
		}
	}
}
