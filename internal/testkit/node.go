// Package testkit is what tests of several packages share: an engine on a real
// embedded NATS server in a temporary directory, a task type that does what a
// test says, and a logger into the test's output.
package testkit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
)

// Node is an engine on an embedded bus. Stop and start it again to see what
// survives.
type Node struct {
	Dir         string
	Bus         *bus.Bus
	Ledger      *bus.Ledger
	Checkpoints *bus.Checkpoints
	Engine      *runtime.Engine

	triggers *bus.Triggers
	stop     context.CancelFunc
	done     chan error
}

// NodeConfig is how a Node is started.
type NodeConfig struct {
	Dir    string // default: a directory that goes with the test
	Listen string // default: no port
	Sync   bool   // true: every write reaches the disk first
	Slots  int
	Types  []engine.TaskType
	Views  func(b *bus.Bus) []engine.Projection
	Change func(*runtime.Config)

	AcceptLoss bool // go on without lost ledger entries
}

// StartNode starts an engine and stops it when the test ends.
func StartNode(t testing.TB, cfg NodeConfig) *Node {
	t.Helper()
	n, err := TryNode(t, cfg)
	if err != nil {
		t.Fatalf("the engine did not start: %v", err)
	}
	return n
}

// TryNode is StartNode where the engine may refuse to start.
func TryNode(t testing.TB, cfg NodeConfig) (*Node, error) {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	ctx := t.Context()
	log := Logger(t)
	busCfg := bus.Config{Dir: filepath.Join(cfg.Dir, "nats"), Listen: cfg.Listen, SyncInterval: bus.DefaultSyncInterval, Log: log}
	if cfg.Sync {
		busCfg.SyncInterval = 0
	}
	b, err := bus.Open(ctx, busCfg)
	must(t, err)
	blobs := &Blobs{}
	ledger, err := b.Ledger(ctx, bus.LedgerConfig{Node: "test", Version: "test", Blobs: blobs, AcceptLoss: cfg.AcceptLoss})
	must(t, err)
	checkpoints, err := b.Checkpoints(ctx, ledger)
	must(t, err)
	ready, err := b.ReadyQueue(ctx)
	must(t, err)
	triggers, err := b.Triggers(ctx)
	must(t, err)
	ec := runtime.Config{
		Triggers: triggers, Ledger: ledger, Checkpoints: checkpoints, ReadyQueue: ready, Blobs: blobs, TaskTypes: cfg.Types,
		Slots: cfg.Slots, Version: "test", Worker: "test", Log: log, Grace: 5 * time.Second,
		AcceptLoss: cfg.AcceptLoss,
	}
	if cfg.Views != nil {
		ec.Projections = cfg.Views(b)
	}
	if cfg.Change != nil {
		cfg.Change(&ec)
	}
	e, err := runtime.New(ec)
	must(t, err)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	n := &Node{Dir: cfg.Dir, Bus: b, Ledger: ledger, Checkpoints: checkpoints, triggers: triggers, Engine: e, stop: stop, done: make(chan error, 1)}
	go func() { n.done <- e.Run(run) }()
	select {
	case <-e.Ready():
		t.Cleanup(func() { n.Stop(t) })
		return n, nil
	case err := <-n.done:
		n.close()
		return nil, err
	}
}

// Stop stops the engine in good order and closes the bus. A second call does
// nothing.
func (n *Node) Stop(t testing.TB) {
	if n.stop == nil {
		return
	}
	n.stop()
	n.stop = nil
	if err := <-n.done; err != nil {
		t.Errorf("the engine stopped with: %v", err)
	}
	n.close()
}

func (n *Node) close() {
	n.triggers.Close()
	n.Ledger.Close()
	n.Bus.Close()
}

// Image copies the node's directory as it is now: what a kill would leave. The
// node may go on.
func (n *Node) Image(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(n.Dir)))
	return dir
}

// Blocks are the files of a stream's messages, in order, in a node's
// directory.
func Blocks(t testing.TB, dir, stream string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "nats", "jetstream", "*", "streams", stream, "msgs", "*.blk"))
	must(t, err)
	if len(files) == 0 {
		t.Fatalf("stream %s has no files in %s", stream, dir)
	}
	slices.SortFunc(files, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	return files
}

// FlipBytes changes two bytes of a file, at a part of its length.
func FlipBytes(t testing.TB, file string, part float64) {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	at := int(part * float64(len(data)-2))
	data[at] ^= 0xff
	data[at+1] ^= 0xff
	must(t, os.WriteFile(file, data, 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Logger writes the operator's log into the test's output.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// Blobs is an object store in memory, for tests that are not about it.
type Blobs struct {
	mu   sync.Mutex
	data map[string][]byte
}

// Put implements engine.Blobs.
func (b *Blobs) Put(_ context.Context, name string, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.data == nil {
		b.data = map[string][]byte{}
	}
	b.data[name] = data
	return nil
}

// Get implements engine.Blobs.
func (b *Blobs) Get(_ context.Context, name string, max int64) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.data[name]
	switch {
	case !ok:
		return nil, engine.ErrNotFound
	case int64(len(data)) > max:
		return nil, engine.ErrInvalid
	}
	return data, nil
}

// Write implements engine.Blobs.
func (b *Blobs) Write(ctx context.Context, name string, from io.Reader) (engine.Stored, error) {
	data, err := io.ReadAll(from)
	if err != nil {
		return engine.Stored{}, err
	}
	sum := sha256.Sum256(data)
	return engine.Stored{Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}, b.Put(ctx, name, data)
}

// Open implements engine.Blobs.
func (b *Blobs) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	data, err := b.Get(ctx, name, math.MaxInt64)
	return io.NopCloser(bytes.NewReader(data)), err
}

// TaskFunc is a task type, called "func", whose attempts are a function.
type TaskFunc struct {
	Do    func(ctx context.Context, in *engine.TaskInput) engine.TaskOutput
	Retry engine.RetryPolicy
}

// Name implements engine.TaskType.
func (TaskFunc) Name() string { return "func" }

// Prepare implements engine.TaskType.
func (f TaskFunc) Prepare(*engine.Flow, *engine.Task) (engine.Program, []engine.Problem) {
	return f, nil
}

// Needs implements engine.Program.
func (f TaskFunc) Needs() engine.Needs { return engine.Needs{Retry: f.Retry} }

// Execute implements engine.Program.
func (f TaskFunc) Execute(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
	return f.Do(ctx, in)
}

// Recorder is a projection that keeps every change, for tests.
type Recorder struct {
	mu      sync.Mutex
	changes []engine.Change
	at      engine.Pos
}

// Name implements engine.Projection.
func (*Recorder) Name() string { return "recorder" }

// Position implements engine.Projection.
func (r *Recorder) Position(context.Context) (engine.Pos, error) { return r.at, nil }

// Project implements engine.Projection.
func (r *Recorder) Project(_ context.Context, changes []engine.Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, changes...)
	r.at = changes[len(changes)-1].Pos
	return nil
}

// Mark implements engine.Projection.
func (r *Recorder) Mark(_ context.Context, at engine.Pos) error {
	r.at = at
	return nil
}

// End waits for the end of a run, which may have come already.
func (r *Recorder) End(t testing.TB, run engine.RunID) *engine.RunDoc {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, c := range r.Changes() {
			if c.Kind == engine.RunDone && c.Run == run {
				return c.Doc
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("run %s has not ended", run)
		}
	}
}

// Views makes the recorder the only view of a node.
func (r *Recorder) Views(*bus.Bus) []engine.Projection { return []engine.Projection{r} }

// Changes returns what was projected so far.
func (r *Recorder) Changes() []engine.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]engine.Change(nil), r.changes...)
}
