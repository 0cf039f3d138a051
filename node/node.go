// Package node puts the parts together: the embedded bus, the store, the
// views, the task types and the engine, as one node in this process. serve,
// run, demo, the bench and tests all open the same one; what differs between
// them stands in Config.
//
// It is the only place, beside the commands, that knows every part. Where two
// parts must talk, it hands one to the other as the small interface that the
// other has asked for.
package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/jq"
	"github.com/qarion/qarion/internal/ratelimit"
	"github.com/qarion/qarion/kvstore"
	"github.com/qarion/qarion/metadata"
	"github.com/qarion/qarion/traces"
	"github.com/qarion/qarion/transform"
	"github.com/qarion/qarion/web"
)

// Config is how a node is opened. A zero field means the default of the part
// that it belongs to.
type Config struct {
	DataDir      string            // everything that the node remembers; it is locked while the node is open
	Holder       string            // who opens it, for those who find it in use: "qarion run"
	Wait         time.Duration     // for a data directory that is in use
	Waiting      func(error)       // is told at once that it is in use
	Listen       string            // host:port for NATS clients; "" opens no port
	Sync         time.Duration     // between two syncs of the disk; 0 syncs every write
	Flows        string            // folder of flow files to load and follow; "" for none
	Hooks        string            // folder of hook modules
	Key          kvstore.KeyConfig // of the credentials; the zero value is the data directory's own
	Slots        int               // attempts at a time
	Allow        []string          // what data may lead to: hosts, host:port, CIDR
	Breaker      apicall.BreakerConfig
	Keep         Retention
	Databases    map[string]transform.Database // of transformation tasks, by name
	Limits       *ratelimit.Rules              // of calls; nil for none
	Memory       int64                         // soft limit of the process, in bytes; 0 leaves it to the runtime
	Tables       string                        // where the SQL tables are: TablesSQLite (also ""), TablesOff, or the URL of a PostgreSQL database
	Version      string                        // of the program
	HTTP         *web.Config                   // the HTTP door; nil opens none
	Traces       *traces.Config                // make spans, as the OTEL_ variables say
	HTTPOptional bool                          // go on without it where its port is taken

	Environment *engine.Environment // whose values flows have instead of their defaults; nil for none

	AcceptLoss bool // go on without ledger entries that are lost

	OnlyOwn bool // execute only runs that are started here
	NoViews bool // no events and XCom bucket: for measuring only
	Log     *slog.Logger
}

// What Config.Tables can say beside a URL.
const (
	TablesSQLite = "sqlite" // a file in the data directory
	TablesOff    = "off"
)

// Retention is how long things are kept after their run has ended, and how many
// run documents and values of tasks at most: 0 means kvstore.DefaultMaxEntries,
// less no bound.
type Retention struct {
	Runs, Events, XCom time.Duration
	MaxRuns, MaxXCom   int
}

// Node is a running engine with everything around it.
type Node struct {
	Bus    *bus.Bus
	Engine *runtime.Engine
	Types  flowfile.Types // that flows may have
	Flows  *Flows         // nil where no folder is followed

	cfg         Config
	log         *slog.Logger
	started     time.Time
	lock        *bus.Lock
	ledger      *bus.Ledger
	triggers    *bus.Triggers
	checkpoints *bus.Checkpoints
	blobs       *kvstore.Blobs
	secrets     *kvstore.Credentials
	tokens      *kvstore.Tokens
	users       *kvstore.Users
	sessions    *kvstore.Sessions
	codes       codes
	xcom        *kvstore.XCom
	runs        *kvstore.Runs
	events      *bus.Events
	tables      *metadata.Tables // nil where there are none
	types       *TaskTypes
	breakers    *apicall.Breakers
	selects     *jq.Pool
	hooks       *Hooks
	service     *bus.Service
	web         *web.Server  // nil where there is no HTTP door
	metrics     *web.Metrics // as web
	closing     atomic.Bool
	traces      *traces.Traces // nil where there are none
	conns       []*nats.Conn   // of the views and the store, closed with the node
	swept       sync.WaitGroup
	stop        context.CancelFunc // of the engine and the sweeper
	done        chan struct{}      // closed when the engine has stopped
	failed      error              // why; set before done is closed
}

// Open puts the parts together, from the ground up, and starts them. It
// returns when the engine takes work. engine.ErrConflict: another process has
// the data directory.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	n := &Node{cfg: cfg, log: engine.Logger(cfg.Log), started: time.Now()}
	for _, step := range []func(context.Context) error{
		n.limitMemory, n.lockDir, n.lookFirst, n.openBus, n.openHTTP, n.openStore, n.openViews, n.openTypes, n.openEngine, n.run, n.openFlows, n.serve,
	} {
		if err := step(ctx); err != nil {
			_ = n.Close()
			return nil, err
		}
	}
	return n, nil
}

func (n *Node) lockDir(context.Context) (err error) {
	n.fitSlots()
	n.lock, err = bus.LockDir(n.cfg.DataDir, bus.LockConfig{Holder: n.cfg.Holder, Wait: n.cfg.Wait, Waiting: n.cfg.Waiting})
	return err
}

func (n *Node) openBus(ctx context.Context) (err error) {
	n.Bus, err = bus.Open(ctx, bus.Config{
		Dir: filepath.Join(n.cfg.DataDir, "nats"), Listen: n.cfg.Listen, SyncInterval: n.cfg.Sync, Log: n.log,
	})
	return err
}

// openStore opens what is true: the ledger, the triggers that wait, large
// values and credentials.
func (n *Node) openStore(ctx context.Context) (err error) {
	if n.blobs, err = kvstore.OpenBlobs(ctx, n.Bus.Conn()); err != nil {
		return err
	}
	if err = n.openCredentials(ctx); err != nil {
		return err
	}
	if n.tokens, err = kvstore.OpenTokens(n.Bus.Conn()); err != nil {
		return err
	}
	if n.users, err = kvstore.OpenUsers(n.Bus.Conn()); err != nil {
		return err
	}
	if n.sessions, err = kvstore.OpenSessions(n.Bus.Conn()); err != nil {
		return err
	}
	n.ledger, err = n.Bus.Ledger(ctx, bus.LedgerConfig{
		Node: "local", Version: n.cfg.Version, Blobs: n.blobs, AcceptLoss: n.cfg.AcceptLoss,
	})
	if err == nil && !n.cfg.OnlyOwn {
		n.triggers, err = n.Bus.Triggers(ctx)
	}
	return err
}

// openViews opens what follows from it. Each view writes on a connection of
// its own, in order.
func (n *Node) openViews(ctx context.Context) (err error) {
	conns := make([]*nats.Conn, 3)
	for i, name := range []string{"xcom", "runs", "events"} {
		if conns[i], err = n.connect(name); err != nil {
			return err
		}
	}
	if n.xcom, err = kvstore.OpenXCom(ctx, kvstore.XComConfig{Conn: conns[0], Blobs: n.blobs, Retention: n.cfg.Keep.XCom, Max: n.cfg.Keep.MaxXCom}); err != nil {
		return err
	}
	if n.runs, err = kvstore.OpenRuns(ctx, kvstore.RunsConfig{Conn: conns[1], Retention: n.cfg.Keep.Runs, Max: n.cfg.Keep.MaxRuns}); err != nil {
		return err
	}
	if n.events, err = bus.OpenEvents(ctx, bus.EventsConfig{Conn: conns[2], Retention: n.cfg.Keep.Events}); err != nil {
		return err
	}
	if n.cfg.Traces != nil && !n.cfg.NoViews {
		cfg := *n.cfg.Traces
		cfg.Version, cfg.Log = n.cfg.Version, n.log
		if n.traces, err = traces.Open(ctx, cfg); err != nil {
			return err
		}
	}
	return n.openTables()
}

func (n *Node) connect(name string) (*nats.Conn, error) {
	nc, err := n.Bus.Connect(name)
	if err == nil {
		n.conns = append(n.conns, nc)
	}
	return nc, err
}

// openTypes makes the task types.
func (n *Node) openTypes(context.Context) (err error) {
	breaking := n.cfg.Breaker
	breaking.OnChange = n.breakerChanged
	n.breakers = apicall.NewBreakers(breaking)
	n.selects = jq.Open(jq.Config{})
	if err := n.openHooks(); err != nil {
		return err
	}
	n.types, err = OpenTypes(TypeConfig{
		Log: n.log,
		SQL: transform.Config{Dir: n.cfg.DataDir, Databases: n.cfg.Databases, Credentials: n.secrets, Log: n.log},
		Calls: apicall.Config{
			Limits: n.cfg.Limits,
			Slots:  n.cfg.Slots, Egress: apicall.Egress{Allow: n.cfg.Allow}, Breakers: n.breakers,
			Credentials: n.secrets, Tokens: n.secrets, Hooks: n.hooks, Select: n.selects, Version: n.cfg.Version, Log: n.log,
		}})
	if err == nil {
		n.Types = n.types.ByName()
	}
	return err
}

func (n *Node) openEngine(ctx context.Context) (err error) {
	projections := []engine.Projection{n.xcom, n.runs}
	if n.tables != nil {
		projections = append(projections, n.tables)
	}
	if n.metrics != nil {
		last, err := n.ledger.Last(ctx)
		if err != nil {
			return err
		}
		n.metrics.From(last)
		projections = append(projections, n.metrics)
	}
	if n.traces != nil {
		last, err := n.ledger.Last(ctx)
		if err != nil {
			return err
		}
		n.traces.From(last)
		projections = append(projections, n.traces)
	}
	projections = append(projections, n.events) // last: they tell of the end
	if n.cfg.NoViews {
		projections = []engine.Projection{n.runs}
	}
	if n.checkpoints, err = n.Bus.Checkpoints(ctx, n.ledger); err != nil {
		return err
	}
	ready, err := n.Bus.ReadyQueue(ctx)
	if err != nil {
		return err
	}
	cfg := runtime.Config{
		Ledger: n.ledger, Checkpoints: n.checkpoints, ReadyQueue: ready, Blobs: n.blobs, Sealer: n.secrets, Projections: projections,
		TaskTypes: n.types.list, Worker: "local", Version: n.cfg.Version, Slots: n.cfg.Slots,
		Retention: n.cfg.Keep.Runs, OnlyOwn: n.cfg.OnlyOwn, Log: n.log, AcceptLoss: n.cfg.AcceptLoss, Runs: n.runs, Seeds: n.runs,
		ViewQueueBytes: n.viewQueueBytes(), Limits: ratelimit.New(n.cfg.Limits),
	}
	if n.triggers != nil {
		cfg.Triggers = n.triggers
	}
	if n.traces != nil {
		cfg.Spans = n.traces
	}
	n.Engine, err = runtime.New(cfg)
	return err
}

// run starts the engine and the sweeper, and waits until the engine is ready.
func (n *Node) run(ctx context.Context) error {
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop, n.done = stop, make(chan struct{})
	go func() {
		defer close(n.done)
		if n.web != nil {
			defer n.web.Stopped()
		}
		n.failed = n.Engine.Run(run)
		select {
		case <-n.Bus.Lost():
			n.failed = n.Bus.LostWhy()
		default:
		}
	}()
	n.swept.Go(func() { n.guard(run) })
	if !n.cfg.OnlyOwn {
		n.swept.Go(func() { n.sweep(run) })
		n.swept.Go(func() { n.giveBack(run) })
	}
	select {
	case <-n.Engine.Ready():
		return nil
	case <-n.done:
		if n.failed == nil {
			return errors.New("the engine stopped while starting")
		}
		return n.failed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *Node) openFlows(ctx context.Context) error {
	if n.cfg.Flows == "" {
		return nil
	}
	n.Flows = &Flows{dir: n.cfg.Flows, hooks: n.cfg.Hooks, asks: n.hooks, loader: flowfile.Loader{Types: n.Types, Environment: n.cfg.Environment}, engine: n.Engine, log: n.log}
	return n.Flows.open(ctx)
}

func (n *Node) serve(context.Context) (err error) {
	cfg := bus.ServiceConfig{
		Runner: n.Engine, Runs: n.history(), XCom: n.xcom, Version: serviceVersion(n.cfg.Version), Log: n.log, Info: n.info, Environment: n.environment(), Tasks: n.endedTasks,
		Endpoints: slices.Concat(n.tableEndpoints(), n.breakerEndpoints(), n.credentialEndpoints(), n.fileEndpoints(), n.tokenEndpoints(), n.userEndpoints(), n.loginEndpoints(), n.hookEndpoints()),
	}
	if n.Flows != nil {
		cfg.Files = n.Flows
	}
	if !n.cfg.OnlyOwn {
		cfg.Schedules = n.Engine
	}
	n.service, err = n.Bus.Serve(cfg)
	if err == nil && n.web != nil {
		n.web.Use(backend{n})
	}
	return err
}

// serviceVersion is the program's version in the form that NATS demands.
func serviceVersion(v string) string {
	if len(v) > 1 && v[0] == 'v' {
		return v[1:]
	}
	return "0.1.0"
}

// environment is the name of the environment that the node serves.
func (n *Node) environment() string {
	if n.cfg.Environment == nil {
		return ""
	}
	return n.cfg.Environment.Name
}

// info is what status shows beside the engine.
func (n *Node) info(context.Context) (map[string]any, error) {
	out := map[string]any{
		"version": n.cfg.Version, "uptime_ms": time.Since(n.started).Milliseconds(), "nats": n.Bus.Access().URL, "http": n.URL(),
		"data_dir": filepath.Dir(n.Bus.Dir()), "data_bytes": n.Bus.Size(), "store": n.Bus.Health(), "pid": os.Getpid(), "sync": n.sync(), "streams": n.streams(),
	}
	if n.Flows != nil {
		out["flow_files"] = n.Flows.summary()
	}
	if e := n.cfg.Environment; e != nil {
		out["environment"] = map[string]any{"name": e.Name, "variables": append([]string{}, e.Values.Keys()...)}
	}
	return out, nil
}

// Client is a client of this node, in process, with full rights.
func (n *Node) Client() (*bus.Client, error) {
	nc, err := n.Bus.Connect("command")
	if err != nil {
		return nil, err
	}
	return bus.NewClient(nc, "this process"), nil
}

// Done is closed when the engine has stopped by itself or with Close; Err says
// why.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err is why the engine stopped, after Done is closed; nil for a stop that was
// asked for.
func (n *Node) Err() error { return n.failed }

// guard ends the engine at once when the data directory is gone: it must not
// go on accepting what nobody will find.
func (n *Node) guard(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-n.Bus.Lost():
		n.log.Error("the node stops", engine.LogErr, n.Bus.LostWhy())
		n.Engine.Abort()
		n.stop()
	}
}

// Close stops the node in good order: no new requests, calls in flight get
// their grace period, what is known is written down.
func (n *Node) Close() error {
	n.closing.Store(true)
	if n.service != nil {
		n.service.Close()
	}
	var err error
	if n.stop != nil {
		n.stop()
		n.swept.Wait()
		<-n.done
		err = n.failed
	}
	n.closeParts()
	return err
}

func (n *Node) closeParts() {
	if n.web != nil { // it has told until now that the node is stopping
		n.web.Close()
	}
	if n.traces != nil {
		n.traces.Close()
	}
	if n.types != nil {
		n.types.Close()
	}
	if n.hooks != nil {
		n.hooks.Close()
	}
	if n.selects != nil {
		n.selects.Close()
	}
	if n.secrets != nil {
		n.secrets.Close()
	}
	if n.triggers != nil {
		n.triggers.Close()
	}
	if n.tables != nil {
		if err := n.tables.Close(); err != nil {
			n.log.Warn("the SQL tables were not closed in good order", engine.LogErr, err)
		}
	}
	if n.ledger != nil {
		n.ledger.Close()
	}
	for _, c := range n.conns {
		c.Close()
	}
	if n.Bus != nil {
		n.Bus.Close()
	}
	if n.lock != nil {
		n.lock.Close()
	}
}
