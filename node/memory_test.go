package node

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

func TestRest_IsToldSoonAndOnceMoreAndAgainAfterWork(t *testing.T) {
	var r rest
	var told []string
	begin := time.Unix(0, 0)
	for s := 0; s <= 700; s += 5 {
		folded := uint64(min(s, 60)) // work for a minute
		if s >= 400 {
			folded++ // and one record more
		}
		if r.due(begin.Add(time.Duration(s)*time.Second), folded) {
			told = append(told, (time.Duration(s) * time.Second).String())
		}
	}
	if got := strings.Join(told, " "); got != "1m20s 4m0s 7m0s 9m40s" {
		t.Errorf("memory is given back at %s", got)
	}
}

func TestMemory_DefaultIsAQuarterAndBounded(t *testing.T) {
	if got := DefaultMemory(); got < MinMemory || got > MaxDefaultMemory {
		t.Errorf("%d bytes", got)
	}
}

func TestMemory_LimitIsTheRuntimes(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	n, err := Open(t.Context(), Config{DataDir: filepath.Join(t.TempDir(), "data"), Memory: 777 << 20, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if got := debug.SetMemoryLimit(-1); got != 777<<20 {
		t.Errorf("the limit is %d", got)
	}
}

// TestMemory_ContainerLimitIsRead reads this machine's own, where there is one.
func TestMemory_ContainerLimitIsRead(t *testing.T) {
	text, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil || strings.TrimSpace(string(text)) == "max" {
		if got := containerMemory(); got < 0 || got > 0 && got < MinMemory {
			t.Errorf("a limit of %d bytes", got)
		}
		return
	}
	if got := containerMemory(); got <= 0 {
		t.Errorf("the limit %s is not seen", text)
	}
}
