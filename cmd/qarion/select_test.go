package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/testkit"
)

// TestSelect_TakesNoMemoryFromTheNode: an expression that doubles a text until
// there is no memory left, or asks for all of it in one step, fails its task
// and nothing else.
func TestSelect_TakesNoMemoryFromTheNode(t *testing.T) {
	u := testkit.NewUpstream(t)
	for name, expr := range map[string]string{
		"doubled": `reduce range(60) as $i ("x"; . + .)`, "in one step": `("x" * 8000000) as $s | [range(100000) | $s] | add`, "far out": `[] | .[500000000] = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			flow := upstreamTask(u, "bad", "ok", "", "select = '"+expr+"'") + upstreamTask(u, "good", "ok", "", "select = '. == {}'")
			if err := os.WriteFile(filepath.Join(dir, "f.toml"), []byte(flow), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(testkit.Binary(t), "run", "f.toml")
			cmd.Dir = dir
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), "bad: select took more than ") || !strings.Contains(string(out), "good  success") {
				t.Errorf("exit code %d: %s", code, out)
			}
			if took := peakMemory(cmd.ProcessState); took > 512<<20 { // of the node and its workers, whichever is larger
				t.Errorf("%d MiB of memory were taken", took>>20)
			}
		})
	}
}
