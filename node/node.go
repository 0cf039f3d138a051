package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/kvstore"
)

// lockWait is how long a command waits for a data directory that is in use.
const lockWait = 5 * time.Second

// nodeOptions is how a node differs from what the configuration says.
type nodeOptions struct {
	dataDir string
	listen  string // "" opens no port
	onlyOwn bool   // execute only runs that are started here
	flows   string // folder to load and follow; "" for none
	ownKey  bool   // the data directory's, whatever the environment says
	noViews bool   // no events and XCom bucket: for measuring only
	wait    time.Duration
	log     *slog.Logger
}

// node is a running engine with everything around it, in one process.
type node struct {
	lock     *bus.Lock
	bus      *bus.Bus
	ledger   *bus.Ledger
	triggers *bus.Triggers
	blobs    *kvstore.Blobs
	xcom     *kvstore.XCom
	runs     *kvstore.Runs
	events   *bus.Events
	conns    []*nats.Conn
	secrets  *kvstore.Credentials
	calls    *apicall.TaskType
	breakers *apicall.Breakers
	types    flowfile.Types
	engine   *runtime.Engine
	service  *bus.Service
	files    *flowFiles
	log      *slog.Logger

	stopSweep context.CancelFunc
	swept     sync.WaitGroup

	started time.Time
	cancel  context.CancelFunc
	done    chan error
}

// openNode puts the parts together, from the ground up, and starts them. It
// returns when the engine takes work.
func openNode(ctx context.Context, cfg *config, o nodeOptions) (*node, error) {
	n := &node{log: engine.Logger(o.log), started: time.Now(), done: make(chan error, 1)}
	if err := n.open(ctx, cfg, o); err != nil {
		_ = n.Close()
		return nil, err
	}
	return n, nil
}

func (n *node) open(ctx context.Context, cfg *config, o nodeOptions) (err error) {
	if n.lock, err = bus.LockDir(o.dataDir, o.wait); err != nil {
		return err
	}
	if err = n.openBus(ctx, cfg, o); err != nil {
		return err
	}
	if err = n.openEngine(ctx, cfg, o); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.cancel = cancel
	go func() { n.done <- n.engine.Run(run) }()
	select {
	case <-n.engine.Ready():
	case err = <-n.done:
		n.cancel = nil
		return cmpErr(err, errors.New("the engine stopped while starting"))
	case <-ctx.Done():
		return ctx.Err()
	}
	if o.flows != "" {
		n.files = &flowFiles{dir: o.flows, types: n.types, engine: n.engine, log: n.log}
		if err = n.files.open(ctx); err != nil {
			return err
		}
	}
	n.service, err = n.bus.Serve(bus.ServiceConfig{
		Runner: n.engine, Runs: n.runs, XCom: n.xcom, Version: serviceVersion(), Log: n.log, Info: n.info,
		Admin: append(n.breakerEndpoints(), n.credentialEndpoints()...),
	})
	if err == nil && !o.onlyOwn {
		sweeping, stop := context.WithCancel(context.WithoutCancel(ctx))
		n.stopSweep = stop
		n.swept.Go(func() { n.sweep(sweeping) })
	}
	return err
}

// How often values without a run are looked for, and how old they must be.
const (
	sweepEvery = time.Hour
	sweepAge   = 24 * time.Hour
)

// sweep deletes large values whose run is not known any more, until ctx ends.
func (n *node) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		known := func(id engine.RunID) bool {
			_, err := n.runs.Get(ctx, id)
			return !errors.Is(err, engine.ErrNotFound)
		}
		deleted, err := n.blobs.Sweep(ctx, known, sweepAge)
		if err != nil && ctx.Err() == nil {
			n.log.Warn("values without a run could not be swept", engine.LogErr, err)
		}
		if deleted > 0 {
			n.log.Info("values without a run deleted", "objects", deleted)
		}
	}
}

func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// openBus opens the server, the streams and the buckets.
func (n *node) openBus(ctx context.Context, cfg *config, o nodeOptions) (err error) {
	sync, err := cfg.syncInterval()
	if err != nil {
		return err
	}
	n.bus, err = bus.Open(ctx, bus.Config{
		Dir: filepath.Join(o.dataDir, "nats"), Listen: o.listen, SyncInterval: sync, Log: n.log,
	})
	if err != nil {
		return err
	}
	if n.blobs, err = kvstore.OpenBlobs(ctx, n.bus.Conn()); err != nil {
		return err
	}
	if err = n.openCredentials(ctx, o); err != nil {
		return err
	}
	if n.ledger, err = n.bus.Ledger(ctx, bus.LedgerConfig{Node: "local", Version: programVersion(), Blobs: n.blobs}); err != nil {
		return err
	}
	if !o.onlyOwn {
		n.triggers, err = n.bus.Triggers(ctx)
	}
	return err
}

// openEngine opens the views and prepares the engine.
func (n *node) openEngine(ctx context.Context, cfg *config, o nodeOptions) (err error) {
	runsFor, _ := days(cfg.Retention.Runs) // checked when the configuration was read
	eventsFor, _ := days(cfg.Retention.Events)
	xcomFor, _ := days(cfg.Retention.XCom)
	conns := make([]*nats.Conn, 3) // each view writes on a connection of its own, in order
	for i, name := range []string{"xcom", "runs", "events"} {
		if conns[i], err = n.bus.Connect(name); err != nil {
			return err
		}
		n.conns = append(n.conns, conns[i])
	}
	if n.xcom, err = kvstore.OpenXCom(ctx, kvstore.XComConfig{Conn: conns[0], Blobs: n.blobs, Retention: xcomFor}); err != nil {
		return err
	}
	if n.runs, err = kvstore.OpenRuns(ctx, kvstore.RunsConfig{Conn: conns[1], Retention: runsFor}); err != nil {
		return err
	}
	if n.events, err = bus.OpenEvents(ctx, bus.EventsConfig{Conn: conns[2], Retention: eventsFor}); err != nil {
		return err
	}
	projections := []engine.Projection{n.xcom, n.runs, n.events} // events last: they tell of the end
	if o.noViews {
		projections = []engine.Projection{n.runs}
	}
	ready, err := n.bus.ReadyQueue(ctx)
	if err != nil {
		return err
	}
	breaking, err := cfg.breakers()
	if err != nil {
		return err
	}
	breaking.OnChange = n.breakerChanged
	n.breakers = apicall.NewBreakers(breaking)
	n.calls, err = apicall.New(apicall.Config{
		Slots: cfg.Worker.Slots, Egress: apicall.Egress{Allow: cfg.Egress.Allow}, Breakers: n.breakers,
		Credentials: n.secrets, Tokens: n.secrets, Log: n.log,
	})
	if err != nil {
		return err
	}
	kinds := taskTypes(n.calls)
	n.types = flowfile.Types{}
	for _, t := range kinds {
		n.types[t.Name()] = t
	}
	var triggers engine.Triggers
	if n.triggers != nil {
		triggers = n.triggers
	}
	n.engine, err = runtime.New(runtime.Config{
		Triggers: triggers, Ledger: n.ledger, Checkpoints: n.ledger, ReadyQueue: ready, Blobs: n.blobs, Projections: projections,
		TaskTypes: kinds, Worker: "local", Version: programVersion(), Slots: cfg.Worker.Slots,
		Retention: runsFor, OnlyOwn: o.onlyOwn, Log: n.log,
	})
	return err
}

// taskTypes is the list of what tasks there are.
func taskTypes(calls *apicall.TaskType) []engine.TaskType { return []engine.TaskType{calls} }

// serviceVersion is the program's version in the form that NATS demands.
func serviceVersion() string {
	if v := programVersion(); len(v) > 1 && v[0] == 'v' {
		return v[1:]
	}
	return "0.1.0"
}

// info is what status shows beside the engine.
func (n *node) info(context.Context) (map[string]any, error) {
	out := map[string]any{
		"version": programVersion(), "uptime_ms": time.Since(n.started).Milliseconds(), "nats": n.bus.Access().URL,
		"data_dir": filepath.Dir(n.bus.Dir()), "data_bytes": n.bus.Size(),
	}
	if n.files != nil {
		out["flow_files"] = n.files.summary()
	}
	return out, nil
}

// client is a client of this node, in process.
func (n *node) client() (*bus.Client, error) {
	nc, err := n.bus.Connect("command")
	if err != nil {
		return nil, err
	}
	return bus.NewClient(nc, "this process"), nil
}

// Close stops the node in good order: no new requests, calls in flight get
// their grace period, what is known is written down.
func (n *node) Close() error {
	if n.service != nil {
		n.service.Close()
	}
	if n.stopSweep != nil {
		n.stopSweep()
		n.swept.Wait()
	}
	var err error
	if n.cancel != nil {
		n.cancel()
		err = <-n.done
		n.cancel = nil
	}
	n.closeParts()
	return err
}

func (n *node) closeParts() {
	if n.calls != nil {
		n.calls.Close()
	}
	if n.secrets != nil {
		n.secrets.Close()
	}
	if n.triggers != nil {
		n.triggers.Close()
	}
	if n.ledger != nil {
		n.ledger.Close()
	}
	for _, c := range n.conns {
		c.Close()
	}
	if n.bus != nil {
		n.bus.Close()
	}
	if n.lock != nil {
		n.lock.Close()
		n.lock = nil
	}
}

// wrapOpen puts an error of opening the data directory into the words and exit
// code of a command.
func wrapOpen(err error, dir string) error {
	if errors.Is(err, engine.ErrConflict) {
		return nobody(err, fmt.Sprintf("see who it is: cat %s", filepath.Join(dir, "lock")))
	}
	return err
}
