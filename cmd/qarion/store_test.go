package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestStore_OfAnEarlierFormatGoesOn starts on a data directory that a program of
// format 2 left when it was killed: a run whose second task waits for a retry
// and whose POST waits for a person, another one queued behind it, a checkpoint
// and entries after it. Both end, and what was done is not done again.
//
// testdata/stores/format-2.tar.gz was made from the flow that is in it. Its
// calls go through a proxy whose address is in a credential, which is how they
// find the server of this test.
func TestStore_OfAnEarlierFormatGoesOn(t *testing.T) {
	t.Parallel()
	const first, second = "01M8DQQTJH2APAEK8VA03KXJB1", "01M8DQQTKK2N60SHPV5RHTYWNK"
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-xzf", filepath.Join("testdata", "stores", "format-2.tar.gz"), "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	u := testkit.NewUpstream(t)
	for path, answer := range map[string]string{"/first": `{"n": 1}`, "/second": `{"n": 2}`, "/third": `{"n": 3}`, "/pay": `{"paid": true}`} {
		u.Handle(path, testkit.OK(answer))
	}
	gate, err := json.Marshal(map[string]string{"token": "none", "url": u.URL})
	if err != nil {
		t.Fatal(err)
	}
	command(t, dir, "credentials", "store", "--credential-id", "gate", "--type", "custom", "--json", string(gate))
	p := testkit.Serve(t, dir)
	command(t, dir, "runs", "resolve", first, "pay", "--as", "success")
	c, err := bus.Dial(p.Access, p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, run := range []engine.RunID{first, second} {
		doc := new(engine.RunDoc)
		if err := c.Call(t.Context(), "run.get", bus.RunRef{Run: string(run), Wait: 50}, doc); err != nil {
			t.Fatal(err)
		}
		if doc.Status != engine.Success || doc.Counts[engine.Success] != 4 {
			t.Errorf("run %s: %s, %v, %+v", run, doc.Status, doc.Counts, doc.Error)
		}
	}
	for path, want := range map[string]int{"/first": 1, "/second": 2, "/third": 2, "/pay": 1} {
		if got := u.Requests(path); len(got) != want {
			t.Errorf("%s was called %d times, want %d", path, len(got), want)
		}
	}
	if last := u.Requests("/third"); len(last) > 0 && last[0].Query.Get("all") != "1-2" {
		t.Errorf("the third task of the first run read %v", last[0].Query)
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("the node stopped with exit code %d", code)
	}
}

// command runs the program in a folder with a data directory and fails the test
// when it fails.
func command(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(testkit.Binary(t), append([]string{"--data-dir", "data"}, args...)...)
	cmd.Dir, cmd.Env = dir, os.Environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("qarion %v: %v: %s", args, err, out)
	}
	return out
}
