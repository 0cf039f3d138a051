package node

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/web"
	"github.com/qarion/qarion/web/live"
)

// openHTTP opens the HTTP door, where there is to be one: before the rest, so
// that a port that is taken is told at once, and so that a probe hears that the
// node is starting.
func (n *Node) openHTTP(context.Context) (err error) {
	if n.cfg.HTTP == nil {
		return nil
	}
	cfg, metrics := *n.cfg.HTTP, web.NewMetrics()
	cfg.Version, cfg.Metrics, cfg.Log = n.cfg.Version, metrics, n.log
	n.web, err = web.Open(cfg)
	var taken *web.TakenError
	if errors.As(err, &taken) && n.cfg.HTTPOptional {
		n.log.Warn("no HTTP: its default address is in use by another program; [http] listen names another, or none", "address", cfg.Listen)
		return nil
	}
	if err == nil {
		n.metrics = metrics
	}
	return err
}

// URL is where the HTTP door is; "" where there is none.
func (n *Node) URL() string {
	if n.web == nil {
		return ""
	}
	return n.web.URL()
}

// backend is the node as the HTTP door sees it.
type backend struct{ *Node }

var _ web.Backend = backend{}

// Call implements web.Backend.
func (n backend) Call(ctx context.Context, who engine.Caller, endpoint string, payload []byte) (engine.Answer, error) {
	return n.service.Call(ctx, who, endpoint, payload)
}

// Open implements web.Backend.
func (n backend) Open(ctx context.Context, object string) (io.ReadCloser, error) {
	return n.blobs.Open(ctx, object)
}

// Audit implements web.Backend.
func (n backend) Audit(_ context.Context, entry web.Audit) {
	data, err := json.Marshal(entry)
	if err == nil {
		err = n.events.Live("audit", data)
	}
	if err != nil {
		n.log.Warn("the event of a request was not published", "endpoint", entry.Endpoint, engine.LogErr, err)
	}
}

// EventSpan implements web.Backend.
func (n backend) EventSpan(ctx context.Context) (live.Span, error) {
	span, err := n.events.Span(ctx)
	return live.Span(span), err
}

// ReadEvents implements web.Backend.
func (n backend) ReadEvents(ctx context.Context, after uint64, follow bool, tell func(live.Event)) error {
	return n.events.Read(ctx, after, follow, func(h bus.Happened) { tell(live.Event(h)) })
}

// NotReady implements web.Backend.
func (n backend) NotReady(ctx context.Context) string {
	select {
	case <-n.done:
		return "stopped"
	case <-n.Bus.Lost():
		return "lost"
	default:
	}
	h := n.Bus.Health()
	switch {
	case n.closing.Load():
		return "stopping"
	case !n.Bus.Running():
		return "closed"
	case h.Broken != "":
		return "broken"
	case h.Full:
		return "full"
	case n.Engine.Current(ctx) != nil:
		return "behind"
	}
	return ""
}

// Figures implements web.Backend.
func (n backend) Figures(ctx context.Context) (*web.Figures, error) {
	st, err := n.Engine.Status(ctx)
	if err != nil {
		return nil, err
	}
	nats, err := n.Bus.Figures()
	if err != nil {
		return nil, err
	}
	h := n.Bus.Health()
	f := &web.Figures{
		Status: st, Breakers: map[string]int{},
		Store: web.StoreFigures{Full: h.Full, Broken: h.Broken != "", Used: h.Used, Limit: h.Limit, Free: h.Free},
		NATS: web.NATSFigures{
			Connections: nats.Connections, Subscriptions: nats.Subscriptions, SlowConsumers: nats.SlowConsumers,
			InMsgs: nats.InMsgs, OutMsgs: nats.OutMsgs, InBytes: nats.InBytes, OutBytes: nats.OutBytes,
			JetStreamAPIRequests: nats.APIRequests, JetStreamErrs: nats.APIErrors,
			StreamMessages: nats.Messages, StreamBytes: nats.Bytes,
		},
	}
	for _, b := range n.breakers.List() {
		f.Breakers[string(b.State)]++
		if b.State != apicall.BreakerClosed {
			f.Open = append(f.Open, b.Key)
		}
	}
	return f, nil
}
