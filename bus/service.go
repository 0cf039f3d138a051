package bus

import (
	"context"
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

// ServiceName is how the service is found (`nats micro ls`).
const ServiceName = "qarion"

// MaxCallers is how many callers may wait for a run's end at a time, and how
// many other requests may be worked on; the next one is told that it is busy.
const MaxCallers = 1024

// callTimeout bounds a request that does not wait for a run.
const callTimeout = 30 * time.Second

// maxAnswer is the largest answer, in bytes: a message may have 1 MiB.
const maxAnswer = 1000 << 10

// Engine is what the service asks; *engine.Engine implements it.
type Engine interface {
	Start(ctx context.Context, req engine.StartRequest) (*engine.RunDoc, error)
	Get(ctx context.Context, id engine.RunID) (*engine.RunDoc, error)
	Wait(ctx context.Context, id engine.RunID) (*engine.RunDoc, error)
	Open(ctx context.Context) ([]*engine.RunDoc, error)
	Cancel(ctx context.Context, id engine.RunID, reason string) error
	Resolve(ctx context.Context, id engine.RunID, task engine.TaskID, as string, val []byte) error
	Flows(ctx context.Context) ([]engine.FlowInfo, error)
	Flow(ctx context.Context, id engine.FlowID) (*engine.Flow, error)
	Status(ctx context.Context) (engine.NodeStatus, error)
}

// XComs is the view of the values that tasks left.
type XComs interface {
	// Lookup returns a value as JSON text, or where it is when it is large.
	Lookup(ctx context.Context, run engine.RunID, task engine.TaskID) (text []byte, ref *engine.BlobRef, err error)
	// Get returns a value as JSON text, wherever it is.
	Get(ctx context.Context, run engine.RunID, task engine.TaskID) ([]byte, error)
}

// ServiceConfig is what a service works with.
type ServiceConfig struct {
	Conn    *nats.Conn
	Engine  Engine
	Runs    engine.Runs // runs after their end
	XCom    XComs
	Version string // of the program
	Log     *slog.Logger
}

// Handler answers one request: JSON in, JSON out. The kind of its error
// (engine.ErrInvalid, ...) becomes the code of the answer, its text the line
// that the caller reads.
type Handler func(ctx context.Context, data []byte) (answer []byte, err error)

// Service is the NATS micro service qarion. Each request is worked on in a
// goroutine of its own, so that one that waits does not hold up the others.
type Service struct {
	cfg     ServiceConfig
	log     *slog.Logger
	runs    *runs
	service micro.Service
	api     micro.Group
	admin   micro.Group
	groups  map[string]micro.Group // by subject

	ctx     context.Context // of the service's life: set once, ends the calls
	stop    context.CancelCauseFunc
	calls   sync.WaitGroup
	working chan struct{} // a place per request that does not wait
	waiting chan struct{} // a place per caller that waits for a run
}

// errStopping is what callers hear whose request was cut off.
var errStopping = fmt.Errorf("%w: the node is stopping", engine.ErrUnavailable)

// errBusy is what a caller hears who is one too many.
var errBusy = errors.New("busy: " + strconv.Itoa(MaxCallers) + " callers are waiting already; try again, or start without waiting")

// OpenService starts to answer.
func OpenService(cfg ServiceConfig) (*Service, error) {
	version := cfg.Version
	if !semanticVersion(version) {
		version = "0.0.0" // of a build without one; the rule of micro services (ADR-32)
	}
	m, err := micro.AddService(cfg.Conn, micro.Config{
		Name: ServiceName, Version: version, Description: "runs flows of HTTP API calls, durably",
		Metadata: map[string]string{"version": cfg.Version},
	})
	if err != nil {
		return nil, fmt.Errorf("open the service %s: %w", ServiceName, err)
	}
	s := &Service{
		cfg: cfg, log: engine.Logger(cfg.Log), runs: &runs{cfg.Engine, cfg.Runs}, service: m,
		api: m.AddGroup(subjectAPI), admin: m.AddGroup(subjectAdmin), groups: map[string]micro.Group{},
		working: make(chan struct{}, MaxCallers), waiting: make(chan struct{}, MaxCallers),
	}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	if err := s.addAll(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// semanticVersion reports whether a version has the form major.minor.patch
// (https://semver.org), with or without more behind it.
func semanticVersion(v string) bool {
	core, _, _ := strings.Cut(strings.ReplaceAll(v, "+", "-"), "-")
	parts := strings.Split(core, ".")
	for _, p := range parts {
		if _, err := strconv.ParseUint(p, 10, 31); err != nil || len(p) > 1 && p[0] == '0' {
			return false
		}
	}
	return len(parts) == 3
}

// addAll adds the endpoints of the engine.
func (s *Service) addAll() error {
	return errors.Join(
		s.Add("run", "start", s.runStart),
		s.Add("run", "get", s.runGet),
		s.Add("run", "list", s.runList),
		s.Add("run", "cancel", s.runCancel),
		s.Add("run", "resolve", s.runResolve),
		s.Add("flow", "list", s.flowList),
		s.Add("flow", "get", s.flowGet),
		s.Add("xcom", "get", s.xcomGet),
		s.Add("", "status", s.status),
		s.AddAdmin("flow", "run", s.flowRun),
	)
}

// Add adds an endpoint for everybody: qarion.api.<noun>.<name>, or
// qarion.api.<name> where noun is "".
func (s *Service) Add(noun, name string, h Handler) error { return s.add(s.api, subjectAPI, noun, name, h) }

// AddAdmin adds an endpoint for those with full rights:
// qarion.admin.<noun>.<name>.
func (s *Service) AddAdmin(noun, name string, h Handler) error {
	return s.add(s.admin, subjectAdmin, noun, name, h)
}

func (s *Service) add(parent micro.Group, subject, noun, name string, h Handler) error {
	group := parent
	if noun != "" {
		key := subject + "." + noun
		if s.groups[key] == nil {
			s.groups[key] = parent.AddGroup(noun)
		}
		group = s.groups[key]
	}
	// Endpoints have names of their own beside their subjects; two groups may
	// both have a "run".
	endpoint := strings.Trim(noun+"-"+name, "-")
	handle := micro.HandlerFunc(func(req micro.Request) { s.accept(req, h) })
	if err := group.AddEndpoint(endpoint, handle, micro.WithEndpointSubject(name)); err != nil {
		return fmt.Errorf("add endpoint %s.%s.%s: %w", subject, noun, name, err)
	}
	return nil
}

// accept hands a request to a goroutine of its own, while there are places.
func (s *Service) accept(req micro.Request, h Handler) {
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
		answer, err := s.answer(ctx, h, data)
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
func (s *Service) answer(ctx context.Context, h Handler, data []byte) (answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a request failed with a panic", engine.LogErr, p, "stack", string(debug.Stack()))
			answer, err = nil, errors.New("internal error; the node's log says more")
		}
	}()
	answer, err = h(ctx, data)
	if err == nil && len(answer) > maxAnswer {
		err = fmt.Errorf("%w: the answer of %d bytes does not fit into a message", engine.ErrInvalid, len(answer))
	}
	return answer, err
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
	if err := s.cfg.Conn.PublishMsg(m); err != nil && s.ctx.Err() == nil {
		s.log.Warn("an answer was not sent", engine.LogErr, err)
	}
}

// Close stops answering: callers that wait hear that the node is stopping.
func (s *Service) Close() {
	_ = s.service.Stop()
	s.stop(errStopping)
	s.calls.Wait()
}
