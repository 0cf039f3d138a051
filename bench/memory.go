package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/node"
)

// How many of each thing the part "memory" puts into a store. Open runs and
// their keys are those of the restart that it measures.
const (
	memoryFlows = 10_000
	memoryEnded = 100_000
	memoryOpen  = 150_000
)

// memory measures what a node keeps in memory for each flow, ended run, caller
// key and open run: the live heap of a node on a store that holds so many of
// them, less that of one that does not. The node is opened anew before it is
// measured, so that what the server keeps of files that were just written does
// not count.
func (b *bencher) memory(ctx context.Context) error {
	empty, _, err := b.kept(ctx, func(context.Context, *node.Node, *bus.Client) error { return nil })
	if err != nil {
		return err
	}
	flows, _, err := b.kept(ctx, b.putFlows)
	if err != nil {
		return err
	}
	b.MemoryFlow = (flows - empty) / memoryFlows
	ended, _, err := b.kept(ctx, func(ctx context.Context, n *node.Node, c *bus.Client) error {
		return b.startMany(ctx, n, c, memoryEnded, b.task("call", ""), bus.StartRun{Wait: json.RawMessage("60")}, false)
	})
	if err != nil {
		return err
	}
	b.MemoryEnded = (ended - empty) / memoryEnded
	keyed, _, err := b.kept(ctx, func(ctx context.Context, n *node.Node, c *bus.Client) error {
		return b.startMany(ctx, n, c, memoryEnded, b.task("call", ""), bus.StartRun{Wait: json.RawMessage("60")}, true)
	})
	if err != nil {
		return err
	}
	b.MemoryKey = (keyed - ended) / memoryEnded
	queued := "max_active_runs = 1\n[[tasks]]\nid = \"call\"\ntype = \"api_call\"\nproperties = { url = \"" + b.target + "silent\", timeout = \"1h\" }\n"
	open, ready, err := b.kept(ctx, func(ctx context.Context, n *node.Node, c *bus.Client) error {
		return b.startMany(ctx, n, c, memoryOpen, queued, bus.StartRun{Variables: json.RawMessage(`{"customer":7}`)}, true)
	})
	if err != nil {
		return err
	}
	b.MemoryOpen = (open-empty)/memoryOpen - b.MemoryKey
	b.RestartMS = float64(ready.Milliseconds())
	return nil
}

// serverCaches is longer than the server keeps blocks that it has read.
const serverCaches = 12 * time.Second

// kept is the live heap of a node, in bytes, after the store was filled and the
// node opened anew, and how long that took.
func (b *bencher) kept(ctx context.Context, fill func(context.Context, *node.Node, *bus.Client) error) (heap float64, ready time.Duration, err error) {
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	cfg := b.cfg.Node
	cfg.DataDir, cfg.Sync = dir, 2*time.Minute
	n, err := node.Open(ctx, cfg)
	if err != nil {
		return 0, 0, err
	}
	c, err := n.Client()
	if err == nil {
		err = fill(ctx, n, c)
		c.Close()
	}
	n.Engine.Abort() // a call that is silent on purpose
	n.Close()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if n, err = node.Open(ctx, cfg); err != nil {
		return 0, 0, err
	}
	ready = time.Since(began)
	pass(ctx, serverCaches)
	runtime.GC()
	runtime.GC() // buffers in pools outlive one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	n.Engine.Abort()
	return float64(m.HeapAlloc), ready, n.Close()
}

func (b *bencher) putFlows(ctx context.Context, n *node.Node, _ *bus.Client) error {
	for i := range memoryFlows {
		if err := putFlow(ctx, n, fmt.Sprintf("flow_%d", i), b.task("call", "")); err != nil {
			return err
		}
	}
	return nil
}

func putFlow(ctx context.Context, n *node.Node, id, text string) error {
	flow, _, err := flowfile.Parse(id+".toml", []byte(text), n.Types)
	if err == nil {
		_, err = n.Engine.PutFlow(ctx, flow)
	}
	return err
}

// startMany starts runs of a flow, as asked, each with a key of its own if so
// told.
func (b *bencher) startMany(ctx context.Context, n *node.Node, c *bus.Client, runs int, flow string, req bus.StartRun, keys bool) error {
	if err := putFlow(ctx, n, "many", flow); err != nil {
		return err
	}
	req.Flow = "many"
	var next atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	for range benchOpen {
		wg.Go(func() {
			for ctx.Err() == nil && failed.Load() == nil {
				i := next.Add(1)
				if int(i) > runs {
					return
				}
				mine := req
				if keys {
					mine.ID = fmt.Sprint("order-", i)
				}
				if err := c.Call(ctx, "run.start", mine, new(engine.RunDoc)); err != nil {
					failed.Store(err)
				}
			}
		})
	}
	wg.Wait()
	err, _ := failed.Load().(error)
	return err
}
