package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/metadata"
)

// ListLog is the payload of log.list: which operations of the log.
type ListLog struct {
	Flow   string `json:"flow,omitempty"`
	Task   string `json:"task,omitempty"`
	Run    string `json:"run_id,omitempty"` // or "last", or an ending of at least 4 characters
	Status string `json:"status,omitempty"`
	Since  string `json:"since,omitempty"`  // RFC 3339, or an age such as 2h or 30d
	Before string `json:"before,omitempty"` // what "first" of a page said: the page before it
	After  string `json:"after,omitempty"`  // what "last" of a page said: the page after it
	Oldest bool   `json:"oldest,omitempty"` // begin with the oldest; otherwise with the newest
	Limit  int    `json:"limit,omitempty"`  // default 100, at most 1000
}

// LogList is the answer of log.list: a page of operations, oldest first. It is
// shorter than was asked for when more do not fit into an answer.
type LogList struct {
	Operations []engine.Operation `json:"operations"`
	First      string             `json:"first,omitempty"`
	Last       string             `json:"last,omitempty"`
	More       bool               `json:"more"` // there are others in the direction that was asked for
}

// logList answers log.list from the tables. ErrUnavailable: there are none, or
// they do not show everything yet; the events have the log, too.
func (n *Node) logList(ctx context.Context, data []byte) (any, error) {
	var in ListLog
	if err := bus.Decode(data, &in); err != nil {
		return nil, err
	}
	f, err := in.filter(ctx, n)
	if err != nil {
		return nil, err
	}
	if !n.current(ctx) {
		return nil, fmt.Errorf("%w: the SQL tables do not show the operation log now", engine.ErrUnavailable)
	}
	page, err := n.tables.Operations(ctx, f)
	if err != nil {
		return nil, err
	}
	return &LogList{page.Operations, page.First.String(), page.Last.String(), page.More}, nil
}

// OperationStatuses are the states that an operation of the log may have.
var OperationStatuses = [...]engine.Outcome{
	engine.OutcomeSuccess, engine.OutcomeAgain, engine.OutcomeFailed, engine.OutcomeRetry, engine.OutcomeDeferred, engine.OutcomeInterrupted, engine.OutcomeCancelled, engine.OutcomeSkipped,
}

// CheckOperationStatus refuses what no operation has as its status; "" is any.
// ErrInvalid.
func CheckOperationStatus(status string) error {
	if status == "" || slices.Contains(OperationStatuses[:], engine.Outcome(status)) {
		return nil
	}
	known := make([]string, len(OperationStatuses))
	for i, s := range OperationStatuses {
		known[i] = string(s)
	}
	err := fmt.Errorf("%w: status is %s, want one of %s", engine.ErrInvalid, value.Quoted(status), strings.Join(known, ", "))
	if near := engine.Nearest(status, known); near != "" {
		err = fmt.Errorf("%w (did you mean %q?)", err, near)
	}
	return err
}

func (in *ListLog) filter(ctx context.Context, n *Node) (f metadata.OperationFilter, err error) {
	if in.Flow != "" {
		if f.Flow, err = engine.ParseFlowID(in.Flow); err != nil {
			return f, err
		}
	}
	if in.Task != "" {
		if f.Task, err = engine.ParseTaskID(in.Task); err != nil {
			return f, err
		}
	}
	if in.Run != "" {
		if f.Run, err = engine.FindRun(ctx, n.history(), in.Run); err != nil {
			return f, err
		}
	}
	if in.Since != "" {
		if f.Since, err = engine.ParseSince(in.Since, time.Now()); err != nil {
			return f, err
		}
	}
	if err = CheckOperationStatus(in.Status); err != nil {
		return f, err
	}
	if f.Before, err = metadata.ParsePlace(in.Before); err != nil {
		return f, err
	}
	if f.After, err = metadata.ParsePlace(in.After); err != nil {
		return f, err
	}
	switch {
	case in.Before != "" && (in.After != "" || in.Oldest):
		return f, fmt.Errorf("%w: before excludes after and oldest", engine.ErrInvalid)
	case in.Limit < 0 || in.Limit > metadata.MaxOperationLimit:
		return f, fmt.Errorf("%w: limit is %d, want 1 to %d", engine.ErrInvalid, in.Limit, metadata.MaxOperationLimit)
	}
	f.Status, f.Oldest, f.Limit = in.Status, in.Oldest, in.Limit
	return f, nil
}
