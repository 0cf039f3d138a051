package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/qarion/qarion/engine"
)

// The micro service: groups and endpoints under apiPrefix for everybody, under
// adminPrefix for those with a login.
const (
	serviceName = "qarion"
	apiPrefix   = "qarion.api"
	adminPrefix = "qarion.admin"
)

// Bounds of the service.
const (
	maxCallers    = 1024 // that wait at once; one more is told to come back
	callTimeout   = 30 * time.Second
	defaultWait   = time.Minute
	maxWait       = time.Hour
	maxAnswerXCom = 512 << 10 // bytes of XCom values in one answer
)

// Runner is what the service needs of the engine.
type Runner interface {
	Start(ctx context.Context, req engine.StartRequest) (*engine.RunDoc, error)
	Get(ctx context.Context, id engine.RunID) (*engine.RunDoc, error)
	Wait(ctx context.Context, id engine.RunID) (*engine.RunDoc, error)
	Open(ctx context.Context) ([]*engine.RunDoc, error)
	Cancel(ctx context.Context, id engine.RunID, reason string) error
	Resolve(ctx context.Context, id engine.RunID, task engine.TaskID, as string, value []byte) error
	Flows(ctx context.Context) ([]engine.FlowInfo, error)
	Flow(ctx context.Context, id engine.FlowID) (*engine.Flow, error)
	Status(ctx context.Context) (engine.NodeStatus, error)
}

// RunStore has the documents of runs that are not open any more.
type RunStore interface {
	// Get returns a run's document; engine.ErrNotFound when there is none.
	Get(ctx context.Context, id engine.RunID) (*engine.RunDoc, error)
	// Scan hands documents to fn, the last written first, until it says false.
	Scan(ctx context.Context, fn func(*engine.RunDoc) bool) error
}

// XComStore has the values that tasks left.
type XComStore interface {
	Get(ctx context.Context, run engine.RunID, task engine.TaskID) ([]byte, error)
}

// ServiceConfig is what the service works with.
type ServiceConfig struct {
	Runner  Runner
	Runs    RunStore
	XCom    XComStore
	Version string // of the program, as semantic version
	Log     *slog.Logger
	// Extra endpoints of the neighbours, for callers with a login.
	Admin []Endpoint
	// Info is added to the answer of node.status.
	Info func(ctx context.Context) (map[string]any, error)
}

// Endpoint is one request that the service answers. Handle gets the payload
// and returns what is answered as JSON.
type Endpoint struct {
	Group, Name string
	Handle      func(ctx context.Context, data []byte) (any, error)
}

// Service answers requests on NATS.
type Service struct {
	cfg    ServiceConfig
	log    *slog.Logger
	micro  micro.Service
	places chan struct{}
	wg     sync.WaitGroup
	ctx    context.Context // of the service's life: ends waiting callers
	stop   context.CancelFunc
}

// Serve starts the service on the bus.
func (b *Bus) Serve(cfg ServiceConfig) (*Service, error) {
	nc, err := b.Connect("service")
	if err != nil {
		return nil, err
	}
	b.extra = append(b.extra, nc)
	s := &Service{cfg: cfg, log: engine.Logger(cfg.Log), places: make(chan struct{}, maxCallers)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.micro, err = micro.AddService(nc, micro.Config{
		Name: serviceName, Version: cfg.Version, Description: "flows of API calls",
	})
	if err != nil {
		return nil, fmt.Errorf("add the NATS service: %w", err)
	}
	for _, e := range s.endpoints() {
		if err := s.add(apiPrefix, e); err != nil {
			return nil, err
		}
	}
	for _, e := range append(s.adminEndpoints(), cfg.Admin...) {
		if err := s.add(adminPrefix, e); err != nil {
			return nil, err
		}
	}
	return s, nc.Flush()
}

// Close stops taking requests and ends the callers that wait.
func (s *Service) Close() {
	_ = s.micro.Stop()
	s.stop()
	s.wg.Wait()
}

// add registers an endpoint. The library calls one handler after another, so
// each request is handed to a goroutine, within bounds.
func (s *Service) add(prefix string, e Endpoint) error {
	group := s.micro.AddGroup(prefix).AddGroup(e.Group)
	return group.AddEndpoint(e.Name, micro.HandlerFunc(func(r micro.Request) {
		select {
		case s.places <- struct{}{}:
		default:
			_ = r.Error("429", "busy: too many callers wait; try again in a moment", nil)
			return
		}
		s.wg.Go(func() {
			defer func() { <-s.places }()
			s.answer(r, e)
		})
	}))
}

func (s *Service) answer(r micro.Request, e Endpoint) {
	out, err := e.Handle(s.ctx, r.Data())
	if err != nil {
		code, message := errorCode(err)
		if err := r.Error(code, message, nil); err != nil {
			s.log.Debug("an answer did not reach its caller", engine.LogErr, err)
		}
		return
	}
	data, ok := out.(json.RawMessage)
	if !ok {
		if data, err = json.Marshal(out); err != nil {
			_ = r.Error("500", "the answer cannot be encoded", nil)
			return
		}
	}
	if len(data) > maxPayload-4096 {
		_ = r.Error("413", fmt.Sprintf("the answer has %d bytes, more than a message can carry", len(data)), nil)
		return
	}
	if err := r.Respond(data); err != nil {
		s.log.Debug("an answer did not reach its caller", engine.LogErr, err)
	}
}

// errorCodes are the kinds of error as the service's error codes.
var errorCodes = []struct {
	kind error
	code string
}{
	{engine.ErrInvalid, "400"}, {engine.ErrDenied, "403"}, {engine.ErrNotFound, "404"},
	{engine.ErrConflict, "409"}, {engine.ErrUnavailable, "503"},
}

func errorCode(err error) (code, message string) {
	message = err.Error()
	for _, k := range errorCodes {
		if errors.Is(err, k.kind) {
			return k.code, trimKind(message, k.kind)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return "503", "the node did not answer in time"
	}
	return "500", message
}

// trimKind takes the kind's own word off a message: the code says it.
func trimKind(message string, kind error) string {
	prefix := kind.Error() + ": "
	if len(message) > len(prefix) && message[:len(prefix)] == prefix {
		return message[len(prefix):]
	}
	return message
}

// kindOf is the error kind of a service's error code.
func kindOf(code string) error {
	for _, k := range errorCodes {
		if k.code == code {
			return k.kind
		}
	}
	if code == "429" {
		return engine.ErrUnavailable
	}
	return errors.New("the node failed")
}

// decode reads a request's payload, strictly: a mistyped key is refused. No
// payload is an empty object.
func decode(data []byte, into any) error {
	if len(data) == 0 {
		return nil
	}
	if err := strictJSON(data, into); err != nil {
		return fmt.Errorf("%w: the request is not as expected: %w", engine.ErrInvalid, err)
	}
	return nil
}
