package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/qarion/qarion/engine"
)

// Client talks to a node through its NATS service. Every command uses it, with
// a node of another process or one in its own.
type Client struct {
	nc     *nats.Conn
	target string // for messages: address and where it came from
	login  bool   // it may ask what is not for everybody
	denied denials

	// Trace is what the client's requests belong to; nil for nothing.
	Trace *engine.TraceContext
}

// Dial connects to a node. target names the address and where it came from, as
// connection errors show it. engine.ErrUnavailable: nobody answers there.
func Dial(a Access, target string) (*Client, error) {
	c := &Client{target: target, login: a.User != "" || strings.Contains(a.URL, "@")}
	opts := []nats.Option{nats.Name("qarion command"), nats.Timeout(3 * time.Second), nats.MaxReconnects(-1), nats.ReconnectWait(200 * time.Millisecond),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.denied.heard(err) })}
	if a.User != "" {
		opts = append(opts, nats.UserInfo(a.User, a.Password), nats.CustomInboxPrefix(inboxEngine))
	}
	var err error
	if c.nc, err = nats.Connect(a.URL, opts...); err != nil {
		return nil, fmt.Errorf("%w: no server at %s", engine.ErrUnavailable, target)
	}
	return c, nil
}

// NewClient is a client over a connection of the same process.
func NewClient(nc *nats.Conn, target string) *Client {
	return &Client{nc: nc, target: target, login: true}
}

// Close ends the connection.
func (c *Client) Close() { c.nc.Close() }

// Target is where the client is connected to, in words.
func (c *Client) Target() string { return c.target }

// Conn is the connection.
func (c *Client) Conn() *nats.Conn { return c.nc }

// Call asks an endpoint of everybody's groups, such as "run.get".
func (c *Client) Call(ctx context.Context, endpoint string, in, out any) error {
	return c.call(ctx, subjectAPI+"."+endpoint, in, out)
}

// Admin asks an endpoint that needs a login. engine.ErrDenied: the client has
// none.
func (c *Client) Admin(ctx context.Context, endpoint string, in, out any) error {
	if !c.login {
		return fmt.Errorf("%w: %s needs the login that is in the node's data directory; name that with --data-dir instead of an address", engine.ErrDenied, endpoint)
	}
	return c.call(ctx, subjectAdmin+"."+endpoint, in, out)
}

// Signed asks an endpoint of everybody's that notes who has asked: with the login,
// where the client has one.
func (c *Client) Signed(ctx context.Context, endpoint string, in, out any) error {
	if c.login {
		return c.Admin(ctx, endpoint, in, out)
	}
	return c.Call(ctx, endpoint, in, out)
}

func (c *Client) call(ctx context.Context, subject string, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode the request: %w", err)
	}
	asking := ctx
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		asking, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	asking, refused := c.denied.watch(asking, subject)
	m, err := c.nc.RequestMsgWithContext(asking, c.request(subject, data))
	if refused() {
		return fmt.Errorf("%w: %s is not allowed without a login at %s", engine.ErrDenied, strings.TrimPrefix(subject, subjectAPI+"."), c.target)
	}
	if err != nil {
		return c.unanswered(ctx, err)
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return &CallError{Code: code, Message: m.Header.Get(micro.ErrorHeader)}
	}
	answer := m.Data
	if m.Header.Get(HeaderBlob) != "" {
		ref := new(engine.BlobRef)
		if err := json.Unmarshal(answer, ref); err != nil {
			return fmt.Errorf("read where the value is: %w", err)
		}
		if where, ok := out.(*xcomContent); ok {
			where.ref = ref
			return nil
		}
		if answer, err = c.object(ctx, ref); err != nil {
			return err
		}
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *json.RawMessage:
		*out = answer
		return nil
	case *xcomContent:
		out.text = answer
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.target, err)
	}
	return nil
}

func (c *Client) request(subject string, data []byte) *nats.Msg {
	m := &nats.Msg{Subject: subject, Data: data}
	if c.Trace != nil {
		m.Header = nats.Header{engine.HeaderTraceParent: {c.Trace.Parent}}
		if c.Trace.State != "" {
			m.Header[engine.HeaderTraceState] = []string{c.Trace.State}
		}
	}
	return m
}

// unanswered says in words why there was no answer.
func (c *Client) unanswered(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrConnectionClosed):
		return fmt.Errorf("%w: no qarion node answers at %s", engine.ErrUnavailable, c.target)
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: the request is larger than a message can be (%d bytes)", engine.ErrInvalid, c.nc.MaxPayload())
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%w: no answer from %s within %s: whether the request was carried out is not known", engine.ErrUnavailable, c.target, callTimeout)
	}
	return fmt.Errorf("%w: ask %s: %w", engine.ErrUnavailable, c.target, err)
}

// CallError is a refusal by the node, in its own words.
type CallError struct{ Code, Message string }

func (e *CallError) Error() string { return e.Message }

// Unwrap gives the engine's kind of error, so that errors.Is works across the
// wire.
func (e *CallError) Unwrap() error { return kindOf(e.Code) }

// Run returns a run.
func (c *Client) Run(ctx context.Context, id engine.RunID) (*engine.RunDoc, error) {
	doc := new(engine.RunDoc)
	if err := c.Call(ctx, "run.get", RunRef{Run: string(id)}, doc); err != nil {
		return nil, err
	}
	return doc, nil
}

// FindRun resolves what a person writes for a run: last, a run id, or an
// ending of one of at least 4 characters that fits one run.
func (c *Client) FindRun(ctx context.Context, ref string) (engine.RunID, error) {
	if id, err := engine.ParseRunID(ref); err == nil {
		return id, nil
	}
	var doc engine.RunDoc
	err := c.Call(ctx, "run.get", RunRef{Run: ref, Brief: true}, &doc)
	return doc.RunID, err
}
