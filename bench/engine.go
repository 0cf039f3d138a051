package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/node"
)

// EngineCommand is the hidden command of this program that serves a node which
// is being measured: the engine is a process of its own, as the target is one,
// so that its processor time and memory are its alone.
const EngineCommand = "bench-engine"

// engineSetup is the first line that the engine's process reads.
type engineSetup struct {
	Dir     string            `json:"dir"`
	Sync    time.Duration     `json:"sync"`
	NoViews bool              `json:"no_views"`
	Slots   int               `json:"slots"`
	Flows   map[string]string `json:"flows"` // flow files by the flow's name
}

// engineAsk is every line after it; each is answered with one.
type engineAsk struct {
	Profile string `json:"profile"` // a folder: profile from now on; else: the use so far
	Stop    bool   `json:"stop"`    // write the profiles
	Heap    string `json:"heap"`    // a file for a profile of the heap, beside the use so far
}

// engineUse is what a process has used since it began.
type engineUse struct {
	CPU      time.Duration `json:"cpu"`
	Allocs   uint64        `json:"allocs"`
	Bytes    uint64        `json:"bytes"`    // allocated
	Messages uint64        `json:"messages"` // stored in streams
	Syncs    uint64        `json:"syncs"`    // of those, in streams whose every message is synced
	Live     uint64        `json:"live"`     // bytes of the heap that the last collection found in use
	RSS      int64         `json:"rss"`      // resident bytes now; 0 where the system does not say
	Problem  string        `json:"problem,omitempty"`
}

// ServeEngine serves a node on a loopback port, as the first line of in says,
// prints how it is reached, answers what in asks, and ends when in does.
func ServeEngine(ctx context.Context, cfg node.Config, in io.Reader, out io.Writer) error {
	asks, answers := json.NewDecoder(in), json.NewEncoder(out)
	var setup engineSetup
	if err := asks.Decode(&setup); err != nil {
		return fmt.Errorf("read how to set up the engine: %w", err)
	}
	cfg.DataDir, cfg.Sync, cfg.NoViews, cfg.Listen = setup.Dir, setup.Sync, setup.NoViews, "127.0.0.1:0"
	if setup.Slots > 0 {
		cfg.Slots = setup.Slots
	}
	n, err := node.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer n.Close()
	for name, text := range setup.Flows {
		flow, _, err := flowfile.Parse(name+".toml", []byte(text), n.Types)
		if err != nil {
			return err
		}
		if _, err := n.Engine.PutFlow(ctx, flow); err != nil {
			return err
		}
	}
	if err := answers.Encode(n.Bus.Access()); err != nil {
		return err
	}
	var p profiler
	for {
		var ask engineAsk
		if err := asks.Decode(&ask); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
		var use engineUse
		switch {
		case ask.Profile != "":
			err = p.start(ask.Profile)
		case ask.Stop:
			err = p.stop()
		default:
			if ask.Heap != "" {
				err = writeHeap(ask.Heap)
			}
			if err == nil {
				use, err = used(n.Bus)
			}
		}
		if err != nil {
			use.Problem = err.Error()
		}
		if err := answers.Encode(use); err != nil {
			return err
		}
	}
}

// used is what this process has used so far.
func used(b *bus.Bus) (engineUse, error) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := engineUse{CPU: processorTime(), Allocs: m.Mallocs, Bytes: m.TotalAlloc}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	u.Live = live[0].Value.Uint64()
	u.RSS, _ = residentBytes(os.Getpid())
	f, err := b.Figures()
	if err != nil {
		return u, err
	}
	for _, n := range f.Written {
		u.Messages += n
	}
	for name := range f.Synced {
		u.Syncs += f.Written[name]
	}
	return u, nil
}

// profiler writes the profiles of a stretch of work.
type profiler struct {
	dir string
	cpu *os.File
}

func (p *profiler) start(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	p.dir = dir
	if p.cpu, err = os.Create(filepath.Join(dir, "cpu.pprof")); err != nil {
		return err
	}
	runtime.SetBlockProfileRate(int(time.Microsecond))
	return pprof.StartCPUProfile(p.cpu)
}

// stop writes what was collected: the processor time and the blocking since
// start, the allocations since the process began.
func (p *profiler) stop() error {
	pprof.StopCPUProfile()
	runtime.SetBlockProfileRate(0)
	err := p.cpu.Close()
	for _, name := range []string{"allocs", "block"} {
		f, failed := os.Create(filepath.Join(p.dir, name+".pprof"))
		if failed != nil {
			return failed
		}
		err = errors.Join(err, pprof.Lookup(name).WriteTo(f, 0), f.Close())
	}
	return err
}

// writeHeap writes a profile of the heap as it is after a collection.
func writeHeap(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	runtime.GC()
	return errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
}

// engineProcess is a node as a process of its own, seen from the bench.
type engineProcess struct {
	cmd     *exec.Cmd
	asks    *json.Encoder
	answers *json.Decoder
	in      io.Closer
	client  *bus.Client
}

// withEngine runs fn beside a fresh engine process.
func (b *bencher) withEngine(ctx context.Context, setup engineSetup, fn func(*engineProcess) error) (err error) {
	if setup.Dir, err = os.MkdirTemp("", "qarion-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(setup.Dir)
	e, err := startEngine(ctx, setup)
	if err != nil {
		return err
	}
	defer e.end()
	return fn(e)
}

func startEngine(ctx context.Context, setup engineSetup) (*engineProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, EngineCommand)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	e := &engineProcess{cmd: cmd, in: in, asks: json.NewEncoder(in), answers: json.NewDecoder(bufio.NewReader(out))}
	var access bus.Access
	if err = e.asks.Encode(setup); err == nil {
		err = e.answers.Decode(&access)
	}
	if err == nil {
		e.client, err = bus.Dial(access, access.URL)
	}
	if err != nil {
		e.end()
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	return e, nil
}

func (e *engineProcess) end() {
	if e.client != nil {
		e.client.Close()
	}
	e.in.Close()
	_ = e.cmd.Wait()
}

func (e *engineProcess) ask(a engineAsk) (u engineUse, err error) {
	if err := e.asks.Encode(a); err != nil {
		return u, fmt.Errorf("ask the engine: %w", err)
	}
	if err := e.answers.Decode(&u); err != nil {
		return u, fmt.Errorf("ask the engine: %w", err)
	}
	if u.Problem != "" {
		err = errors.New(u.Problem)
	}
	return u, err
}

// used is what the engine's process has used so far.
func (e *engineProcess) used() (engineUse, error) { return e.ask(engineAsk{}) }
