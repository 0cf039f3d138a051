package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/qarion/qarion/engine"
)

// Client talks to a node through its NATS service. Every command uses it, with
// a node of another process or one in its own.
type Client struct {
	nc     *nats.Conn
	target string // for messages: address and where it came from
}

// Dial connects to a node. target names the address and where it came from, as
// connection errors show it. engine.ErrUnavailable: nobody answers there.
func Dial(a Access, target string) (*Client, error) {
	opts := []nats.Option{nats.Name("qarion command"), nats.Timeout(3 * time.Second), nats.MaxReconnects(-1), nats.ReconnectWait(200 * time.Millisecond)}
	if a.User != "" {
		opts = append(opts, nats.UserInfo(a.User, a.Password))
	}
	nc, err := nats.Connect(a.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("%w: no server at %s", engine.ErrUnavailable, target)
	}
	return &Client{nc: nc, target: target}, nil
}

// NewClient is a client over a connection of the same process.
func NewClient(nc *nats.Conn, target string) *Client { return &Client{nc: nc, target: target} }

// Close ends the connection.
func (c *Client) Close() { c.nc.Close() }

// Target is where the client is connected to, in words.
func (c *Client) Target() string { return c.target }

// Conn is the connection.
func (c *Client) Conn() *nats.Conn { return c.nc }

// Call asks an endpoint of everybody's groups, such as "run.get".
func (c *Client) Call(ctx context.Context, endpoint string, in, out any) error {
	return c.call(ctx, apiPrefix+"."+endpoint, in, out)
}

// Admin asks an endpoint that needs a login.
func (c *Client) Admin(ctx context.Context, endpoint string, in, out any) error {
	return c.call(ctx, adminPrefix+"."+endpoint, in, out)
}

func (c *Client) call(ctx context.Context, subject string, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	m, err := c.nc.RequestWithContext(ctx, subject, data)
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrConnectionClosed):
		return fmt.Errorf("%w: no qarion node answers at %s", engine.ErrUnavailable, c.target)
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: the request is larger than a message can be (%d bytes)", engine.ErrInvalid, c.nc.MaxPayload())
	case err != nil:
		return fmt.Errorf("ask %s: %w", c.target, err)
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return &CallError{Code: code, Message: m.Header.Get(micro.ErrorHeader)}
	}
	if out == nil {
		return nil
	}
	if raw, ok := out.(*json.RawMessage); ok {
		*raw = m.Data
		return nil
	}
	if err := json.Unmarshal(m.Data, out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.target, err)
	}
	return nil
}

// CallError is a refusal by the node, in its own words.
type CallError struct{ Code, Message string }

func (e *CallError) Error() string { return e.Message }

// Unwrap gives the engine's kind of error.
func (e *CallError) Unwrap() error { return kindOf(e.Code) }

// Run returns a run.
func (c *Client) Run(ctx context.Context, id engine.RunID) (*engine.RunDoc, error) {
	doc := new(engine.RunDoc)
	return doc, c.Call(ctx, "run.get", RunRef{Run: string(id)}, doc)
}

// FindRun resolves what a person writes for a run: last, a run id, or an
// ending of one of at least 4 characters that fits one run.
func (c *Client) FindRun(ctx context.Context, ref string) (engine.RunID, error) {
	if id, err := engine.ParseRunID(ref); err == nil {
		return id, nil
	}
	in := ListRuns{Limit: 2}
	if ref != "last" {
		if in.Suffix = strings.ToUpper(ref); len(ref) < 4 || len(ref) > 26 {
			return "", fmt.Errorf("%w: %q is not a run: give last, a run id, or at least 4 characters of its end", engine.ErrInvalid, ref)
		}
	}
	var list RunList
	if err := c.Call(ctx, "run.list", in, &list); err != nil {
		return "", err
	}
	switch {
	case len(list.Runs) == 0 && ref == "last":
		return "", fmt.Errorf("%w: there are no runs yet", engine.ErrNotFound)
	case len(list.Runs) == 0:
		return "", fmt.Errorf("%w: no run ends with %q", engine.ErrNotFound, ref)
	case len(list.Runs) > 1 && ref != "last":
		return "", fmt.Errorf("%w: more than one run ends with %q: %s, %s; give more of it", engine.ErrInvalid, ref, list.Runs[0].RunID, list.Runs[1].RunID)
	}
	return list.Runs[0].RunID, nil
}

// watchEvery is how often a watcher looks at a run at the most, and
// watchAtLeast how often when nothing is heard of it.
const (
	watchEvery   = 100 * time.Millisecond
	watchAtLeast = time.Second
)

// Watch hands a run's document to fn whenever it has changed, at most ten
// times a second, until the run is final or a task of it waits for a person;
// the last document is returned.
func (c *Client) Watch(ctx context.Context, id engine.RunID, fn func(*engine.RunDoc)) (*engine.RunDoc, error) {
	doc, err := c.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	heard := make(chan struct{}, 1)
	notify := func(m *nats.Msg) {
		if run := m.Header.Get(HeaderRun); run == string(id) {
			select {
			case heard <- struct{}{}:
			default:
			}
		}
	}
	for _, subject := range []string{SubjectLog, SubjectEvent} {
		sub, err := c.nc.Subscribe(subject+string(doc.FlowID)+".>", notify)
		if err != nil {
			return nil, fmt.Errorf("watch run %s: %w", id, err)
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	for {
		if doc, err = c.Run(ctx, id); err != nil {
			return nil, err
		}
		fn(doc)
		if doc.Final || doc.Status == engine.Interrupted {
			return doc, nil
		}
		select {
		case <-heard:
		case <-time.After(watchAtLeast):
		case <-ctx.Done():
			return doc, ctx.Err()
		}
		select {
		case <-time.After(watchEvery):
		case <-ctx.Done():
			return doc, ctx.Err()
		}
	}
}

// LogFilter chooses operations of the log. The zero filter is everything.
type LogFilter struct {
	Flow, Task, Status string
	Run                engine.RunID
	Since              time.Time
	Follow             bool // go on with what comes, until ctx ends
}

// Logs hands operations to fn in their order, each once, also over a
// reconnect. fn gets the document as it is on NATS, and decoded.
func (c *Client) Logs(ctx context.Context, f LogFilter, fn func(raw []byte, op *engine.Operation) error) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return err
	}
	stream, err := js.Stream(ctx, StreamEvents)
	if err != nil {
		return fmt.Errorf("%w: open the operation log at %s: %w", engine.ErrUnavailable, c.target, err)
	}
	flow, task := f.Flow, f.Task
	if flow == "" {
		flow = "*"
	}
	if task == "" {
		task = "*"
	}
	r := reading{since: f.Since, filter: SubjectLog + flow + "." + task}
	if !f.Follow {
		r.pending = func(n uint64) bool { return n > 0 }
	}
	return readInOrder(ctx, stream, r, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		last := func() error {
			if !f.Follow && meta.NumPending == 0 {
				return errEnough
			}
			return nil
		}
		if f.Run != "" && m.Headers().Get(HeaderRun) != string(f.Run) {
			return last()
		}
		op := new(engine.Operation)
		if err := json.Unmarshal(m.Data(), op); err != nil {
			return last() // not ours: somebody may have written it by hand
		}
		if f.Status == "" || op.Status == f.Status {
			if err := fn(m.Data(), op); err != nil {
				return err
			}
		}
		return last()
	})
}
