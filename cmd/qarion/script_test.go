package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/qarion/qarion/internal/guests"
	"github.com/qarion/qarion/internal/testkit"
)

// TestScripts runs the commands as a user does: exact output and exit codes.
// $API is a small server: /ok answers JSON, /order JSON with a price, /words
// text, /logo bytes, /echo says which Authorization it got, /status/N answers
// with N, /slow answers after a second, /silent never.
func TestScripts(t *testing.T) {
	bin := filepath.Dir(testkit.Binary(t))
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":7,"name":"Ann"}`))
	})
	for path, answer := range map[string][2]string{
		"/order": {"application/json", `{"id": 7, "price": 1.50}`}, "/words": {"text/plain", "hello"}, "/rows": {"application/json", `{"data":{"items":[{"id":1},{"id":2}],"count":2}}`}, "/logo": {"image/png", "\x89PNG\r\n\x1a\n"},
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", answer[0])
			_, _ = w.Write([]byte(answer[1]))
		})
	}
	mux.HandleFunc("/declined", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(402)
		_, _ = w.Write([]byte(`{"error":"card_declined"}`))
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"got": r.Header.Get("Authorization")})
	})
	mux.HandleFunc("/mirror", func(w http.ResponseWriter, r *http.Request) { // sends back what it got
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		_, _ = io.Copy(w, r.Body)
	})
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		w.WriteHeader(code)
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(2 * time.Second):
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("API", srv.URL)
			e.Setenv("APIHOST", strings.TrimPrefix(srv.URL, "http://"))
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("HOOKS", filepath.Join(guests.Root(), "built"))
			e.Setenv("QARION_HTTP_LISTEN", "") // where nothing else is said: tests run beside one another
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "fetch": fetch},
	})
}

// exits runs a command and holds its exit code against the first argument.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		_, code, _ = strings.Cut(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s (%v)", code, args[0], err)
	}
}

// fetch gets a path of the HTTP door of the node that serves .qarion, and
// writes the body into a file.
func fetch(ts *testscript.TestScript, _ bool, args []string) {
	var node struct {
		HTTP string `json:"http"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(".qarion/serve.json")), &node))
	res, err := http.Get(node.HTTP + args[0])
	ts.Check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), body, 0o600))
}

// TestDemo runs the demo as its JSON: every example flow ends as it should.
func TestDemo(t *testing.T) {
	cmd := exec.Command(testkit.Binary(t), "demo", "--output", "json")
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	var got struct {
		OK    bool              `json:"ok"`
		Flows []json.RawMessage `json:"flows"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("../../flows/*.toml")
	if !got.OK || len(got.Flows) != len(files) {
		t.Errorf("ok %v, %d flows ran of %d files", got.OK, len(got.Flows), len(files))
	}
}

// TestVersion_StartsAtOnce guards against libraries that compute tables when
// the program starts: nothing may take longer than all the rest.
func TestVersion_StartsAtOnce(t *testing.T) {
	cmd := exec.Command(testkit.Binary(t), "version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var trace strings.Builder
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(trace.String()) {
		fields := strings.Fields(line) // init NAME @T ms, D ms clock, ...
		if len(fields) > 4 && fields[0] == "init" {
			if d, err := time.ParseDuration(strings.TrimSuffix(fields[4], ",") + "ms"); err == nil && d > 15*time.Millisecond {
				t.Errorf("package %s takes %s to initialise", fields[1], d)
			}
		}
	}
}
