package guests

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/qarion/qarion/internal/testkit"
)

// place is a folder in which the program runs a flow with hooks against a server.
type place struct {
	dir string
	api string

	mu   sync.Mutex
	seen []seen
}

// seen is a request as the server saw it.
type seen struct {
	length int64
	body   string
}

func newPlace(t *testing.T, hooks map[string][]byte, answer string) *place {
	t.Helper()
	p := &place{dir: t.TempDir()}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		p.seen = append(p.seen, seen{r.ContentLength, string(body)})
		p.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(srv.Close)
	p.api = srv.URL
	for name, module := range hooks {
		p.write(t, "hooks/"+name, string(module))
	}
	return p
}

func (p *place) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(p.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "API", p.api)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// qarion runs the program and returns all that it says.
func (p *place) qarion(t *testing.T, stdin string, args ...string) (said string, code int) {
	t.Helper()
	cmd := exec.Command(testkit.Binary(t), args...)
	cmd.Dir, cmd.Stdin = p.dir, strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "HOME="+p.dir, "NO_COLOR=1", "QARION_HTTP_LISTEN=")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

const troubleFlow = `
[[tasks]]
id = "call"
type = "api_call"
properties = { url = "API/x", operation = "post", body = { a = 1 } }
[tasks.hooks]
%s = { file = "trouble.wasm", config = { %s }, secrets = ["shop.key"] }
`

// TestFlow_AHookCannotTellASecret: whatever way a module takes to give the secret
// away that it was given, neither the terminal nor the logs nor the history show it.
func TestFlow_AHookCannotTellASecret(t *testing.T) {
	const key = "s3cr3t-signing-key-of-the-shop"
	p := newPlace(t, map[string][]byte{"trouble.wasm": troubleModule(t)}, `{}`)
	if out, code := p.qarion(t, `{"token":"unused-token","key":"`+key+`"}`, "credentials", "store", "--credential-id", "shop", "--type", "custom", "--json", "-"); code != 0 {
		t.Fatal(out)
	}
	for _, c := range [][2]string{
		{"tell in the log", "transform_request"}, {"tell in a panic", "transform_response"}, {"tell in a panic", "validate"},
		{"tell in a failure", "transform_response"}, {"tell in the verdict", "validate"}, {"tell standard error", "transform_request"},
	} {
		how, point := c[0], c[1]
		t.Run(how+"/"+point, func(t *testing.T) {
			p.write(t, "flows/f.toml", fmt.Sprintf(troubleFlow, point, `do = "`+how+`"`))
			out, _ := p.qarion(t, "", "run", "flows/f.toml")
			for _, view := range [][]string{{"logs", "-o", "json"}, {"runs", "show", "last"}} {
				more, _ := p.qarion(t, "", view...)
				out += more
			}
			if strings.Contains(out, key) {
				t.Errorf("the secret is shown:\n%s", out)
			}
			if !strings.Contains(out, "the key is") {
				t.Errorf("what the hook says beside the secret is not shown:\n%s", out)
			}
		})
	}
}

// TestFlow_OfASensitiveTaskAHookSaysNothing: whatever a hook of a sensitive task says when
// it fails, is skipped, logs or refuses, at any of its places, is shown nowhere. Of a task
// that is not sensitive all of it is.
func TestFlow_OfASensitiveTaskAHookSaysNothing(t *testing.T) {
	p := newPlace(t, map[string][]byte{"trouble.wasm": troubleModule(t)}, `{}`)
	t.Setenv("QARION_LOG_LEVEL", "debug")
	for _, sensitive := range []bool{true, false} {
		var flow strings.Builder
		words := map[string]string{}
		for _, point := range []string{"transform_request", "transform_response", "validate"} {
			for _, does := range []string{`do = "panic", say = "WORD"`, `do = "WORD"`, `do = "log", n = 1, say = "WORD"`} {
				for _, then := range []string{"fail", "skip"} {
					word := fmt.Sprintf("leak%02d", len(words))
					words[word] = point + ", " + does + ", " + then
					fmt.Fprintf(&flow, "[[tasks]]\nid = \"t%02d\"\ntype = \"api_call\"\nsensitive = %v\n", len(words), sensitive)
					fmt.Fprintf(&flow, "properties = { url = \"API/x\", operation = \"post\", body = { a = 1 } }\n")
					fmt.Fprintf(&flow, "[tasks.hooks]\n%s = { file = \"trouble.wasm\", on_failure = %q, config = { %s } }\n", point, then, strings.Replace(does, "WORD", word, 1))
				}
			}
		}
		p.write(t, "flows/f.toml", flow.String())
		out, _ := p.qarion(t, "", "run", "flows/f.toml")
		for _, view := range [][]string{{"logs", "-o", "json"}, {"runs", "show", "last"}, {"runs", "show", "last", "-o", "json"}, {"xcom", "list", "last", "-o", "json"}} {
			more, _ := p.qarion(t, "", view...)
			out += more
		}
		for word, how := range words {
			if strings.Contains(out, word) == sensitive {
				t.Errorf("sensitive %v, %s: shown: %v", sensitive, how, sensitive)
			}
		}
		if t.Failed() {
			t.Fatal(out)
		}
	}
}

// TestFlow_LengthFollowsTheBody: with proxy-wasm a body that a plugin had changed
// went out with the length of the old one: cut off, or with its end behind it.
func TestFlow_LengthFollowsTheBody(t *testing.T) {
	p := newPlace(t, map[string][]byte{"trouble.wasm": troubleModule(t)}, `{}`)
	for _, n := range []int{0, 1, 6, 7, 8, 100_000} { // what is sent without it has 7 bytes
		p.seen = nil
		flow := fmt.Sprintf(troubleFlow, "transform_request", fmt.Sprint("give = ", n))
		p.write(t, "flows/f.toml", strings.Replace(flow, `, secrets = ["shop.key"]`, "", 1))
		if out, code := p.qarion(t, "", "run", "flows/f.toml"); code != 0 || len(p.seen) != 1 || int(p.seen[0].length) != n || len(p.seen[0].body) != n {
			t.Errorf("%d bytes were given, the server saw %+.100v: %s", n, p.seen, out)
		}
	}
}

// TestFlow_EveryLanguageInOneFlow: the examples work together in a flow, and a
// value goes from one to the other unharmed.
func TestFlow_EveryLanguageInOneFlow(t *testing.T) {
	hooks := map[string][]byte{}
	for _, language := range Languages[1:] {
		for _, hook := range Hooks {
			module, err := Module(t.Context(), language, hook)
			if err != nil {
				t.Fatal(err)
			}
			hooks[language+"-"+hook+".wasm"] = module
		}
	}
	const answer = `{"ok":true,"data":[{"id":1,"price":12345678901234567890.10},{"id":2,"price":1.50}]}`
	p := newPlace(t, hooks, answer)
	if out, code := p.qarion(t, `{"token":"unused-token","key":"s3cr3t-of-the-shop"}`, "credentials", "store", "--credential-id", "shop", "--type", "custom", "--json", "-"); code != 0 {
		t.Fatal(out)
	}
	for _, language := range Languages[1:] {
		p.seen = nil
		p.write(t, "flows/f.toml", strings.ReplaceAll(`
[[tasks]]
id = "call"
type = "api_call"
properties = { url = "API/x", operation = "post", body = { a = 1 } }
[tasks.hooks]
transform_request = { file = "LANGUAGE-sign.wasm", secrets = ["shop.key"], config = { secret = "shop.key" } }
transform_response = { file = "LANGUAGE-unwrap.wasm", config = { at = "/data", error = "/error" } }
validate = { file = "LANGUAGE-check.wasm", config = { min_items = 2, unique = "id", fields = { id = "integer", price = "number" } } }
`, "LANGUAGE", language))
		out, code := p.qarion(t, "", "run", "flows/f.toml")
		if code != 0 || len(p.seen) != 1 || p.seen[0].body != jws("s3cr3t-of-the-shop", `{"alg":"HS256"}`, `{"a":1}`) {
			t.Errorf("%s: %s, the server saw %v", language, out, p.seen)
		}
		if got, _ := p.qarion(t, "", "xcom", "get", "last", "call"); strings.TrimSpace(got) != `[{"id":1,"price":12345678901234567890.10},{"id":2,"price":1.50}]` {
			t.Errorf("%s left %s", language, got)
		}
	}
}
