package main_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/qarion/qarion/internal/testkit"
)

// TestRender_CurlLinesPasteAndWork sends each request twice: as a run, and as
// the line that render prints, in a shell that has the secrets as variables.
// What arrives is the same, through a proxy and with an authority of its own.
func TestRender_CurlLinesPasteAndWork(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	got := &arrivals{}
	plain, secure := httptest.NewServer(got), httptest.NewTLSServer(got)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	flow := strings.NewReplacer("SECURE", secure.URL, "PROXY", strings.TrimPrefix(plain.URL, "http://")).Replace(curlFlow)
	for name, text := range map[string]string{"ca of ours.pem": string(ca), "shop.toml": flow} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	qarion := func(stdin string, args ...string) string {
		cmd := exec.Command(testkit.Binary(t), args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("qarion %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	qarion(`{"username": "me", "password": "proxypassword"}`, "credentials", "store", "--credential-id", "px", "--type", "basic_auth", "--json", "-")
	qarion(`{"username": "ann", "password": "annspassword"}`, "credentials", "store", "--credential-id", "shop", "--type", "basic_auth", "--json", "-")
	qarion("", "run", "shop.toml")
	ran := got.take()

	script := qarion("", "render", "shop.toml", "--curl")
	for _, secret := range []string{"proxypassword", "annspassword", "verysecret", "filepassword"} {
		if strings.Contains(script, secret) {
			t.Errorf("the lines show %s:\n%s", secret, script)
		}
	}
	cmd := exec.Command("sh", "-e")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(script)
	cmd.Env = append(os.Environ(), "API_KEY=verysecretkey", "X_TOKEN=verysecrettoken", "PASSWORD=filepassword", "SHOP_PASSWORD=annspassword", "PX_USERNAME=me", "PX_PASSWORD=proxypassword")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, script)
	}
	pasted := got.take()
	if len(ran) != 4 || !reflect.DeepEqual(ran, pasted) {
		t.Errorf("a run sent\n%s\nthe lines sent\n%s\n%s", strings.Join(ran, "\n"), strings.Join(pasted, "\n"), script)
	}
}

const curlFlow = `
[[tasks]]
id = "a"
type = "api_call"
properties = { url = "SECURE/a?api_key=verysecretkey&q=it's", ca_file = "ca of ours.pem", headers = { X-Token = "verysecrettoken" } }
[[tasks]]
id = "b"
type = "api_call"
dependencies = ["a"]
[tasks.properties]
url = "SECURE/b"
operation = "post"
verify_tls = false
auth_type = "basic"
credential_id = "shop"
body = { note = "it's $5! \\ \"x\"", password = "filepassword", by = "${credential:shop}" }
[[tasks]]
id = "c"
type = "api_call"
dependencies = ["b"]
properties = { url = "http://127.0.0.1:1/c?x=1", proxy = "http://PROXY", proxy_credential_id = "px" }
[[tasks]]
id = "d"
type = "api_call"
dependencies = ["c"]
properties = { url = "http://127.0.0.1:1/d", proxy = "http://me:${credential:px.password}@PROXY" }
`

// arrivals notes requests as they come.
type arrivals struct {
	mu   sync.Mutex
	list []string
}

func (a *arrivals) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h := r.Header
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, fmt.Sprintf("%s %s %q %q %q %q %s", r.Method, r.RequestURI, h["Authorization"], h["Proxy-Authorization"], h["X-Token"], h["Content-Type"], body))
}

func (a *arrivals) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.list
	a.list = nil
	return list
}
