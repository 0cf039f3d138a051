package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

// Bounds of the part "burst".
const (
	burstTriggers = 100_000   // of a flow that runs: as many as the server takes in at once
	burstInvalid  = 1_000_000 // of a flow that is not there, each acknowledged
	burstAhead    = 4000      // of those, not acknowledged yet
	burstWait     = 20 * time.Minute
)

// burst publishes many plain triggers at once at a serving node; meanwhile
// another client starts runs of another flow, one after the other. First
// triggers of a flow that runs, without waiting for acknowledgements, then ten
// times as many for a flow that is not there.
func (b *bencher) burst(ctx context.Context) (err error) {
	f := &b.Figures
	f.BurstP99, f.BurstRSSMiB, f.BurstStoredPS, f.BurstTakenPS, err = b.onFreshNode(ctx, func(nc *nats.Conn) error { return publishPlain(nc, "burst", burstTriggers) })
	if err != nil {
		return err
	}
	f.InvalidP99, f.InvalidRSSMiB, _, f.InvalidTakenPS, err = b.onFreshNode(ctx, func(nc *nats.Conn) error { return publishStored(nc, "nothing", burstInvalid) })
	return err
}

// onFreshNode is oneBurst at a node of its own.
func (b *bencher) onFreshNode(ctx context.Context, publish func(*nats.Conn) error) (p99, rss, stored, taken float64, err error) {
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return 0, 0, 0, 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		return 0, 0, 0, 0, err
	}
	for _, name := range []string{"burst", "other"} {
		if err := os.WriteFile(filepath.Join(dir, "flows", name+".toml"), []byte(b.task("call", "")), 0o644); err != nil {
			return 0, 0, 0, 0, err
		}
	}
	p, _, err := startServe(ctx, dir)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	defer p.stop()
	c, err := bus.Dial(p.access, p.access.URL)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	defer c.Close()
	return b.oneBurst(ctx, p, c, publish)
}

// oneBurst publishes triggers. p99 is of the other flow's runs, in
// milliseconds; rss the most memory that was seen while most of the triggers
// waited, in MiB; stored and taken are triggers a second.
func (b *bencher) oneBurst(ctx context.Context, p *servedProcess, c *bus.Client, publish func(*nats.Conn) error) (p99, rss, stored, taken float64, err error) {
	nc, err := nats.Connect(p.access.URL)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	defer nc.Close()
	began := time.Now()
	published := make(chan error, 1)
	go func() { published <- publish(nc) }()
	var took []time.Duration
	var most uint64
	var mostAt time.Time
	sending := true
	for last := time.Now(); time.Since(began) < burstWait && ctx.Err() == nil; {
		start := time.Now()
		if err := c.Call(ctx, "run.start", bus.StartRun{Flow: "other", Wait: json.RawMessage("60")}, new(engine.RunDoc)); err != nil {
			return 0, 0, 0, 0, err
		}
		took = append(took, time.Since(start))
		select {
		case err := <-published:
			if err != nil {
				return 0, 0, 0, 0, err
			}
			sending = false
		default:
		}
		if time.Since(last) < 200*time.Millisecond {
			continue
		}
		last = time.Now()
		waiting, err := triggersWaiting(ctx, c)
		if err != nil {
			return 0, 0, 0, 0, err
		}
		if waiting > most {
			most, mostAt = waiting, time.Now()
			now, err := p.rss()
			if err != nil {
				return 0, 0, 0, 0, err
			}
			rss = max(rss, now)
		}
		if !sending && waiting == 0 && time.Since(mostAt) > time.Second {
			break
		}
	}
	if most == 0 {
		return 0, 0, 0, 0, fmt.Errorf("no trigger was seen waiting")
	}
	slices.Sort(took)
	p99 = float64(took[len(took)*99/100].Microseconds()) / 1000
	return p99, rss, float64(most) / mostAt.Sub(began).Seconds(), float64(most) / time.Since(mostAt).Seconds(), nil
}

func publishPlain(nc *nats.Conn, flow string, n int) error {
	for range n {
		if err := nc.Publish(bus.TriggerSubject(engine.FlowID(flow)), []byte(`{"customer":7}`)); err != nil {
			return err
		}
	}
	return nc.FlushTimeout(burstWait)
}

func publishStored(nc *nats.Conn, flow string, n int) error {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(burstAhead), jetstream.WithPublishAsyncTimeout(burstWait))
	if err != nil {
		return err
	}
	for range n {
		if _, err := js.PublishAsync(bus.TriggerSubject(engine.FlowID(flow)), []byte(`{"customer":7}`), jetstream.WithStallWait(burstWait)); err != nil {
			return err
		}
	}
	<-js.PublishAsyncComplete()
	return nil
}

func triggersWaiting(ctx context.Context, c *bus.Client) (uint64, error) {
	var st struct {
		Engine engine.NodeStatus `json:"engine"`
	}
	err := c.Call(ctx, "node.status", nil, &st)
	return st.Engine.Triggers, err
}
