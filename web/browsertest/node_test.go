package browsertest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// served is a node on a folder of its own, with a service for its flows to call:
// /held answers when release is called, /until fails before that, /html fails with markup, /big with eight
// megabytes, everything else says {"id": 7}.
type served struct {
	binary, dir, url string
	http, nats       string // addresses, the same after a restart
	cmd              *exec.Cmd
	calls            chan string // paths of calls that have come in
	mu               sync.Mutex
	held             chan struct{}
	bodies           []string
}

var built struct {
	sync.Once
	path string
	err  error
}

// program is the binary: QARION_BINARY, or built here, once.
func program(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.path = os.Getenv("QARION_BINARY"); built.path != "" {
			return
		}
		dir, err := os.MkdirTemp("", "qarion-browsertest-")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "qarion")
		build := exec.Command("go", "build", "-o", built.path, "./cmd/qarion")
		build.Dir = "../.."
		if text, err := build.CombinedOutput(); err != nil {
			built.err = err
			os.Stderr.Write(text)
		}
	})
	if built.err != nil {
		t.Fatalf("build the program: %v", built.err)
	}
	return built.path
}

// serve starts a node with flows, by name: their text, with $API for the service.
func serve(t *testing.T, flows map[string]string) *served {
	t.Helper()
	s := &served{binary: program(t), dir: t.TempDir(), calls: make(chan string, 1000), held: make(chan struct{})}
	api := httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(api.Close)
	for name, text := range flows {
		s.write(t, name, strings.ReplaceAll(text, "$API", api.URL))
	}
	s.start(t)
	t.Cleanup(func() {
		s.release() // nobody waits for what is held
		s.end(os.Interrupt)
	})
	return s
}

func (s *served) write(t *testing.T, name, text string) {
	t.Helper()
	dir := filepath.Join(s.dir, "flows")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s *served) answer(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, r.ContentLength+1)
	n, _ := r.Body.Read(body)
	s.mu.Lock()
	s.bodies = append(s.bodies, string(body[:n]))
	held := s.held
	s.mu.Unlock()
	s.calls <- r.URL.Path
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/held":
		select {
		case <-held:
		case <-r.Context().Done():
		}
	case "/until":
		select {
		case <-held:
		default:
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
	case "/html":
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write([]byte(`<script>document.title = "taken"</script><img src=x onerror="document.title = 'taken'"><b>bold</b>`))
		return
	case "/big":
		w.WriteHeader(http.StatusUnprocessableEntity)
		for range 1 << 13 {
			_, _ = w.Write([]byte(strings.Repeat("a line that nobody reads to its end ", 30)[:1023] + "\n"))
		}
		return
	case "/down":
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte(`{"id": 7, "large": 3544790567247868102}`))
}

// release lets the held calls go.
func (s *served) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.held:
	default:
		close(s.held)
	}
}

// start starts the node, and waits until it answers.
func (s *served) start(t *testing.T) {
	t.Helper()
	file := filepath.Join(s.dir, ".qarion", "serve.json")
	_ = os.Remove(file)
	orFree := func(address string) string {
		if address == "" {
			return "127.0.0.1:0"
		}
		return address
	}
	s.cmd = exec.Command(s.binary, "serve", "--listen", orFree(s.nats), "--http", orFree(s.http))
	s.cmd.Dir = s.dir
	var log strings.Builder
	s.cmd.Stderr = &log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		var at struct{ URL, HTTP string }
		if data, err := os.ReadFile(file); err == nil && json.Unmarshal(data, &at) == nil && at.HTTP != "" {
			s.url = at.HTTP
			s.http, s.nats = strings.TrimPrefix(at.HTTP, "http://"), strings.TrimPrefix(at.URL, "nats://")
			return
		}
		if time.Now().After(end) {
			s.end(os.Kill)
			t.Fatalf("the node does not start\n%s", log.String())
		}
	}
}

// end ends the node, if it lives.
func (s *served) end(how os.Signal) {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(how)
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// run is what a command prints, which must succeed.
func (s *served) run(t *testing.T, args ...string) string {
	t.Helper()
	c := exec.Command(s.binary, args...)
	c.Dir = s.dir
	var problems strings.Builder
	c.Stderr = &problems
	out, err := c.Output()
	if err != nil {
		t.Fatalf("qarion %s: %v\n%s", strings.Join(args, " "), err, problems.String())
	}
	return strings.TrimSpace(string(out))
}

// called waits until a path is called.
func (s *served) called(t *testing.T, path string) {
	t.Helper()
	for end := time.After(patience); ; {
		select {
		case got := <-s.calls:
			if got == path {
				return
			}
		case <-end:
			t.Fatalf("%s was not called", path)
		}
	}
}
