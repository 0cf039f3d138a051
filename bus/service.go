package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/qarion/qarion/engine"
)

// serviceName is how the service is found (`nats micro ls`).
const serviceName = "qarion"

// maxCallers is how many callers may wait for a run's end at a time, and how
// many other requests may be worked on; the next one is told that it is busy.
const maxCallers = 1024

// callTimeout bounds a request that does not wait for a run.
const callTimeout = 30 * time.Second

// maxAnswer is the largest answer, in bytes: a message may have 1 MiB.
const maxAnswer = 1000 << 10

// Runner is what the service asks of the engine.
type Runner interface {
	Start(ctx context.Context, req engine.StartRequest) (*engine.RunDoc, error)
	Get(ctx context.Context, id engine.RunID) (*engine.RunDoc, error)
	Wait(ctx context.Context, id engine.RunID) (*engine.RunDoc, error)
	Open(ctx context.Context) ([]*engine.RunDoc, error)
	Shown(ctx context.Context, view string) error
	Cancel(ctx context.Context, id engine.RunID, reason string) error
	Resolve(ctx context.Context, id engine.RunID, task engine.TaskID, as string, value []byte) error
	Flows(ctx context.Context) ([]engine.FlowInfo, error)
	Flow(ctx context.Context, id engine.FlowID) (*engine.Flow, error)
	Status(ctx context.Context) (engine.NodeStatus, error)
}

// XComStore has the values that tasks left.
type XComStore interface {
	// Lookup returns a value as JSON text, or where it is when it is large; with
	// an attempt over 0 what that one received and failed because of.
	Lookup(ctx context.Context, run engine.RunID, task engine.TaskID, attempt int) (text []byte, ref *engine.BlobRef, err error)
	// Get returns the same as JSON text, wherever it is.
	Get(ctx context.Context, run engine.RunID, task engine.TaskID, attempt int) ([]byte, error)
}

// ServiceConfig is what the service works with.
type ServiceConfig struct {
	Runner  Runner
	Runs    engine.Runs // runs after their end
	XCom    XComStore
	Version string // of the program, as semantic version
	Log     *slog.Logger
	// Public and Admin are the endpoints of the neighbours: for everybody, and
	// for callers with a login.
	Public, Admin []Endpoint
	// Info is added to the answer of node.status.
	Info func(ctx context.Context) (map[string]any, error)
}

// Endpoint is one request that the service answers, on <prefix>.<group>.<name>,
// or on <prefix>.<name> where it belongs to no group.
// Handle gets the payload and returns what is answered as JSON. The kind of
// its error (engine.ErrInvalid, ...) becomes the code of the answer, its text
// the line that the caller reads.
type Endpoint struct {
	Group, Name string
	Handle      func(ctx context.Context, data []byte) (any, error)
}

// path is the endpoint's name with its group: "run.start", "query".
func (e *Endpoint) path() string {
	if e.Group == "" {
		return e.Name
	}
	return e.Group + "." + e.Name
}

// Service is the NATS micro service qarion. Each request is worked on in a
// goroutine of its own, so that one that waits does not hold up the others.
type Service struct {
	cfg   ServiceConfig
	log   *slog.Logger
	nc    *nats.Conn
	runs  *runs
	micro micro.Service

	ctx     context.Context // of the service's life: set once, ends the calls
	stop    context.CancelCauseFunc
	calls   sync.WaitGroup
	working chan struct{} // a place per request that does not wait
	waiting chan struct{} // a place per caller that waits for a run
}

// errStopping is what callers hear whose request was cut off.
var errStopping = fmt.Errorf("%w: the node is stopping", engine.ErrUnavailable)

// errBusy is what a caller hears who is one too many.
var errBusy = errors.New("busy: " + strconv.Itoa(maxCallers) + " callers are waiting already; try again, or start without waiting")

// Serve starts the service on the bus.
func (b *Bus) Serve(cfg ServiceConfig) (*Service, error) {
	nc, err := b.Connect("service")
	if err != nil {
		return nil, err
	}
	b.extra = append(b.extra, nc)
	s := &Service{
		cfg: cfg, log: engine.Logger(cfg.Log), nc: nc, runs: &runs{cfg.Runner, cfg.Runs},
		working: make(chan struct{}, maxCallers), waiting: make(chan struct{}, maxCallers),
	}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.micro, err = micro.AddService(nc, micro.Config{
		Name: serviceName, Version: cfg.Version, Description: "runs flows of HTTP API calls, durably",
	})
	if err != nil {
		return nil, fmt.Errorf("add the NATS service: %w", err)
	}
	err = errors.Join(s.addAll(subjectAPI, s.endpoints()), s.addAll(subjectAPI, cfg.Public), s.addAll(subjectAdmin, s.adminEndpoints()), s.addAll(subjectAdmin, cfg.Admin))
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nc.Flush()
}

// endpoints are for everybody.
func (s *Service) endpoints() []Endpoint {
	return []Endpoint{
		{"run", "start", s.runStart},
		{"run", "get", s.runGet},
		{"run", "list", s.runList},
		{"run", "cancel", s.runCancel},
		{"run", "resolve", s.runResolve},
		{"flow", "list", s.flowList},
		{"flow", "get", s.flowGet},
		{"xcom", "get", s.xcomGet},
		{"node", "status", s.nodeStatus},
	}
}

// adminEndpoints are for those with a login.
func (s *Service) adminEndpoints() []Endpoint {
	return []Endpoint{{"flow", "run", s.flowRun}}
}

func (s *Service) addAll(prefix string, endpoints []Endpoint) error {
	for _, e := range endpoints {
		handle := micro.HandlerFunc(func(req micro.Request) { s.accept(req, e) })
		// Endpoints have names of their own beside their subjects, without dots.
		name := strings.ReplaceAll(e.path(), ".", "-")
		if err := s.micro.AddEndpoint(name, handle, micro.WithEndpointSubject(prefix+"."+e.path())); err != nil {
			return fmt.Errorf("add endpoint %s.%s: %w", prefix, e.path(), err)
		}
	}
	return nil
}

// accept hands a request to a goroutine of its own, while there are places.
func (s *Service) accept(req micro.Request, e Endpoint) {
	reply, data := req.Reply(), req.Data()
	if !isInbox(reply) {
		return
	}
	select {
	case s.working <- struct{}{}:
	default:
		s.refuse(reply, errBusy)
		return
	}
	s.calls.Go(func() {
		c := &call{places: s.working}
		defer c.leave()
		ctx, cancel := context.WithTimeout(context.WithValue(s.ctx, callKey{}, c), callTimeout)
		defer cancel()
		answer, err := s.answer(ctx, e, data)
		switch {
		case err != nil && s.ctx.Err() != nil:
			s.refuse(reply, errStopping)
		case err != nil:
			s.refuse(reply, err)
		default:
			s.respond(&nats.Msg{Subject: reply, Data: answer, Header: c.header})
		}
	})
}

// isInbox reports whether an answer may be sent to a subject. The service has
// full rights: it must not be made to write to a stream by a caller who names
// that as the place for the answer.
func isInbox(reply string) bool {
	return reply != "" && !strings.HasPrefix(reply, "$") && !strings.HasPrefix(reply, "qarion.")
}

// answer runs a handler. A panic in it is one request's failure, not the
// node's.
func (s *Service) answer(ctx context.Context, e Endpoint, data []byte) (answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a request failed with a panic", "endpoint", e.path(), engine.LogErr, p, "stack", string(debug.Stack()))
			answer, err = nil, errors.New("internal error; the node's log says more")
		}
	}()
	out, err := e.Handle(ctx, data)
	if err != nil {
		return nil, err
	}
	answer, ok := out.(json.RawMessage)
	if !ok {
		if answer, err = json.Marshal(out); err != nil {
			return nil, fmt.Errorf("encode the answer: %w", err)
		}
	}
	if len(answer) > maxAnswer {
		return nil, fmt.Errorf("%w: the answer of %d bytes does not fit into a message", engine.ErrInvalid, len(answer))
	}
	return answer, nil
}

// call is a request that is being worked on.
type call struct {
	places chan struct{} // where it holds a place
	header nats.Header   // of the answer
}

type callKey struct{}

func (c *call) leave() { <-c.places }

// wait moves a request among those that wait for a run, which are many and
// long; errBusy when there is no place.
func (s *Service) wait(ctx context.Context) error {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok || c.places == s.waiting {
		return nil
	}
	select {
	case s.waiting <- struct{}{}:
		c.leave()
		c.places = s.waiting
		return nil
	default:
		return errBusy
	}
}

// setHeader adds a header to the answer of the request that ctx belongs to.
func setHeader(ctx context.Context, name, value string) {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		c.header = nats.Header{name: {value}}
	}
}

func (s *Service) refuse(reply string, err error) {
	code, text := describe(err)
	s.respond(&nats.Msg{Subject: reply, Header: nats.Header{micro.ErrorCodeHeader: {code}, micro.ErrorHeader: {text}}})
}

func (s *Service) respond(m *nats.Msg) {
	if err := s.nc.PublishMsg(m); err != nil && s.ctx.Err() == nil {
		s.log.Warn("an answer was not sent", engine.LogErr, err)
	}
}

// Close stops answering: callers that wait hear that the node is stopping.
func (s *Service) Close() {
	_ = s.micro.Stop()
	s.stop(errStopping)
	s.calls.Wait()
}
