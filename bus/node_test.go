package bus_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/kvstore"
)

// fullNode is an engine with every view and the service.
type fullNode struct {
	*testkit.Node
	events  *bus.Events
	runs    *kvstore.Runs
	xcom    *kvstore.XCom
	blobs   *kvstore.Blobs
	service *bus.Service
	client  *bus.Client // with full rights
	conns   []*nats.Conn
}

// startFull starts a node that listens on loopback.
func startFull(t testing.TB, cfg testkit.NodeConfig) *fullNode {
	t.Helper()
	n := &fullNode{}
	t.Cleanup(n.closeViews) // after the engine has stopped
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	cfg.Views = func(b *bus.Bus) []engine.Projection { return n.openViews(t, b) }
	change := cfg.Change
	cfg.Change = func(c *runtime.Config) {
		c.Blobs = n.blobs
		if change != nil {
			change(c)
		}
	}
	n.Node = testkit.StartNode(t, cfg)
	service, err := n.Bus.Serve(bus.ServiceConfig{
		Runner: n.Engine, Runs: n.runs, XCom: n.xcom, Version: "1.2.3", Log: testkit.Logger(t),
		Endpoints: []bus.Endpoint{{Name: "breaker.list", Handle: func(context.Context, []byte) (any, error) { return []string{}, nil }}},
		Info:      func(context.Context) (map[string]any, error) { return map[string]any{"data_dir": cfg.Dir}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.service = service
	if n.client, err = bus.Dial(n.Bus.Access(), "the test's node"); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *fullNode) openViews(t testing.TB, b *bus.Bus) []engine.Projection {
	t.Helper()
	conns := make([]*nats.Conn, 3)
	var err error
	for i := range conns {
		if conns[i], err = b.Connect("view"); err != nil {
			t.Fatal(err)
		}
	}
	n.conns = conns
	if n.blobs, err = kvstore.OpenBlobs(t.Context(), conns[0]); err != nil {
		t.Fatal(err)
	}
	if n.xcom, err = kvstore.OpenXCom(t.Context(), kvstore.XComConfig{Conn: conns[0], Blobs: n.blobs}); err != nil {
		t.Fatal(err)
	}
	if n.runs, err = kvstore.OpenRuns(t.Context(), kvstore.RunsConfig{Conn: conns[1]}); err != nil {
		t.Fatal(err)
	}
	if n.events, err = bus.OpenEvents(t.Context(), bus.EventsConfig{Conn: conns[2]}); err != nil {
		t.Fatal(err)
	}
	return []engine.Projection{n.xcom, n.runs, n.events}
}

// stopFull stops the node; its directory can be started again.
func (n *fullNode) stopFull(t testing.TB) {
	t.Helper()
	n.client.Close()
	n.service.Close()
	n.Stop(t)
	n.closeViews()
}

func (n *fullNode) closeViews() {
	if n.client != nil {
		n.client.Close()
	}
	for _, c := range n.conns {
		c.Close()
	}
}

// stranger is a plain NATS client without a login.
func (n *fullNode) stranger(t testing.TB) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(n.Bus.Access().URL, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// finish starts a run and returns it when it has ended and every view shows it.
func (n *fullNode) finish(t testing.TB, id string) *engine.RunDoc {
	t.Helper()
	doc := new(engine.RunDoc)
	if err := n.client.Call(t.Context(), "run.start", bus.StartRun{Flow: id, Wait: json.RawMessage("60")}, doc); err != nil {
		t.Fatal(err)
	}
	if doc.Status != engine.Success {
		t.Fatalf("run %s is %s: %+v", doc.RunID, doc.Status, doc.Error)
	}
	return doc
}

// echo is a task type whose tasks leave {"task": <id>}.
var echo = testkit.TaskFunc{Do: func(_ context.Context, in *engine.TaskInput) engine.TaskOutput {
	v, err := json.Marshal(map[string]string{"task": string(in.Task.ID)})
	if err != nil {
		return engine.TaskOutput{Err: &engine.TaskError{Class: "test", Message: err.Error()}}
	}
	return engine.TaskOutput{Value: v, Details: engine.Details{Method: "GET", StatusCode: 200}}
}}
