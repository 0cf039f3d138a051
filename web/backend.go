package web

import (
	"context"
	"io"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/web/live"
)

// Backend is the node behind the door. The node hands it in once it takes
// work (Server.Use); before that every request is told that it is starting.
type Backend interface {
	// Call asks an endpoint of the node for a caller, as its NATS service does.
	// It ends with ctx. The kind of its error becomes the status.
	Call(ctx context.Context, who engine.Caller, endpoint string, payload []byte) (engine.Answer, error)
	// Authenticate says who shows a token. engine.ErrDenied: nobody who may come
	// in.
	Authenticate(ctx context.Context, token string) (engine.Caller, error)
	// Login begins a session for who shows the password of a name, or without one
	// a one-time code or a token. engine.ErrDenied: nobody who may come in.
	Login(ctx context.Context, name, secret string) (engine.Session, engine.SessionSecrets, error)
	// Session is that of a cookie. engine.ErrDenied: there is none, or it has
	// ended.
	Session(ctx context.Context, cookie string) (engine.Session, error)
	// Logout ends the session of a cookie, if there is one.
	Logout(ctx context.Context, cookie string) error
	// Open reads a value in the object store.
	Open(ctx context.Context, object string) (io.ReadCloser, error)
	// Audit tells of a request that changes something. It does not wait.
	Audit(ctx context.Context, entry Audit)
	// NotReady is why the node takes no work now, in one word; "" when it does.
	// /readyz asks on every request.
	NotReady(ctx context.Context) string
	// Figures are what /metrics shows of the node. It is asked at most once a
	// second.
	Figures(ctx context.Context) (*Figures, error)
	// Source has the events that streams tell of.
	live.Source
}

// Figures are the node's figures at a moment.
type Figures struct {
	Status   engine.NodeStatus
	Breakers map[string]int // state -> how many hosts
	Open     []string       // hosts whose breaker is not closed
	Store    StoreFigures
	NATS     NATSFigures
}

// StoreFigures are what the JetStream store takes, in bytes.
type StoreFigures struct {
	Full, Broken      bool
	Used, Limit, Free int64 // Free is -1 where the system does not say
}

// NATSFigures are those of the embedded server.
type NATSFigures struct {
	Connections, Subscriptions          int
	SlowConsumers                       int64
	InMsgs, OutMsgs, InBytes, OutBytes  int64
	StreamMessages, StreamBytes         map[string]uint64 // by stream
	JetStreamAPIRequests, JetStreamErrs uint64
}
