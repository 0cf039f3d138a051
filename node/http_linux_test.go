package node

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReady_TheDiskIsFull fills the disk and gives the space back.
func TestReady_TheDiskIsFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=400m"); err != nil {
		t.Skipf("no file system of its own can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	n := httpNode(t, func(c *Config) { c.DataDir = filepath.Join(dir, "data") })
	if status, text := get(t, n.URL()+"/readyz"); status != 200 {
		t.Fatalf("at first: %d %s", status, text)
	}
	other := filepath.Join(dir, "other")
	f, err := os.Create(other)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size >= 512; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	f.Close()
	big := make([]byte, 200<<10)
	waitFor(t, "readyz tells that the store is full", func() bool {
		_, _ = n.Bus.JetStream().Publish(t.Context(), "qarion.trigger.nobody", big)
		status, text := get(t, n.URL()+"/readyz")
		return status == 503 && (text == "full\n" || text == "broken\n")
	})
	health := n.Bus.Health()
	found, err := CheckUp(t.Context(), CheckupConfig{DataDir: n.cfg.DataDir, Serving: true, Store: &health})
	if err != nil || found.OK || !slices.ContainsFunc(found.Findings, func(f Finding) bool { return f.Part == "disk" && f.Severity == Broken }) {
		t.Errorf("a checkup beside it: %+v, %v", found, err)
	}
	if found, err = CheckUp(t.Context(), CheckupConfig{DataDir: n.cfg.DataDir, Serving: true}); err != nil || found.OK {
		t.Errorf("a checkup without asking it: %+v, %v", found, err)
	}
	if status, _ := get(t, n.URL()+"/healthz"); status != 200 {
		t.Errorf("healthz: %d, though a restart would help nothing", status)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "readyz tells that there is space again", func() bool {
		status, _ := get(t, n.URL()+"/readyz")
		return status == 200
	})
	if doc := runFlow(t, n, "good"); !doc.Final {
		t.Errorf("run: %+v", doc)
	}
}
