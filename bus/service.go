package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
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

// maxDirect is the largest answer without a message, in bytes: a flow of
// 10,000 tasks takes 1.5 MB.
const maxDirect = 64 << 20

// Runner is what the service asks of the engine.
type Runner interface {
	Start(ctx context.Context, req engine.StartRequest) (*engine.RunDoc, error)
	StartAll(ctx context.Context, reqs []engine.StartRequest) []engine.Started
	Get(ctx context.Context, id engine.RunID) (*engine.RunDoc, error)
	Tasks(ctx context.Context, id engine.RunID, f engine.TaskFilter) (*engine.TaskPage, error)
	Wait(ctx context.Context, id engine.RunID) (*engine.RunDoc, error)
	Open(ctx context.Context) ([]*engine.RunDoc, error)
	Shown(ctx context.Context, view string) error
	Cancel(ctx context.Context, id engine.RunID, reason string) error
	ResolveItem(ctx context.Context, id engine.RunID, task engine.TaskID, item int, as string, value []byte) error
	ItemValue(ctx context.Context, id engine.RunID, task engine.TaskID, item int) ([]byte, error)
	Rerun(ctx context.Context, req engine.RerunRequest) (*engine.Rerunning, error)
	engine.Signals
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
	// Environment is the one whose values the flows have; "" for none.
	Environment string
	Log         *slog.Logger
	// Tasks lists the tasks of a run that has ended, where its document does not
	// list them all; nil: nobody can.
	Tasks func(ctx context.Context, id engine.RunID, f engine.TaskFilter) (*engine.TaskPage, error)
	// Files are the files that flows come from; nil: there are none.
	Files FlowFiles
	// Schedules are what is asked of the schedules; nil: there are none.
	Schedules engine.Schedules
	// Endpoints are those of the neighbours.
	Endpoints []Endpoint
	// Info is added to the answer of node.status.
	Info func(ctx context.Context) (map[string]any, error)
}

// FlowFiles is what the service asks of the files that flows come from.
type FlowFiles interface {
	// Fresh reads changes that have been seen and not been read. It costs
	// nothing where there are none.
	Fresh(ctx context.Context)
	// LeftOut says why the file of a flow is left out, so that there is no such
	// flow, or only the version before; "" where it is not.
	LeftOut(ctx context.Context, id engine.FlowID) string
}

// Endpoint is one request that the service answers: on qarion.api.<name>, or,
// where the engine's table says that it needs a login, on qarion.admin.<name>.
// Handle gets the payload and returns what is answered as JSON. The kind of
// its error (engine.ErrInvalid, ...) becomes the code of the answer, its text
// the line that the caller reads.
type Endpoint struct {
	Name   string // as in engine.Endpoints
	Handle func(ctx context.Context, data []byte) (any, error)

	rule engine.Endpoint
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

	endpoints map[string]*Endpoint

	mu     sync.RWMutex
	closed bool // no call begins any more
}

// errStopping is what callers hear whose request was cut off.
var errStopping = fmt.Errorf("%w: the node is stopping", engine.ErrUnavailable)

// errBusy is what a caller hears who is one too many.
var errBusy = fmt.Errorf("%w: %d callers are waiting already; try again, or start without waiting", engine.ErrBusy, maxCallers)

// Serve starts the service on the bus.
func (b *Bus) Serve(cfg ServiceConfig) (*Service, error) {
	nc, err := b.Connect("service")
	if err != nil {
		return nil, err
	}
	b.extra = append(b.extra, nc)
	s := &Service{
		cfg: cfg, log: engine.Logger(cfg.Log), nc: nc, runs: &runs{cfg.Runner, cfg.Runs},
		working: make(chan struct{}, maxCallers), waiting: make(chan struct{}, maxCallers), endpoints: map[string]*Endpoint{},
	}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.micro, err = micro.AddService(nc, micro.Config{
		Name: serviceName, Version: cfg.Version, Description: "runs flows of HTTP API calls, durably",
	})
	if err != nil {
		return nil, fmt.Errorf("add the NATS service: %w", err)
	}
	for _, e := range slices.Concat(s.own(), s.schedules(), cfg.Endpoints) {
		if err := s.add(e); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nc.Flush()
}

// own are the endpoints that need no neighbour.
func (s *Service) own() []Endpoint {
	return []Endpoint{
		{Name: "run.start", Handle: s.runStart},
		{Name: "run.get", Handle: s.runGet},
		{Name: "run.list", Handle: s.runList},
		{Name: "run.tasks", Handle: s.runTasks},
		{Name: "run.cancel", Handle: s.runCancel},
		{Name: "run.resolve", Handle: s.runResolve},
		{Name: "run.rerun", Handle: s.runRerun},
		{Name: "run.signal", Handle: s.runSignal},
		{Name: "run.decide", Handle: s.runDecide},
		{Name: "flow.list", Handle: s.flowList},
		{Name: "flow.get", Handle: s.flowGet},
		{Name: "flow.run", Handle: s.flowRun},
		{Name: "xcom.get", Handle: s.xcomGet},
		{Name: "node.status", Handle: s.nodeStatus},
	}
}

// add makes an endpoint answer.
func (s *Service) add(e Endpoint) (err error) {
	if e.rule, err = engine.EndpointNamed(e.Name); err != nil {
		return fmt.Errorf("add endpoint %s: who may ask it? %w", e.Name, err)
	}
	s.endpoints[e.Name] = &e
	admin := engine.Caller{Name: "login", Role: engine.RoleAdmin, Login: true}
	// Endpoints have names of their own beside their subjects, without dots.
	name := strings.ReplaceAll(e.Name, ".", "-")
	if !e.rule.Login {
		if err := s.listen(&e, name, subjectAPI, engine.Anonymous("")); err != nil || !e.rule.Signed {
			return err
		}
		name += "-admin"
	}
	return s.listen(&e, name, subjectAdmin, admin) // only who has the login reaches the subject
}

func (s *Service) listen(e *Endpoint, name, prefix string, who engine.Caller) error {
	handle := micro.HandlerFunc(func(req micro.Request) { s.accept(req, e, who) })
	if err := s.micro.AddEndpoint(name, handle, micro.WithEndpointSubject(prefix+"."+e.Name)); err != nil {
		return fmt.Errorf("add endpoint %s.%s: %w", prefix, e.Name, err)
	}
	return nil
}

// Names lists the endpoints that the service answers, in no order.
func (s *Service) Names() []string { return slices.Collect(maps.Keys(s.endpoints)) }

// Call asks an endpoint without a message, with the same places and limits, but
// for the size of an answer that is no document of a run.
// The call ends with ctx, also where it waits for a run. engine.ErrDenied: the
// caller may not.
func (s *Service) Call(ctx context.Context, who engine.Caller, name string, payload []byte) (engine.Answer, error) {
	e := s.endpoints[name]
	if e == nil {
		_, err := engine.EndpointNamed(name)
		return engine.Answer{}, cmp.Or(err, fmt.Errorf("%w: this node has no endpoint %s", engine.ErrNotFound, name))
	}
	if err := who.MayCall(e.rule); err != nil {
		return engine.Answer{}, err
	}
	if !s.begin() {
		return engine.Answer{}, errStopping
	}
	defer s.calls.Done()
	select {
	case s.working <- struct{}{}:
	default:
		return engine.Answer{}, errBusy
	}
	life, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(s.ctx, func() { end(errStopping) })()
	return s.answer(e, &call{places: s.working, life: life, who: who, largest: maxDirect}, payload)
}

// begin counts a call in, unless the service is closed.
func (s *Service) begin() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.closed {
		s.calls.Add(1)
	}
	return !s.closed
}

// accept hands a request to a goroutine of its own, while there are places.
func (s *Service) accept(req micro.Request, e *Endpoint, who engine.Caller) {
	reply, data := req.Reply(), req.Data()
	if h := req.Headers(); h != nil {
		who.Trace = engine.TraceOf(h.Get)
	}
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
		answer, err := s.answer(e, &call{places: s.working, life: s.ctx, who: who, largest: maxAnswer}, data)
		if err != nil {
			s.refuse(reply, err)
			return
		}
		m := &nats.Msg{Subject: reply, Data: answer.JSON}
		if answer.Object != nil {
			m.Header = nats.Header{HeaderBlob: {"1"}}
		}
		s.respond(m)
	})
}

// isInbox reports whether an answer may be sent to a subject. The service has
// full rights: it must not be made to write to a stream by a caller who names
// that as the place for the answer.
func isInbox(reply string) bool {
	return reply != "" && !strings.HasPrefix(reply, "$") && !strings.HasPrefix(reply, "qarion.")
}

// answer runs a handler for a call that holds a place. A panic in it is one
// request's failure, not the node's.
func (s *Service) answer(e *Endpoint, c *call, data []byte) (answer engine.Answer, err error) {
	defer c.leave()
	ctx, cancel := context.WithTimeout(context.WithValue(c.life, callKey{}, c), callTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a request failed with a panic", "endpoint", e.Name, engine.LogErr, p, "stack", string(debug.Stack()))
			answer, err = engine.Answer{}, errors.New("internal error; the node's log says more")
		}
		if err != nil && s.ctx.Err() != nil {
			err = errStopping
		}
	}()
	out, err := e.Handle(ctx, data)
	if err != nil {
		return engine.Answer{}, err
	}
	text, ok := out.(json.RawMessage)
	if !ok {
		if text, err = json.Marshal(out); err != nil {
			return engine.Answer{}, fmt.Errorf("encode the answer: %w", err)
		}
	}
	if len(text) > c.largest {
		return engine.Answer{}, fmt.Errorf("%w: the answer of %d bytes does not fit into a message", engine.ErrInvalid, len(text))
	}
	return engine.Answer{JSON: text, Object: c.object}, nil
}

// call is a request that is being worked on.
type call struct {
	places chan struct{}   // where it holds a place
	life   context.Context // ends when nobody waits for the answer any more
	who    engine.Caller
	object *engine.BlobRef // of the answer

	largest int // bytes of the answer
}

type callKey struct{}

func (c *call) leave() { <-c.places }

// callOf is the request that ctx belongs to.
func (s *Service) callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{places: s.waiting, life: s.ctx}
}

// wait moves a request among those that wait for a run, which are many and
// long; errBusy when there is no place.
func (s *Service) wait(ctx context.Context) error {
	c := s.callOf(ctx)
	if c.places == s.waiting {
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
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	_ = s.micro.Stop()
	s.stop(errStopping)
	s.calls.Wait()
}
