package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/qarion/qarion/internal/testkit"
)

// TestTriggerFrom_KilledInTheMiddle kills the node while a file of runs with
// keys of their own is being started, and repeats the file until it is through:
// every line has one run then, and each has made its call.
func TestTriggerFrom_KilledInTheMiddle(t *testing.T) {
	up := testkit.NewUpstream(t)
	up.Handle("/pay", testkit.OK(`{}`))
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	flow := "[variables]\nkey = \"\"\n[[tasks]]\nid = \"a\"\ntype = \"api_call\"\nproperties = { url = \"" + up.URL + "/pay?key={{ key }}\" }\n"
	if err := os.WriteFile(filepath.Join(dir, "flows", "pay.toml"), []byte(flow), 0o600); err != nil {
		t.Fatal(err)
	}
	const lines = 2500
	var file bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&file, "{\"flow\":\"pay\",\"id\":\"k-%d\",\"variables\":{\"key\":\"k-%d\"}}\n", i, i)
	}
	if err := os.WriteFile(filepath.Join(dir, "runs.jsonl"), file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() (*exec.Cmd, *bytes.Buffer) {
		var out bytes.Buffer
		cmd := exec.Command(testkit.Binary(t), "trigger", "--from", "runs.jsonl", "-q", "--data-dir", "data")
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, &out
	}
	node := testkit.Serve(t, dir)
	first, _ := start()
	called := func() int {
		keys := map[string]bool{}
		for _, r := range up.Requests("/pay") {
			keys[r.Query.Get("key")] = true
		}
		return len(keys)
	}
	for until := time.Now().Add(time.Minute); called() == 0 && time.Now().Before(until); time.Sleep(time.Millisecond) {
	}
	node.Kill()
	_ = first.Wait() // through or cut off: either may be
	testkit.Serve(t, dir)
	again, out := start()
	if err := again.Wait(); err != nil {
		t.Fatalf("%v: %.2000s", err, out)
	}
	ids := bytes.Fields(out.Bytes())
	distinct := map[string]bool{}
	for _, id := range ids {
		distinct[string(id)] = true
	}
	if len(ids) != lines || len(distinct) != lines {
		t.Errorf("%d answers, %d runs, of %d lines", len(ids), len(distinct), lines)
	}
	for until := time.Now().Add(2 * time.Minute); called() < lines; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d of %d calls were made", called(), lines)
		}
	}
	third, out := start()
	if err := third.Wait(); err != nil {
		t.Fatalf("%v: %.2000s", err, out)
	}
	for i, id := range bytes.Fields(out.Bytes()) {
		if !distinct[string(id)] {
			t.Fatalf("line %d has a second run: %s", i+1, id)
		}
	}
}
