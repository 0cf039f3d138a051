package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestPermissions_FollowTheTable asks every endpoint through both subjects
// without a login: what may be asked is what the engine's table says.
func TestPermissions_FollowTheTable(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	for _, e := range engine.Endpoints() {
		for prefix, open := range map[string]bool{"qarion.api.": !e.Login, "qarion.admin.": false} {
			subject := prefix + e.Name
			t.Run(subject, func(t *testing.T) {
				t.Parallel()
				if open {
					_, err := n.stranger(t).Request(subject, []byte(`{"nothing":1}`), 5*time.Second)
					if err != nil && !errors.Is(err, nats.ErrNoResponders) { // this node does not serve all of them
						t.Errorf("asked without a login: %v", err)
					}
					return
				}
				// Of a group with open endpoints the others are not there below
				// qarion.api: nobody answers.
				if strings.HasPrefix(prefix, "qarion.api.") && groupIsOpen(e.Group()) {
					if _, err := n.stranger(t).Request(subject, nil, 5*time.Second); !errors.Is(err, nats.ErrNoResponders) {
						t.Errorf("asked without a login: %v", err)
					}
					return
				}
				if !refused(t, n, func(nc *nats.Conn) { _ = nc.PublishRequest(subject, nats.NewInbox(), []byte(`{}`)) }) {
					t.Error("it may be asked without a login")
				}
			})
		}
	}
}

func groupIsOpen(group string) bool {
	return slices.ContainsFunc(engine.Endpoints(), func(e engine.Endpoint) bool { return e.Group() == group && !e.Login })
}

// TestCall_AsksWhoMay holds every role against every endpoint.
func TestCall_AsksWhoMay(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	may := map[engine.Role][]engine.Role{
		engine.RoleViewer:   {engine.RoleViewer},
		engine.RoleTrigger:  {engine.RoleTrigger},
		engine.RoleOperator: {engine.RoleViewer, engine.RoleTrigger, engine.RoleOperator},
		engine.RoleAdmin:    {engine.RoleViewer, engine.RoleTrigger, engine.RoleOperator, engine.RoleAdmin},
		"":                  nil,
	}
	served := n.service.Names()
	for role, can := range may {
		for _, login := range []bool{true, false} {
			who := engine.Caller{Name: "token ci", Role: role, Login: login}
			for _, e := range engine.Endpoints() {
				_, err := n.service.Call(t.Context(), who, e.Name, []byte(`{"nothing":1}`))
				if !slices.Contains(served, e.Name) {
					if !errors.Is(err, engine.ErrNotFound) {
						t.Errorf("%s, which is not served: %v", e.Name, err)
					}
					continue
				}
				allowed := slices.Contains(can, e.Role) && (login || !e.Login)
				if denied := errors.Is(err, engine.ErrDenied); denied == allowed {
					t.Errorf("%q, login %v, asks %s: %v", role, login, e.Name, err)
				}
			}
		}
	}
	_, err := n.service.Call(t.Context(), engine.Caller{Name: "token ci", Role: engine.RoleViewer, Login: true}, "run.cancel", nil)
	if want := "denied: operator needed: you are viewer (token ci)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := n.service.Call(t.Context(), engine.Anonymous(""), "run.gte", nil); err == nil || err.Error() != `not found: no endpoint "run.gte" (did you mean "run.get"?)` {
		t.Errorf("a slip of the pen: %v", err)
	}
}

func TestCall_ATriggerStartsItsFlowsOnly(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	put(t, n.Node, flow("orders", nil, "a"))
	put(t, n.Node, flow("refunds", nil, "a"))
	who := engine.Caller{Name: "token shop", Role: engine.RoleTrigger, Flows: []engine.FlowID{"orders"}, Login: true}
	if _, err := n.service.Call(t.Context(), who, "run.start", []byte(`{"flow":"orders","wait":true}`)); err != nil {
		t.Errorf("its own flow: %v", err)
	}
	_, err := n.service.Call(t.Context(), who, "run.start", []byte(`{"flow":"refunds"}`))
	if want := "denied: you may start orders, not refunds (token shop)"; err == nil || err.Error() != want {
		t.Errorf("another flow: %v", err)
	}
	who.Flows = nil
	if _, err := n.service.Call(t.Context(), who, "run.start", []byte(`{"flow":"refunds"}`)); err != nil {
		t.Errorf("one of all flows: %v", err)
	}
}

func TestCall_WaitingEndsWithTheCallerAndWithTheNode(t *testing.T) {
	types, open := gate()
	defer open()
	n := startFull(t, testkit.NodeConfig{Types: types})
	put(t, n.Node, flow("slow", nil, "a"))
	run := askRun(t, n.stranger(t), "run.start", `{"flow":"slow"}`).RunID
	wait := fmt.Appendf(nil, `{"run_id":%q,"wait":600}`, run)

	ctx, leave := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer leave()
	if _, err := n.service.Call(ctx, engine.Anonymous(""), "run.get", wait); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller left, and heard: %v", err)
	}
	const callers = 1024 // all places are free again, and one caller is too many
	heard := make(chan error, callers+1)
	for range callers + 1 {
		go func() {
			_, err := n.service.Call(context.Background(), engine.Anonymous(""), "run.get", wait)
			heard <- err
		}()
	}
	if err := <-heard; !errors.Is(err, engine.ErrBusy) {
		t.Fatalf("the first to hear anything: %v", err)
	}
	n.service.Close()
	for range callers {
		if err := <-heard; err == nil || engine.ErrorLine(err) != "the node is stopping" {
			t.Fatalf("who waited heard: %v", err)
		}
	}
	if _, err := n.service.Call(t.Context(), engine.Anonymous(""), "run.list", nil); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("after the end: %v", err)
	}
}

func TestCall_SaysWhereALargeValueLies(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{
		Do: func(context.Context, *engine.TaskInput) engine.TaskOutput {
			return engine.TaskOutput{Large: &engine.LargeValue{Data: []byte(big), ContentType: "text/plain"}}
		},
	}}})
	put(t, n.Node, flow("f", nil, "a"))
	n.finish(t, "f")
	answer, err := n.service.Call(t.Context(), engine.Anonymous(""), "xcom.get", []byte("last a"))
	if err != nil || answer.Object == nil || answer.Object.Size != int64(len(big)) {
		t.Errorf("got %+v, %v", answer, err)
	}
}
