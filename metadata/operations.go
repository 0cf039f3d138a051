package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// OperationFilter chooses operations. A zero field chooses all.
type OperationFilter struct {
	Flow   engine.FlowID
	Task   engine.TaskID
	Run    engine.RunID
	Status string
	Since  time.Time // began at or after
	Before Place     // the page before
	After  Place     // the page after
	Oldest bool      // the oldest of them, instead of the newest
	Limit  int       // at most so many; 0 means DefaultOperationLimit
}

// Bounds of a list of operations.
const (
	DefaultOperationLimit = 100
	MaxOperationLimit     = 1000
)

// Place is where an operation stands among all: by its start, then by its place
// in the ledger. The zero Place is none.
type Place struct {
	Start time.Time
	Pos   int64 // ledger_pos
}

// ParsePlace reads what String wrote; "" is no place. ErrInvalid.
func ParsePlace(text string) (Place, error) {
	if text == "" {
		return Place{}, nil
	}
	start, pos, _ := strings.Cut(text, "/")
	at, err := time.Parse(time.RFC3339, start)
	n, err2 := strconv.ParseInt(pos, 10, 64)
	if errors.Join(err, err2) != nil || n <= 0 {
		return Place{}, fmt.Errorf("%w: %.60q is no place in a list of operations: take the first or last of a page", engine.ErrInvalid, text)
	}
	return Place{at, n}, nil
}

// String writes a place for ParsePlace.
func (p Place) String() string {
	if p.Pos == 0 {
		return ""
	}
	return engine.FormatTime(p.Start) + "/" + strconv.FormatInt(p.Pos, 10)
}

// OperationPage is a page of operations, oldest first.
type OperationPage struct {
	Operations  []engine.Operation
	First, Last Place
	More        bool // there are others in the direction that was asked for
}

const operationFields = "ledger_pos, operation_id, operation_type, COALESCE(operation_subtype, ''), execution_id, flow_id, task_id, item_index, attempt, batch_id, status, success, superseded, start_time, end_time, duration_ms, COALESCE(error_message, ''), operation_details, worker"

// errFull ends the reading of a list when the page is full.
var errFull = errors.New("the page is full")

// Operations returns the operations that a filter chooses: as many of them as a
// page holds.
func (t *Tables) Operations(ctx context.Context, f OperationFilter) (*OperationPage, error) {
	sql, args, limit := f.query(t.db.moment)
	page, bytes := &OperationPage{Operations: []engine.Operation{}}, 0
	err := t.db.list(ctx, sql, args, func(scan func(...any) error) error {
		op, pos, err := scanOperation(scan)
		if err != nil {
			return err
		}
		bytes += len(op.Details) + len(op.ErrorMessage) + operationBytes
		if len(page.Operations) == limit || bytes > partBytes && len(page.Operations) > 0 {
			page.More = true
			return errFull
		}
		page.Operations = append(page.Operations, op)
		at, err := time.Parse(time.RFC3339, op.StartTime)
		if page.Last = (Place{at, pos}); page.First.Pos == 0 {
			page.First = page.Last
		}
		return err
	})
	if err != nil && !errors.Is(err, errFull) {
		return nil, t.unavailable(err)
	}
	if !f.forwards() {
		slices.Reverse(page.Operations)
		page.First, page.Last = page.Last, page.First
	}
	return page, nil
}

// query is the filter as SQL, with ? for the arguments; it asks for one more than
// a page holds.
func (f *OperationFilter) query(moment func(time.Time) any) (sql string, args []any, limit int) {
	if limit = f.Limit; limit <= 0 {
		limit = DefaultOperationLimit
	}
	limit = min(limit, MaxOperationLimit)
	order := "start_time DESC, ledger_pos DESC"
	if f.forwards() {
		order = "start_time, ledger_pos"
	}
	where, args := f.conditions(moment)
	return "SELECT " + operationFields + " FROM xt_operation_logs WHERE " + where + " ORDER BY " + order + " LIMIT ?", append(args, int64(limit)+1), limit
}

// operationBytes is about what an operation takes in an answer beside its
// details and message.
const operationBytes = 512

func (f *OperationFilter) forwards() bool { return f.Oldest || f.After.Pos > 0 }

// conditions are the filter as SQL, with ? for the arguments.
func (f *OperationFilter) conditions(moment func(time.Time) any) (where string, args []any) {
	where = "1 = 1"
	add := func(condition string, values ...any) {
		where += " AND " + condition
		args = append(args, values...)
	}
	switch {
	case f.Run != "":
		add("execution_id = ?", string(f.Run))
		if f.Flow != "" {
			add("flow_id || '' = ?", string(f.Flow)) // not by the index of flows: a run has few operations, a flow many
		}
	case f.Flow != "":
		add("flow_id = ?", string(f.Flow))
	}
	if f.Task != "" {
		add("task_id = ?", string(f.Task))
	}
	if f.Status != "" {
		add("status = ?", f.Status)
		if !engine.Outcome(f.Status).Good() {
			add("NOT success") // the index of those that failed is small
		}
	}
	if !f.Since.IsZero() {
		add("start_time >= ?", moment(f.Since))
	}
	if f.Before.Pos > 0 {
		add("(start_time, ledger_pos) < (?, ?)", moment(f.Before.Start), f.Before.Pos)
	}
	if f.After.Pos > 0 {
		add("(start_time, ledger_pos) > (?, ?)", moment(f.After.Start), f.After.Pos)
	}
	return where, args
}

func scanOperation(scan func(...any) error) (op engine.Operation, pos int64, err error) {
	var start, end stamp
	var details string
	err = scan(&pos, &op.OperationID, &op.OperationType, &op.OperationSubtype, &op.ExecutionID, &op.FlowID, &op.TaskID, &op.ItemIndex,
		&op.Attempt, &op.BatchID, &op.Status, &op.Success, &op.Superseded, &start, &end, &op.DurationMS, &op.ErrorMessage, &details, &op.Worker)
	op.StartTime, op.EndTime, op.Details = string(start), string(end), json.RawMessage(details)
	op.Turn = engine.TurnOf(op.OperationID)
	return op, pos, err
}

// stamp reads a time of either kind of database as documents have it.
type stamp string

// Scan implements sql.Scanner.
func (s *stamp) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*s = ""
	case string:
		*s = stamp(v)
	case time.Time:
		*s = stamp(engine.FormatTime(v))
	default:
		return fmt.Errorf("a time came as %T", v)
	}
	return nil
}
