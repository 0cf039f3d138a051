package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/node"
)

// qarion runs the program in a folder, on its data directory, and returns what
// it has written and its exit code. One that stands still is an error.
func qarion(t testing.TB, dir string, args ...string) (out, errs string, code int) {
	t.Helper()
	cmd := exec.Command(testkit.Binary(t), append(args, "--data-dir", "data")...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, append(os.Environ(), "QARION_HTTP_LISTEN="), time.Second
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cut := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !cut.Stop() {
		t.Fatalf("qarion %v stood for a minute:\n%s%s", args, o.String(), e.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if strings.Contains(e.String(), "goroutine ") {
		t.Errorf("qarion %v panics:\n%s", args, e.String())
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// doctorSays is what `qarion doctor` finds.
func doctorSays(t testing.TB, dir string) *node.Checkup {
	t.Helper()
	out, errs, code := qarion(t, dir, "doctor", "--output", "json")
	var found node.Checkup
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("doctor: exit code %d: %v\n%s%s", code, err, out, errs)
	}
	if (code == 0) != found.OK || code > 1 {
		t.Errorf("doctor: exit code %d with ok = %v", code, found.OK)
	}
	return &found
}

// worst are the findings that are more than notes, as lines.
func worst(found *node.Checkup) (lines []string) {
	for _, f := range found.Findings {
		if f.Severity != node.Note {
			lines = append(lines, fmt.Sprintf("%s %s %d-%d %s %s", f.Severity, f.Part, f.From, f.To, filepath.Base(f.File), f.Problem))
		}
	}
	return lines
}

// filled makes a data directory with something in every stream: runs that
// ended well and badly, one that waits for its next attempt and one that waits
// for a person, large values, credentials, a token, a hook's module, triggers
// that nobody has taken. kill ends the node without a goodbye.
func filled(t testing.TB, kill bool) (dir string) {
	t.Helper()
	u := testkit.NewUpstream(t)
	u.Handle("/large", testkit.OK(fmt.Sprintf("%q", strings.Repeat("large ", 30_000))))
	dir = t.TempDir()
	task := func(id, path, deps, more string) string { return upstreamTask(u, id, path, deps, more) }
	for name, text := range map[string]string{
		"chain":  task("a", "ok", "", "") + task("b", "ok", after("a"), ""),
		"large":  task("big", "large", "", ""),
		"fails":  task("bad", "status/422", "", ""),
		"waits":  task("later", "status/503", "", "retry_count = 3\nretry_delay = 3600"),
		"hooked": task("get", "ok", "", "") + "[tasks.hooks.transform_response]\nfile = \"unwrap.wasm\"\n",
		"asks":   task("pay", "silent", "", "operation = \"post\"\non_lost = \"ask\"\ntimeout = 0.2"),
	} {
		write(t, filepath.Join(dir, "flows", name+".toml"), text)
	}
	module, err := os.ReadFile("../../examples/hooks/built/c/unwrap.wasm")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "hooks", "unwrap.wasm"), string(module))
	for _, args := range [][]string{
		{"credentials", "store", "--credential-id", "shop", "--type", "api_key", "--json", `{"api_key": "a-long-secret"}`},
	} {
		if out, errs, code := qarion(t, dir, args...); code != 0 {
			t.Fatalf("%v: %d\n%s%s", args, code, out, errs)
		}
	}
	p := testkit.Serve(t, dir)
	for i := range 30 {
		for _, flow := range []string{"chain", "chain", "large", "fails"} {
			if i%5 > 0 && flow != "chain" {
				continue
			}
			_, _, _ = qarion(t, dir, "trigger", flow)
		}
	}
	for _, args := range [][]string{
		{"trigger", "waits"}, {"tokens", "create", "--role", "viewer"}, {"trigger", "chain", "--wait"}, {"trigger", "fails", "--wait"}, {"trigger", "asks", "--wait"},
	} {
		if out, errs, code := qarion(t, dir, args...); code > 1 && code != 4 {
			t.Fatalf("%v: %d\n%s%s", args, code, out, errs)
		}
	}
	awaitStatus(t, dir, 2)
	if kill {
		p.Kill()
	} else if code := p.Stop(); code != 0 {
		t.Fatalf("the node stopped with exit code %d", code)
	}
	return dir
}

// awaitStatus waits until so many runs are open and all views are current.
func awaitStatus(t testing.TB, dir string, open int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		out, errs, _ := qarion(t, dir, "status", "--output", "json")
		var st struct {
			Engine struct {
				Open  int `json:"open_runs"`
				Views []struct{ Behind int }
			}
		}
		if err := json.Unmarshal([]byte(out), &st); err != nil {
			t.Fatalf("%v: %s%s", err, out, errs)
		}
		behind := slices.ContainsFunc(st.Engine.Views, func(v struct{ Behind int }) bool { return v.Behind > 0 })
		if st.Engine.Open == open && !behind {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("want %d open runs and views that are current: %s", open, out)
		}
	}
}

// like copies a directory, as hard as a test needs it.
func like(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(filepath.Join(to, "data"), os.DirFS(filepath.Join(dir, "data"))); err != nil {
		t.Fatal(err)
	}
	// CopyFS gives files the rights that the test's umask leaves.
	for _, private := range []string{"data", "data/key"} {
		mode := os.FileMode(0o600)
		if private == "data" {
			mode = 0o700
		}
		if err := os.Chmod(filepath.Join(to, private), mode); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// storeFiles are the files of a stored stream.
func storeFiles(t testing.TB, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "data", "nats", "jetstream", "*", "streams", pattern))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestDoctor_NothingIsWrong: neither after a stop nor after a kill, and not
// beside a node that serves.
func TestDoctor_NothingIsWrong(t *testing.T) {
	for _, kill := range []bool{false, true} {
		dir := filled(t, kill)
		found := doctorSays(t, dir)
		if list := worst(found); len(list) > 0 || found.Open != 2 || found.Entries < 60 || found.Compared < 150 {
			t.Errorf("killed: %v: open %d, entries %d, compared %d\n%s", kill, found.Open, found.Entries, found.Compared, strings.Join(list, "\n"))
		}
		p := testkit.Serve(t, dir)
		found = doctorSays(t, dir)
		if list := worst(found); len(list) > 0 || !found.Serving {
			t.Errorf("beside a node: serving: %v\n%s", found.Serving, strings.Join(list, "\n"))
		}
		if _, errs, code := qarion(t, dir, "doctor"); code != 0 || !strings.Contains(errs, "is in use by qarion serve (pid ") {
			t.Errorf("beside a node: %d %s", code, errs)
		}
		p.Stop()
	}
}
