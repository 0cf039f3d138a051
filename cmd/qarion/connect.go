package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/node"
)

// lockWait is how long a command waits for a data directory that is in use.
const lockWait = 5 * time.Second

func isConflict(err error) bool { return errors.Is(err, engine.ErrConflict) }

// session is a command's way to a node: one that serves, or one that the
// command has opened on the data directory itself.
type session struct {
	*bus.Client
	own *node.Node // nil when another process serves
}

// Close ends the connection and, where it is ours, the node.
func (s *session) Close() {
	s.Client.Close()
	if s.own != nil {
		_ = s.own.Close()
	}
}

// connect finds the serving node: the address that was named, or the one that
// the data directory's serve.json names. A server that was named and does not
// answer is an error, never a reason to look elsewhere. found is false when
// nobody serves.
func (a *app) connect() (c *bus.Client, found bool, err error) {
	named, from := a.flags.server, "--server"
	if named == "" {
		named, from = os.Getenv("QARION_SERVER"), "QARION_SERVER"
	}
	if named != "" {
		c, err := bus.Dial(bus.Access{URL: named}, fmt.Sprintf("%s (%s)", named, from))
		if err != nil {
			return nil, false, nobody(err, "start one: qarion serve")
		}
		c.Trace = traceOfEnvironment()
		return c, true, nil
	}
	path := node.AccessFile(a.cfg.DataDir)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false, nil
	}
	var f serveFile
	if err := json.Unmarshal(data, &f); err != nil || f.URL == "" {
		return nil, false, nil
	}
	c, err = bus.Dial(f.Access, fmt.Sprintf("%s (%s)", f.URL, path))
	if err != nil {
		return nil, false, nil // left behind by a crash: the lock decides
	}
	c.Trace = traceOfEnvironment()
	return c, true, nil
}

// needNode connects to a serving node; exit code 3 when there is none.
func (a *app) needNode() (*session, error) {
	c, found, err := a.connect()
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, nobody(fmt.Errorf("no server at nats://%s (%s)", a.cfg.NATS.Listen, a.listenSource()), "start one: qarion serve")
	}
	return &session{Client: c}, nil
}

func (a *app) listenSource() string {
	switch {
	case os.Getenv("QARION_NATS_LISTEN") != "":
		return "QARION_NATS_LISTEN"
	case a.cfg.NATS.Listen != defaultConfig().NATS.Listen:
		return a.cfg.path
	}
	return "default"
}

// anyNode connects to a serving node, or opens the data directory itself when
// none serves, without executing runs that others started.
func (a *app) anyNode(ctx context.Context) (*session, error) {
	end, told := time.Now().Add(lockWait), false
	for {
		c, found, err := a.connect()
		if err != nil {
			return nil, err
		}
		if found {
			return &session{Client: c}, nil
		}
		s, err := a.openOwn(ctx, func(err error) {
			if told || a.flags.quiet {
				return
			}
			a.waiting(err)
			a.ui.hint(shareHint)
			told = true
		})
		if err == nil || !isConflict(err) || time.Now().After(end) {
			if err != nil {
				return nil, wrapOpen(err, a.cfg.DataDir)
			}
			return s, nil
		}
	}
}

// shareHint is the way out for commands that wait for each other.
const shareHint = "start a node, and commands share it: qarion serve"

// wrapOpen puts an error of opening the data directory into the words and exit
// code of a command.
func wrapOpen(err error, dir string) error {
	if errors.Is(err, engine.ErrConflict) {
		return nobody(err, shareHint, "or choose another place: --data-dir")
	}
	return hintDamaged(err, dir)
}

// waiting says at once for whom a command waits.
func (a *app) waiting(err error) {
	if !a.flags.quiet {
		a.ui.problem("waiting", err)
	}
}

// openOwn opens the data directory in this process. waiting is told when
// another one has it.
func (a *app) openOwn(ctx context.Context, waiting func(error)) (*session, error) {
	cfg, err := a.cfg.node(a.cfg.DataDir, quietLogger(a))
	if err != nil {
		return nil, err
	}
	cfg.OnlyOwn, cfg.Wait, cfg.Holder, cfg.Waiting = true, 200*time.Millisecond, a.path, waiting
	if strings.HasSuffix(a.path, " run") || strings.HasSuffix(a.path, " rerun") { // those that make calls
		cfg.Traces = a.traces()
	}
	n, err := node.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	c, err := n.Client()
	if err != nil {
		_ = n.Close()
		return nil, err
	}
	c.Trace = traceOfEnvironment()
	return &session{Client: c, own: n}, nil
}

// traceOfEnvironment is the trace that the command belongs to, as whatever has
// started it says: a pipeline, a scheduler.
func traceOfEnvironment() *engine.TraceContext {
	return engine.ParseTrace(os.Getenv("TRACEPARENT"), os.Getenv("TRACESTATE"))
}

// quietLogger shows only what a person must see while a command runs.
func quietLogger(a *app) *slog.Logger {
	level := slog.LevelError
	if a.cfg.Log.Level == "debug" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.ui.err, &slog.HandlerOptions{Level: level}))
}
