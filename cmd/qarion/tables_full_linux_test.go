package main_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/qarion/qarion/internal/testkit"
)

// TestTables_ADatabaseThatIsFullStopsNothing: the SQLite file lies on a disk of
// its own, on which others leave no room, while the ledger has enough.
func TestTables_ADatabaseThatIsFullStopsNothing(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("no file system of its own can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	dir := tablesFlows(t)
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(disk, "metadata.db"), filepath.Join(dir, "data", "metadata.db")); err != nil {
		t.Fatal(err)
	}
	testkit.Serve(t, dir)
	tablesRuns(t, dir, 3)
	other := filepath.Join(disk, "other")
	f, err := os.Create(other)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 1; { // to the last byte
		if n, _ := f.Write(make([]byte, size)); n < size {
			size /= 2
		}
	}
	tablesLag(t, dir, 3, "full")
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	f.Close()
	tablesCaughtUp(t, dir)
}
