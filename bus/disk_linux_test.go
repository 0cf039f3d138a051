package bus_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// smallDisk is a file system of its own, of the given size in MiB. Mounting one
// needs rights that not everybody has: the test is skipped then.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+"m"); err != nil {
		t.Skipf("no file system of its own can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill takes what is left of a disk, and gives it back.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "other")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// Others fill the disk between two looks at it, so that a write fails below
// the store's limit. Once there is space the store works again by itself.
func TestDisk_AWriteErrorHealsByItselfOnceThereIsSpace(t *testing.T) {
	dir := smallDisk(t, "400")
	n := testkit.StartNode(t, testkit.NodeConfig{Dir: filepath.Join(dir, "data"), Sync: true, Types: []engine.TaskType{testkit.TaskFunc{Do: value}}})
	put(t, n, flow("f", nil, "a"))
	empty := fill(t, dir)
	var failed error
	waitFor(t, func() bool { // until a block of the store must grow and cannot
		_, failed = n.Engine.Start(t.Context(), engine.StartRequest{Flow: "f", Variables: []byte(`{"x": "` + strings.Repeat("y", 100_000) + `"}`)})
		return failed != nil
	})
	if !errors.Is(failed, engine.ErrUnavailable) {
		t.Errorf("a start on a full disk: %v", failed)
	}
	waitFor(t, func() bool { h := n.Bus.Health(); return h.Full || h.Broken != "" })
	empty()
	waitFor(t, func() bool { h := n.Bus.Health(); return !h.Full && h.Broken == "" })
	waitLong(t, func() bool {
		doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "f"})
		if err != nil {
			return false
		}
		end, err := n.Engine.Wait(t.Context(), doc.RunID)
		return errors.Is(err, engine.ErrNotFound) || err == nil && end.Status == engine.Success
	})
	waitLong(t, func() bool { return status(t, n).OpenRuns == 0 }) // what was stored before has its end as well
}

// The limit is what the disk has left, less a reserve, at every moment.
func TestDisk_TheLimitFollowsTheFreeSpace(t *testing.T) {
	dir := smallDisk(t, "600")
	b, err := bus.Open(t.Context(), bus.Config{Dir: filepath.Join(dir, "nats"), SyncInterval: time.Minute, Log: testkit.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	before := b.Health().Limit
	if before < 200<<20 || before > 400<<20 {
		t.Errorf("the limit on an empty disk of 600 MiB is %d MiB", before>>20)
	}
	if err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, 200<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return b.Health().Limit < before-190<<20 })
}

func TestDisk_ADirectoryThatIsGoneIsNoticed(t *testing.T) {
	for name, take := range map[string]func(dir string) error{
		"removed": os.RemoveAll,
		"replaced": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".old"), os.MkdirAll(dir, 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "nats")
			b, err := bus.Open(t.Context(), bus.Config{Dir: dir, SyncInterval: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if err := take(dir); err != nil {
				t.Fatal(err)
			}
			select {
			case <-b.Lost():
			case <-time.After(20 * time.Second):
				t.Error("nobody noticed")
			}
		})
	}
}

// waitLong is waitFor for what takes its time: servers that start again.
func waitLong(t testing.TB, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(90 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the state that the test waits for did not come")
		}
	}
}
