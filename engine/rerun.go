package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

// Words for RerunRequest.From; any other is the id of a task.
const (
	RerunFailed = "failed" // what did not succeed, and what follows it
	RerunAll    = "all"    // everything
)

// RerunRequest asks for a new run that repeats a closed one.
type RerunRequest struct {
	Run       RunID
	From      string // RerunFailed, RerunAll or a task, which is done again too; "" for RerunFailed
	Newest    bool   // with the newest version of the flow; false: with the one that the run had
	Variables []byte // JSON object: they replace those of the run; nil for none
	NewKeys   bool   // no request sends the idempotency key of the run that is repeated
	DryRun    bool   // only say what would be done
	Trace     *TraceContext
	End       chan *RunDoc // as in StartRequest
}

// Rerunning is what a rerun does: its run, and what that keeps. Lists of tasks
// are in the order of the flow, and name at most MaxRunDocTasks.
type Rerunning struct {
	Run     *RunDoc  `json:"run,omitempty"`      // absent of one that is only tried
	RerunOf RunID    `json:"rerun_of"`           // the run that it repeats
	Flow    FlowID   `json:"flow_id"`            //
	Version string   `json:"flow_version"`       // that it runs with
	Kept    int      `json:"kept"`               // tasks that are not done again
	Tasks   []TaskID `json:"tasks"`              // that may be done
	GoOn    []TaskID `json:"go_on,omitempty"`    // of them, those that go on with the page or poll at which they failed
	SameKey []TaskID `json:"same_key,omitempty"` // of them, those whose requests send the idempotency key that they sent before
	Changed []TaskID `json:"changed,omitempty"`  // that are kept and stand otherwise in the flow now
	Newer   string   `json:"newer,omitempty"`    // there is a newer version of the flow than the one that it runs with
}

// SeedStore has what closed runs have left for others to go on with.
type SeedStore interface {
	// Seeds returns what Seeds.Encode wrote of a run; nil when it has left
	// nothing. ErrNotFound: there is no such run.
	Seeds(ctx context.Context, id RunID) ([]byte, error)
}

// WithVariables is the variables of a run with some of them replaced. Both are
// JSON objects or nil. ErrInvalid.
func WithVariables(of, replaced []byte) ([]byte, error) {
	if len(replaced) == 0 {
		return of, nil
	}
	vars, err := parseVariables(of)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	news, err := parseVariables(replaced)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrInvalid, strings.Replace(err.Error(), "payload", "variables", 1))
	}
	all := new(value.Map)
	for _, from := range []*value.Map{vars, news} {
		for name, v := range from.All() {
			all.Set(name, v)
		}
	}
	return value.JSON(all)
}
