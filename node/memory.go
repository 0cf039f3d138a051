package node

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats-server/v2/server/sysmem"
)

// How much memory a node takes by default, and the least with which it works.
const (
	MaxDefaultMemory = 1 << 30
	MinMemory        = 64 << 20
)

// DefaultMemory is a quarter of the machine's memory, or of what the container
// may take, and at most 1 GiB; in bytes.
func DefaultMemory() int64 {
	all := sysmem.Memory()
	if limit := containerMemory(); limit > 0 && (all <= 0 || limit < all) {
		all = limit
	}
	if all <= 0 {
		return MaxDefaultMemory // the system does not say
	}
	return max(MinMemory, min(all/4, MaxDefaultMemory))
}

// limitMemory sets the soft limit of the Go runtime: it collects garbage the
// harder, the nearer the process comes to it. It holds for the whole process.
func (n *Node) limitMemory(context.Context) error {
	if n.cfg.Memory > 0 {
		debug.SetMemoryLimit(n.cfg.Memory)
	}
	return nil
}

// viewQueueBytes is how much of the memory the queue of the views may take.
func (n *Node) viewQueueBytes() int {
	if n.cfg.Memory <= 0 {
		return 0
	}
	return int(n.cfg.Memory / 16)
}

// When a node that has nothing to do gives memory back: soon, and once more
// when the server has let go of what it keeps of recently used files.
const (
	lookForRest = 5 * time.Second
	restShort   = 20 * time.Second
	restLong    = 3 * time.Minute
)

// giveBack returns memory to the system when there is nothing to do: after a
// burst the runtime would keep as much again as is in use, for a next one.
func (n *Node) giveBack(ctx context.Context) {
	tick := time.NewTicker(lookForRest)
	defer tick.Stop()
	var r rest
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if r.due(now, n.Engine.Folded()) {
				debug.FreeOSMemory()
				debug.FreeOSMemory() // buffers in pools outlive one collection
			}
		}
	}
}

// rest tells when a node has had nothing to do for long enough.
type rest struct {
	at    uint64        // how far the ledger had been folded
	since time.Time     // since when it is so
	told  time.Duration // the longest pause that was told
}

// due reports whether one of the pauses has passed since anything happened;
// each is told once.
func (r *rest) due(now time.Time, folded uint64) bool {
	if folded != r.at || r.since.IsZero() {
		*r = rest{at: folded, since: now}
		return false
	}
	pause := restShort
	if now.Sub(r.since) >= restLong {
		pause = restLong
	}
	if now.Sub(r.since) < pause || r.told >= pause {
		return false
	}
	r.told = pause
	return true
}
