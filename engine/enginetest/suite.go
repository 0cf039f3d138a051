// Package enginetest is the suite that every task type passes: what the engine
// relies on when it loads flows and makes attempts, whatever the type does.
package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// Suite describes a task type by examples. All of the properties are those of
// tasks of that type.
type Suite struct {
	New   func(t *testing.T) (kind engine.TaskType, closed func()) // closed frees what it holds
	Good  *value.Map                                               // an attempt succeeds
	Fails *value.Map                                               // an attempt fails
	Bad   *value.Map                                               // refused when a flow is loaded

	// Hangs makes an attempt that does not end by itself; Started receives when
	// one has come so far that its effect may have happened.
	Hangs   *value.Map
	Started <-chan struct{}

	// Undone says that an attempt which is cut off has changed nothing, and knows
	// it: a transaction.
	Undone bool

	// Effects counts what attempts have done to the world, such as requests
	// that arrived.
	Effects func() int

	// Secret is a text that is in the task's credentials or answers and must
	// not be shown; "" if there is none.
	Secret string
}

// patience is how long an attempt may take to notice that it is over.
const patience = 10 * time.Second

// errOver ends attempts.
var errOver = errors.New("the run is ending")

// Run holds a task type against the engine's contract.
func Run(t *testing.T, s Suite) {
	t.Run("refuses what it cannot run", s.refuses)
	t.Run("changes nothing when it prepares", s.prepares)
	t.Run("succeeds with a value", s.succeeds)
	t.Run("serves many attempts at once", s.concurrent)
	t.Run("fails with data", s.fails)
	t.Run("announces before it acts", s.announces)
	t.Run("ends when cancelled", s.cancelled)
	t.Run("does nothing when cancelled before", s.cancelledBefore)
	t.Run("leaves nothing behind", s.leavesNothing)
}

func (s *Suite) flow(props *value.Map) *engine.Flow {
	return &engine.Flow{ID: "conformance", Tasks: []engine.Task{{ID: "task", Properties: props}}}
}

// attempt makes one attempt of a task with the given properties.
func (s *Suite) attempt(t *testing.T, ctx context.Context, props *value.Map, sending engine.Sending) engine.TaskOutput {
	t.Helper()
	kind, closed := s.New(t)
	defer closed()
	flow := s.flow(props)
	prog, problems := kind.Prepare(flow, &flow.Tasks[0])
	if engine.Refused(problems) != nil {
		t.Fatalf("the task is refused: %+v", problems)
	}
	return prog.Execute(ctx, input(flow, sending))
}

func input(flow *engine.Flow, sending engine.Sending) *engine.TaskInput {
	in := engine.NewTaskInput(flow, &flow.Tasks[0], nil, nil)
	in.Key.Run, in.Installation = "01M84BFBV1N8Q6D2T4XW9B7C5E", "conformance"
	if sending != nil {
		in.OnSending(sending)
	}
	return in
}

func (s *Suite) refuses(t *testing.T) {
	kind, closed := s.New(t)
	defer closed()
	if kind.Name() == "" {
		t.Error("the type has no name")
	}
	flow := s.flow(s.Bad)
	prog, problems := kind.Prepare(flow, &flow.Tasks[0])
	if engine.Refused(problems) == nil {
		t.Fatalf("a bad task gets %d problems and no error", len(problems))
	}
	if prog != nil {
		if out := prog.Execute(t.Context(), input(flow, nil)); out.Err == nil || out.Err.Retryable {
			t.Errorf("a bad task can be tried: %+v", out)
		}
	}
	for _, p := range problems {
		oneLine(t, p.Message)
		if p.Code == "" || len(p.Path) == 0 {
			t.Errorf("a problem without code or place: %+v", p)
		}
	}
}

func (s *Suite) prepares(t *testing.T) {
	kind, closed := s.New(t)
	defer closed()
	flow := s.flow(s.Good)
	before, _, err := flow.Encode()
	if err != nil {
		t.Fatal(err)
	}
	first, _ := kind.Prepare(flow, &flow.Tasks[0])
	second, _ := kind.Prepare(flow, &flow.Tasks[0])
	if first == nil || second == nil || !reflect.DeepEqual(first.Needs(), second.Needs()) {
		t.Fatal("a good task is not prepared the same way twice")
	}
	if after, _, _ := flow.Encode(); string(after) != string(before) {
		t.Errorf("preparing changed the flow:\n%s\n%s", before, after)
	}
}

func (s *Suite) succeeds(t *testing.T) {
	out := s.attempt(t, t.Context(), s.Good, nil)
	if out.Err != nil {
		t.Fatalf("the attempt failed: %+v", out.Err)
	}
	if out.Value != nil && !json.Valid(out.Value) {
		t.Errorf("the value is not JSON: %q", out.Value)
	}
	if out.Value != nil && out.Large != nil {
		t.Error("there are two values")
	}
	s.hidden(t, &out)
}

func (s *Suite) concurrent(t *testing.T) {
	kind, closed := s.New(t)
	defer closed()
	flow := s.flow(s.Good)
	prog, _ := kind.Prepare(flow, &flow.Tasks[0])
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if out := prog.Execute(t.Context(), input(flow, nil)); out.Err != nil {
				t.Errorf("one of many attempts failed: %+v", out.Err)
			}
		})
	}
	all.Wait()
}

func (s *Suite) fails(t *testing.T) {
	out := s.attempt(t, t.Context(), s.Fails, nil)
	if out.Err == nil {
		t.Fatal("the attempt succeeded")
	}
	oneLine(t, out.Err.Message)
	if out.Err.Class == "" || out.Err.Unknown || len(out.Err.Message) > engine.MaxErrorText {
		t.Errorf("got %+v", out.Err)
	}
	if out.Value != nil || out.Large != nil {
		t.Error("a failed attempt leaves a value")
	}
	s.hidden(t, &out)
}

func (s *Suite) announces(t *testing.T) {
	before, announced := s.Effects(), 0
	s.attempt(t, t.Context(), s.Good, func(context.Context, func() engine.Details) error {
		announced++
		if s.Effects() != before {
			t.Error("the effect came before the announcement")
		}
		return nil
	})
	if announced != 1 {
		t.Errorf("announced %d times", announced)
	}
	before = s.Effects()
	out := s.attempt(t, t.Context(), s.Good, func(context.Context, func() engine.Details) error { return errors.New("the ledger is full") })
	if out.Err == nil || out.Err.Unknown || s.Effects() != before {
		t.Errorf("the announcement was refused, and %d effects followed: %+v", s.Effects()-before, out.Err)
	}
}

func (s *Suite) cancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended := make(chan engine.TaskOutput, 1)
	go func() { ended <- s.attempt(t, ctx, s.Hangs, nil) }()
	select {
	case <-s.Started:
	case out := <-ended:
		t.Fatalf("the attempt ended by itself: %+v", out.Err)
	}
	cancel(errOver)
	select {
	case out := <-ended:
		if out.Err == nil || out.Err.Unknown == s.Undone || out.Err.Retryable {
			t.Errorf("cut off in the middle: %+v, want an unknown outcome", out.Err)
		}
	case <-time.After(patience):
		t.Fatal("the attempt does not end")
	}
}

func (s *Suite) cancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errOver)
	before := s.Effects()
	out := s.attempt(t, ctx, s.Good, nil)
	if out.Err == nil || out.Err.Unknown || s.Effects() != before {
		t.Errorf("got %+v and %d effects", out.Err, s.Effects()-before)
	}
}

// leavesNothing waits until the goroutines of attempts are gone.
func (s *Suite) leavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, props := range []*value.Map{s.Good, s.Fails, s.Good} {
		s.attempt(t, t.Context(), props, nil)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	over := time.After(patience)
	for runtime.NumGoroutine() > before {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
		}
	}
}

// hidden looks for the secret and for what does not fit a record.
func (s *Suite) hidden(t *testing.T, out *engine.TaskOutput) {
	t.Helper()
	details, err := json.Marshal(&out.Details)
	if err != nil {
		t.Fatal(err)
	}
	if len(details)+len(out.Value)+len(out.Response) > engine.MaxRecord {
		t.Errorf("the output is larger than a record: %d bytes of details", len(details))
	}
	shown := string(details)
	if out.Err != nil {
		shown += out.Err.Message
	}
	if s.Secret != "" && strings.Contains(shown, s.Secret) {
		t.Errorf("the secret is shown: %s", shown)
	}
}

// oneLine demands a message as the house writes them.
func oneLine(t *testing.T, message string) {
	t.Helper()
	first, _ := utf8.DecodeRuneInString(message)
	second, _ := utf8.DecodeRuneInString(strings.TrimPrefix(message, string(first)))
	switch {
	case message == "" || strings.ContainsAny(message, "\r\n") || !utf8.ValidString(message):
		t.Errorf("not one line: %q", message)
	case unicode.IsUpper(first) && !unicode.IsUpper(second), strings.HasSuffix(message, "."):
		t.Errorf("not in lower case, or with a full stop: %q", message)
	}
}
