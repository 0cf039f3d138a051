package bus_test

import (
	"errors"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestRunsView_ShowsARunThatLasts: the bucket has its document while it is
// open, although nothing else happens, and its end after that. From its first
// moment the service knows it.
func TestRunsView_ShowsARunThatLasts(t *testing.T) {
	types, open := gate()
	defer open()
	n := startFull(t, testkit.NodeConfig{Types: types})
	put(t, n.Node, flow("slow", nil, "a"))
	nc := n.stranger(t)
	doc := askRun(t, nc, "run.start", `{"flow":"slow"}`)
	if got := askRun(t, nc, "run.get", "last"); got.RunID != doc.RunID || got.Final {
		t.Errorf("run.get answers %s, final %v", got.RunID, got.Final)
	}
	var shown *engine.RunDoc
	waitFor(t, func() bool {
		var err error
		if shown, err = n.runs.Get(t.Context(), doc.RunID); err != nil && !errors.Is(err, engine.ErrNotFound) {
			t.Fatal(err)
		}
		return shown != nil
	})
	if shown.Status != engine.Running {
		t.Errorf("the bucket shows it as %s", shown.Status)
	}
	open()
	askRun(t, nc, "run.get", `{"run_id":"last","wait":10}`)
	if shown, err := n.runs.Get(t.Context(), doc.RunID); err != nil || shown.Status != engine.Success {
		t.Errorf("at its end the bucket shows %+v, %v", shown, err)
	}
}
