package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/qarion/qarion/engine"
)

// How the store is watched.
const (
	watchDiskEvery = time.Second
	reopenAtMost   = 10 * time.Second // between two tries to reopen a store that a write error broke
	reopenFree     = 16 << 20         // bytes that must be free before it is tried
	leastLimit     = 16 << 20         // bytes that the store may always take
)

// serverLimit is the server's own limit, which cannot be lowered while it runs.
// The account's can, and is the one that holds.
const serverLimit = 1 << 60

// Health is how the store is, as status shows it.
type Health struct {
	Full   bool   `json:"full"`             // it refuses what is written, until there is space again
	Broken string `json:"broken,omitempty"` // a write to the disk failed; the store is reopened when there is space
	Used   int64  `json:"used_bytes"`       // by messages
	Limit  int64  `json:"limit_bytes"`      // what it may take: it follows the free space of the disk
	Free   int64  `json:"free_bytes"`       // on the disk; -1 where the system does not say
}

// Health says how the store is.
func (b *Bus) Health() Health {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.health
}

// Lost is closed when the store's directory was removed or replaced while it
// was in use: what is written from then on goes into files that nobody will
// find. LostWhy says so in words.
func (b *Bus) Lost() <-chan struct{} { return b.lost }

// LostWhy is why Lost was closed.
func (b *Bus) LostWhy() error {
	return fmt.Errorf("the data directory %s was removed or replaced while the node was using it: what is written now would be lost", filepath.Dir(b.cfg.Dir))
}

// watchDisk keeps the store's limit at what the disk has, reopens the server
// after a write error, and notices a directory that is gone, until ctx ends.
//
// A full disk leaves the server's files broken: from then on it refuses every
// write and does not say why. The limit below the free space prevents that as
// far as others do not fill the disk between two looks.
func (b *Bus) watchDisk(ctx context.Context, dir os.FileInfo) {
	tick := time.NewTicker(watchDiskEvery)
	defer tick.Stop()
	var missed int
	var tried time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.writeFailed:
		case <-tick.C:
		}
		if now, err := os.Stat(b.cfg.Dir); err != nil || !os.SameFile(dir, now) {
			if missed++; missed == 2 { // once may be a file system that is busy
				close(b.lost)
				return
			}
			continue
		}
		missed = 0
		b.limitStore()
		h := b.Health()
		if h.Broken == "" || h.Free >= 0 && h.Free < reopenFree || time.Since(tried) < reopenAtMost {
			continue
		}
		tried = time.Now()
		if err := b.reopen(); err != nil {
			b.log.Error("the store could not be reopened; it is tried again", engine.LogErr, err)
			continue
		}
		b.log.Warn("the store was reopened after a write error: work goes on")
	}
}

// Room is what a store in a directory may take that has taken so many bytes:
// those, and what is free on its disk but for a reserve.
func Room(dir string, used int64) Health {
	h := Health{Used: used, Limit: serverLimit / 2, Free: -1}
	if free, err := freeSpace(dir); err == nil {
		h.Free, h.Limit = free, max(used+free-diskReserve, leastLimit)
	}
	h.Full = used >= h.Limit
	return h
}

// Takes reports whether the store takes what is written: it is not full, and
// there is room on its disk for the next write.
func (h Health) Takes() bool { return !h.Full && (h.Free < 0 || h.Free >= reopenFree) }

// limitStore sets what the store may take: what it has, and what is free on
// its disk but for a reserve.
func (b *Bus) limitStore() {
	account, err := b.server.Load().LookupAccount(accountEngine)
	if err != nil {
		return
	}
	used := int64(account.JetStreamUsage().Store)
	h := Room(b.cfg.Dir, used)
	limit, free := h.Limit, h.Free
	err = account.UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"": {
		MaxMemory: -1, MaxStore: limit, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1,
	}})
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.health.Full
	b.health.Used, b.health.Limit, b.health.Free = used, limit, free
	b.health.Full = err == nil && h.Full
	switch {
	case b.health.Full && !was:
		b.log.Error("store full: nothing more is written until there is space on its disk", "used", used, "free", free, "reserve", int64(diskReserve))
	case !b.health.Full && was:
		b.log.Warn("the store has space again: work goes on", "used", used, "free", free)
	}
}

// writeError takes note of what the server logs: it tells of a failed write
// nowhere else.
func (b *Bus) writeError(text string) {
	low := strings.ToLower(text)
	if !strings.Contains(low, "critical write error") && !strings.Contains(low, "will be disabled") {
		return
	}
	b.mu.Lock()
	b.health.Broken = text
	b.mu.Unlock()
	select {
	case b.writeFailed <- struct{}{}:
	default:
	}
}

// reopen starts a new server on the same store, in the place of one whose
// files a write error broke. Every connection finds the new one by itself.
func (b *Bus) reopen() error {
	old := b.server.Load()
	old.Shutdown()
	old.WaitForShutdown()
	b.mu.Lock()
	b.health.Broken = ""
	b.mu.Unlock()
	if err := errors.Join(b.startServer(), b.openStore()); err != nil {
		b.mu.Lock()
		b.health.Broken = err.Error()
		b.mu.Unlock()
		return err
	}
	b.limitStore()
	return nil
}
