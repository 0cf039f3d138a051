package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/testkit"
)

// A node whose data directory was removed must not go on accepting runs into
// files that nobody will find.
func TestServe_EndsLoudlyWhenItsDataDirectoryIsGone(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := testkit.Serve(t, dir)
	if text, err := os.ReadFile(filepath.Join(dir, "data", ".gitignore")); err != nil || string(text) != "*\n" {
		t.Errorf("the data directory does not keep itself out of git: %q, %v", text, err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	if code := p.Wait(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if log := p.Log(); !strings.Contains(log, "was removed or replaced while the node was using it") {
		t.Errorf("the log does not say why:\n%s", log)
	}
}
