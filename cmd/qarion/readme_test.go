package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/internal/sampleapi"
	"github.com/qarion/qarion/internal/testkit"
)

// TestReadme_CommandsWorkWhenPasted goes through the README's blocks as a
// newcomer does, in one shell, from the top to the bottom: each command must
// succeed. A block of one command that goes on is left running. Not done here:
// building, which is replaced by the binary of these tests, and the tests
// themselves. The nats command is played by a client library.
func TestReadme_CommandsWorkWhenPasted(t *testing.T) {
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	sh := newShell(t)
	blocks := regexp.MustCompile("(?ms)^```(sh|toml)\n(.*?)^```$").FindAllStringSubmatch(string(data), -1)
	commands := 0
	for _, b := range blocks {
		if b[1] == "toml" {
			name, _, _ := strings.Cut(strings.TrimPrefix(b[2], "# "), "\n")
			sh.write(t, name, strings.ReplaceAll(b[2], sampleapi.Base, sh.api))
			continue
		}
		for line := range strings.Lines(b[2]) {
			line, _, _ = strings.Cut(strings.TrimRight(line, "\n"), "  #")
			sh.paste(t, strings.TrimSpace(line))
			commands++
		}
	}
	if commands < 15 || sh.api == "" || sh.heard == nil {
		t.Errorf("only %d commands were found in %d blocks", commands, len(blocks))
	}
	select {
	case <-sh.heard:
	case <-time.After(20 * time.Second):
		t.Error("nats sub heard nothing of the calls")
	}
}

// shell is a shell that gets line after line.
type shell struct {
	dir   string // where the whole takes place
	in    io.Writer
	out   *bufio.Reader
	api   string // the demo's sample API
	node  string // the data directory's access file
	heard chan struct{}
}

func newShell(t *testing.T) *shell {
	s := &shell{dir: t.TempDir()}
	bin := filepath.Join(s.dir, "qarion")
	if err := os.Link(testkit.Binary(t), bin); err != nil {
		data, err := os.ReadFile(testkit.Binary(t))
		if err == nil {
			err = os.WriteFile(bin, data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh")
	cmd.Dir = s.dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "QARION_") }), "QARION_NATS_LISTEN=127.0.0.1:0")
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	cmd.Stderr = cmd.Stdout
	if err1 != nil || err2 != nil || cmd.Start() != nil {
		t.Fatal("no shell", err1, err2)
	}
	s.in, s.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		s.do(`for job in $running; do kill "$job"; done; wait`)
		in.Close()
		_ = cmd.Wait()
	})
	return s
}

// do runs a line and returns its output and exit code.
func (s *shell) do(line string) (output, code string) {
	fmt.Fprintf(s.in, "{ %s\n} </dev/null 2>&1\necho \"=== done $?\"\n", line)
	for {
		got, err := s.out.ReadString('\n')
		if err != nil {
			return output, err.Error()
		}
		if before, after, ok := strings.Cut(got, "=== done "); ok {
			return output + before, strings.TrimSpace(after)
		}
		output += got
	}
}

func (s *shell) write(t *testing.T, name, text string) {
	t.Helper()
	cwd, _ := s.do("pwd")
	if err := os.WriteFile(filepath.Join(strings.TrimSpace(cwd), name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// paste does one command of the README.
func (s *shell) paste(t *testing.T, line string) {
	t.Helper()
	switch {
	case strings.HasPrefix(line, "go test"):
		return
	case strings.HasPrefix(line, "go run ./cmd/qarion "):
		line = "./qarion " + strings.TrimPrefix(line, "go run ./cmd/qarion ")
	case strings.HasPrefix(line, "go build ./cmd/qarion && "):
		line = strings.TrimPrefix(line, "go build ./cmd/qarion && ")
	case line == "qarion demo --keep":
		s.api = s.leaveRunning(t, line, `sample API (http://\S+)`)
		return
	case line == "qarion serve":
		s.leaveRunning(t, line, `(ready)`)
		cwd, _ := s.do("pwd")
		s.node = filepath.Join(strings.TrimSpace(cwd), ".qarion", "serve.json")
		return
	case strings.HasPrefix(line, "nats "):
		s.nats(t, line)
		return
	}
	if output, code := s.do(line); code != "0" {
		t.Fatalf("%s: exit code %s\n%s", line, code, output)
	}
}

// leaveRunning starts a command and waits until it has printed something.
func (s *shell) leaveRunning(t *testing.T, line, until string) string {
	t.Helper()
	log := filepath.Join(s.dir, "log")
	s.do(fmt.Sprintf("%s >%s 2>&1 & running=\"$running $!\"", line, log))
	wanted := regexp.MustCompile(until)
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		data, _ := os.ReadFile(log)
		if m := wanted.FindSubmatch(data); m != nil {
			return string(m[1])
		}
		if time.Now().After(end) {
			t.Fatalf("%s: did not print %s\n%s", line, until, data)
		}
	}
}

// nats does what the nats command does.
func (s *shell) nats(t *testing.T, line string) {
	t.Helper()
	output, code := s.do(`printf '%s\n' ` + strings.TrimPrefix(line, "nats "))
	args := strings.Split(strings.TrimSpace(output), "\n")
	var access struct {
		URL string `json:"url"`
	}
	data, err := os.ReadFile(s.node)
	if err != nil || json.Unmarshal(data, &access) != nil || code != "0" {
		t.Fatalf("%s: %v %s %s", line, err, code, output)
	}
	nc, err := nats.Connect(access.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	switch args[0] {
	case "sub":
		s.heard = make(chan struct{})
		sub, err := nc.SubscribeSync(args[1])
		if err == nil {
			err = nc.Flush()
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		go func() {
			if _, err := sub.NextMsg(time.Minute); err == nil {
				close(s.heard)
			}
		}()
	case "pub":
		if err := nc.Publish(args[1], []byte(args[2])); err != nil || nc.Flush() != nil {
			t.Errorf("%s: %v", line, err)
		}
	case "req":
		m, err := nc.Request(args[1], []byte(args[2]), 20*time.Second)
		if err != nil || m.Header.Get("Nats-Service-Error") != "" || !strings.Contains(string(m.Data), `"status":"success"`) {
			t.Errorf("%s: %v %+v", line, err, m)
		}
	case "kv":
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		kv, err := js.KeyValue(t.Context(), args[2])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e, err := kv.Get(t.Context(), args[3]); err != nil || !json.Valid(e.Value()) {
			t.Errorf("%s: %v", line, err)
		}
	default:
		t.Errorf("what does this do? %s", line)
	}
}
