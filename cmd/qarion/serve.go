package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"runtime"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/node"
	"github.com/qarion/qarion/web"
)

// serveFile is what a serving node leaves in its data directory, for the
// commands: address, login and process id.
type serveFile struct {
	bus.Access
	HTTP string `json:"http,omitempty"`
	PID  int    `json:"pid"`
}

func (a *app) serveCommand() *cobra.Command {
	var listen, door, flows, memory string
	var acceptLoss bool
	c := &cobra.Command{
		Use: "serve", Short: "Run the node: flows, triggers and workers",
		Example: `  qarion serve
  qarion serve --env prod
  qarion serve --flows-dir pipelines --listen 127.0.0.1:4333`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("listen") {
				a.cfg.NATS.Listen = listen
			}
			if c.Flags().Changed("http") {
				a.cfg.HTTP.Listen = &door
			}
			if c.Flags().Changed("flows-dir") {
				a.cfg.Flows.Dir = flows
			}
			if c.Flags().Changed("memory-limit") {
				a.cfg.Memory.Limit = memory
			}
			return a.serve(c.Context(), acceptLoss)
		},
	}
	c.Flags().StringVar(&listen, "listen", bus.DefaultListen, "where NATS clients connect")
	c.Flags().StringVar(&door, "http", web.DefaultListen, "where HTTP is: pages, health, metrics, API; '' for none")
	c.Flags().StringVar(&flows, "flows-dir", defaultFlowsDir, "folder of flow files")
	c.Flags().StringVar(&memory, "memory-limit", defaultMemory, "soft limit of memory, such as 512MiB")
	a.envFlag(c)
	c.Flags().BoolVar(&acceptLoss, "accept-loss", false, "go on without what the ledger has lost; open runs end as damaged")
	return c
}

// serve runs the node until a signal.
func (a *app) serve(ctx context.Context, acceptLoss bool) error {
	began := time.Now()
	log := a.logger()
	if a.banner() {
		fmt.Fprintf(a.ui.err, "qarion %s · %s · nats-server %s\n", programVersion(), runtime.Version(), natsVersion())
	}
	cfg, err := a.cfg.node(a.cfg.DataDir, log)
	if err != nil {
		return err
	}
	cfg.Listen, cfg.Flows, cfg.Wait, cfg.AcceptLoss = a.cfg.NATS.Listen, a.cfg.Flows.Dir, lockWait, acceptLoss
	cfg.Holder, cfg.Waiting = a.path, a.waiting
	cfg.Traces = a.traces()
	if cfg.HTTP, cfg.HTTPOptional = a.cfg.door(); cfg.HTTP != nil {
		if err := cfg.HTTP.Check(); err != nil {
			return fail(err)
		}
	}
	if cfg.Environment, err = a.servedEnvironment(); err != nil {
		return err
	}
	n, err := node.Open(ctx, cfg)
	if err != nil {
		var taken *web.TakenError
		if errors.As(err, &taken) {
			return nobody(err, "choose another, or none: qarion serve --http "+freeAddress()+", qarion serve --http ''; as a setting: [http] listen")
		}
		if isConflict(err) {
			return nobody(err, "another node may be running: qarion status; or choose [nats] listen and data_dir")
		}
		return hintDamaged(err, a.cfg.DataDir)
	}
	if err := writeServeFile(a.cfg.DataDir, serveFile{n.Bus.Access(), n.URL(), os.Getpid()}); err != nil {
		n.Close()
		return err
	}
	defer os.Remove(node.AccessFile(a.cfg.DataDir))
	a.announce(n, time.Since(began), log)
	return a.hold(ctx, n, log)
}

// servedEnvironment is the environment that was asked for, held against the
// flows of the folder before any of them runs.
func (a *app) servedEnvironment() (*engine.Environment, error) {
	env, err := a.environment()
	if env == nil || err != nil {
		return nil, err
	}
	types, done, err := a.taskTypes()
	if err != nil {
		return nil, err
	}
	defer done()
	d, err := flowfile.Loader{Types: types, Environment: env}.LoadDir(a.cfg.Flows.Dir)
	if err != nil {
		return env, nil // there is no such folder: the node says so
	}
	return env, a.refuse(a.strays(env, d, true))
}

// hintDamaged says what can be done where something stored is lost.
func hintDamaged(err error, dataDir string) error {
	if !errors.Is(err, engine.ErrDamaged) {
		return err
	}
	return fail(err, "see all that is damaged: qarion doctor",
		"bring "+dataDir+" back from a backup, if there is one",
		"or go on without what is lost, every open run ends as damaged: qarion serve --accept-loss")
}

// hold waits for the first signal, then stops the node; a second signal cuts
// calls in flight off.
func (a *app) hold(ctx context.Context, n *node.Node, log *slog.Logger) error {
	watching, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- n.Flows.Watch(watching, func(d *flowfile.Dir) { a.reportFiles(d, log) }) }()
	var failed error
	select {
	case <-ctx.Done():
	case <-n.Done():
		failed = cmp.Or(n.Err(), errors.New("the engine stopped"))
	}
	stop()
	<-watched
	second := make(chan os.Signal, 1)
	signal.Notify(second, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(second)
	closed := make(chan error, 1)
	st, _ := n.Engine.Status(context.WithoutCancel(ctx))
	if a.banner() {
		fmt.Fprintf(a.ui.err, "stopping: %s in flight get %s; Ctrl-C again stops now\n", plural(st.InFlight, "call"), duration(engine.DefaultGrace))
	}
	go func() { closed <- n.Close() }()
	for {
		select {
		case <-second:
			n.Engine.Abort()
		case err := <-closed:
			switch {
			case !a.banner():
				log.Info("stopped", "open_runs", st.OpenRuns)
			case st.OpenRuns > 0:
				fmt.Fprintf(a.ui.err, "stopped; %s: the next start goes on with what is open\n", plural(st.OpenRuns, "open run"))
			default:
				fmt.Fprintln(a.ui.err, "stopped")
			}
			return hintDamaged(cmp.Or(failed, err), a.cfg.DataDir)
		}
	}
}

// banner reports whether a person is looking.
func (a *app) banner() bool { return a.ui.errTerm && a.cfg.Log.Format == "auto" }

// logger is the operator's log: quiet on a terminal, where the banner speaks.
func (a *app) logger() *slog.Logger {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(a.cfg.Log.Level))
	if a.banner() && level == slog.LevelInfo {
		level = slog.LevelWarn
	}
	o := &slog.HandlerOptions{Level: level}
	if a.cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.ui.err, o))
	}
	return slog.New(slog.NewTextHandler(a.ui.err, o))
}

// announce says that the node is ready, and for what.
func (a *app) announce(n *node.Node, took time.Duration, log *slog.Logger) {
	d := n.Flows.Found()
	url := n.Bus.Access().URL
	st, _ := n.Engine.Status(context.Background())
	if !a.banner() {
		a.reportFiles(d, log)
		log.Info("ready", "nats", url, "http", cmp.Or(n.URL(), "off"), "data", a.cfg.DataDir, "environment", cmp.Or(a.envName(), "none"), "flows", len(d.Flows), "open_runs", st.OpenRuns, "took_ms", took.Milliseconds())
		return
	}
	w := a.ui.err
	source := a.cfg.path
	if source == "" {
		source = "no qarion.toml, defaults (print them: qarion config init)"
	}
	fmt.Fprintf(w, "  config  %s\n", source)
	fmt.Fprintf(w, "  data    %s, sync %s\n", a.cfg.DataDir, a.cfg.Storage.Sync)
	fmt.Fprintf(w, "  nats    %s  loopback only, no login\n", url)
	if door := n.URL(); door != "" {
		fmt.Fprintf(w, "  http    %s  pages, health, metrics, API\n", door)
	}
	if env := a.envName(); env != "" {
		fmt.Fprintf(w, "  for     environment %s\n", env)
	}
	fmt.Fprintf(w, "  flows   %d of %d from %s/\n", len(d.Flows), d.Files, a.cfg.Flows.Dir)
	if st.OpenRuns > 0 {
		fmt.Fprintf(w, "  resumed %s; %d interrupted\n", plural(st.OpenRuns, "run"), len(st.Interrupted))
	}
	a.reportFiles(d, log)
	hint := "put a flow file into " + a.cfg.Flows.Dir + "/"
	if len(d.Flows) > 0 {
		hint = "try: qarion trigger " + string(d.Flows[0].ID) + " --wait"
	}
	fmt.Fprintf(w, "ready in %s; %s\n", duration(took), hint)
}

// reportFiles says what is wrong with flow files.
func (a *app) reportFiles(d *flowfile.Dir, log *slog.Logger) {
	for _, e := range d.Found {
		if a.banner() {
			fmt.Fprintln(a.ui.err, e.Error())
		} else {
			log.Warn("flow file", "place", fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column), "problem", e.Error())
		}
	}
	for file, n := range d.Broken {
		log.Warn(file+" is left out until it is mended, and the version before it, where there is one, goes on; changes are picked up", "errors", n)
	}
}

// freeAddress is a port near the default one that nobody listens on now.
func freeAddress() string {
	host, port, _ := net.SplitHostPort(web.DefaultListen)
	first, _ := strconv.Atoi(port)
	for p := first + 1; p < first+20; p++ {
		address := net.JoinHostPort(host, strconv.Itoa(p))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	return net.JoinHostPort(host, "0")
}

func writeServeFile(dataDir string, file serveFile) error {
	data, err := json.Marshal(file)
	if err != nil {
		return err
	}
	path := node.AccessFile(dataDir)
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(tmp, path)
}
