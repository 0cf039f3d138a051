package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/node"
)

// servedProcess is a serving node that the bench has started.
type servedProcess struct {
	cmd    *exec.Cmd
	access bus.Access
}

// startWithin is how long a node may take to start: a long ledger is folded from
// its beginning where there is no checkpoint.
const startWithin = 5 * time.Minute

// startServe starts `qarion serve` in a folder, on a free port, and returns
// when it answers; the time counts from the start of the process.
func startServe(ctx context.Context, dir string) (*servedProcess, time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, 0, err
	}
	cmd := exec.CommandContext(ctx, self, "serve", "--data-dir", filepath.Join(dir, "data"), "--flows-dir", filepath.Join(dir, "flows"), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
	cmd.Dir = dir
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, 0, fmt.Errorf("start the node: %w", err)
	}
	p := &servedProcess{cmd: cmd}
	for time.Since(began) < startWithin && ctx.Err() == nil {
		data, err := os.ReadFile(node.AccessFile(filepath.Join(dir, "data")))
		if err == nil && json.Unmarshal(data, &p.access) == nil {
			return p, time.Since(began), nil
		}
		pass(ctx, time.Millisecond)
	}
	p.stop()
	return nil, 0, fmt.Errorf("the node was not ready within %v", startWithin)
}

func (p *servedProcess) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// rss is the resident memory in MiB, from /proc.
func (p *servedProcess) rss() (float64, error) {
	n, err := residentBytes(p.cmd.Process.Pid)
	return float64(n) / (1 << 20), err
}

// residentBytes is the resident memory of a process, from /proc.
func residentBytes(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm has no resident size")
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// cpu is the processor time used so far, from /proc; the clock has 100 ticks a
// second.
func (p *servedProcess) cpu() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat has no times")
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err
}

// serve measures a node on an empty store, as a process of its own.
func (b *bencher) serve(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p, took, err := startServe(ctx, dir)
	if err != nil {
		return err
	}
	defer p.stop()
	b.ReadyMS = float64(took.Microseconds()) / 1000
	pass(ctx, time.Second)
	before, err := p.cpu()
	if err != nil {
		return err
	}
	pass(ctx, 3*time.Second)
	after, err := p.cpu()
	if err != nil {
		return err
	}
	b.IdleCPU = (after - before).Seconds() / 3 * 100
	b.IdleRSSMiB, err = p.rss()
	return err
}

// store fills a store with finished runs, and measures how a node starts on it.
func (b *bencher) store(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	flowDir := filepath.Join(dir, "flows")
	if err := os.MkdirAll(flowDir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(flowDir, "single.toml"), []byte(b.task("call", "")), 0o644); err != nil {
		return err
	}
	cfg := b.cfg.Node
	cfg.DataDir, cfg.Flows, cfg.Sync = filepath.Join(dir, "data"), flowDir, 2*time.Minute
	n, err := node.Open(ctx, cfg)
	if err != nil {
		return err
	}
	c, err := n.Client()
	if err == nil {
		_, err = b.fill(ctx, c, b.cfg.StoreRuns)
		c.Close()
	}
	n.Close()
	if err != nil {
		return err
	}
	began := time.Now()
	p, _, err := startServe(ctx, dir)
	if err != nil {
		return err
	}
	defer p.stop()
	own, err := bus.Dial(p.access, p.access.URL)
	if err != nil {
		return err
	}
	defer own.Close()
	if err := own.Call(ctx, "run.start", bus.StartRun{Flow: "single", Wait: json.RawMessage("60")}, new(engine.RunDoc)); err != nil {
		return err
	}
	b.StoreRuns = b.cfg.StoreRuns
	b.StoreStartMS = float64(time.Since(began).Milliseconds())
	if b.StoreRSSMiB, err = p.rss(); err != nil {
		return err
	}
	pass(ctx, storeIdle)
	b.StoreIdleRSSMiB, err = p.rss()
	return err
}

// storeIdle is how long a node has had nothing to do when its memory at rest is
// measured: longer than it takes until it gives memory back.
const storeIdle = time.Minute
