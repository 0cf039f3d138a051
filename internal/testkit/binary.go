package testkit

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
)

var built struct {
	once sync.Once
	path string
	err  error
	out  []byte
}

// Binary builds the qarion program, once per test run, and returns its path.
func Binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "qarion-test-")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "qarion")
		cmd := exec.Command("go", "build", "-tags", buildTags, "-o", built.path, "github.com/qarion/qarion/cmd/qarion")
		built.out, built.err = cmd.CombinedOutput()
	})
	if built.err != nil {
		t.Fatalf("build qarion: %v\n%s", built.err, built.out)
	}
	return built.path
}

// Process is a serving node, as a process of its own.
type Process struct {
	Access bus.Access
	HTTP   string // where its HTTP door is; "" for none
	Dir    string // with data/ and flows/
	cmd    *exec.Cmd
	log    bytes.Buffer
	ended  chan struct{}
}

// Serve starts `qarion serve` in a folder, on a free port and, unless env says
// otherwise, without HTTP, and returns when it takes requests. The node is killed when the test ends, if it still runs.
func Serve(t testing.TB, dir string, env ...string) *Process {
	t.Helper()
	p := &Process{Dir: dir, ended: make(chan struct{})}
	info := filepath.Join(dir, "data", "serve.json")
	_ = os.Remove(info)
	p.cmd = exec.Command(Binary(t), "serve", "--data-dir", "data", "--flows-dir", "flows", "--listen", "127.0.0.1:0")
	p.cmd.Dir, p.cmd.Env = dir, append(append(os.Environ(), "QARION_HTTP_LISTEN="), env...)
	p.cmd.Stderr = io.MultiWriter(t.Output(), &p.log)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.Kill)
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if data, err := os.ReadFile(info); err == nil && json.Unmarshal(data, &p.Access) == nil && p.Access.URL != "" {
			var door struct {
				HTTP string `json:"http"`
			}
			_ = json.Unmarshal(data, &door)
			p.HTTP = door.HTTP
			return p
		}
		select {
		case <-tick.C:
		case <-p.ended:
			t.Fatal("the node ended while it started")
		case <-deadline:
			t.Fatal("the node was not ready in 30 s")
		}
	}
}

// Kill ends the node at once, as kill -9 does, and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Stop asks the node to stop and returns its exit code.
func (p *Process) Stop() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

// Ended waits until the node has ended by itself.
func (p *Process) Ended(t testing.TB) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the node did not end")
	}
}

// Wait returns the exit code of a node that ends by itself.
func (p *Process) Wait() int {
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

// Log is what the node has written, once it has ended.
func (p *Process) Log() string {
	<-p.ended
	return p.log.String()
}
