package metadata

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/qarion/qarion/engine"
)

// Runs returns the ids of the runs that a filter chooses, newest first.
func (t *Tables) Runs(ctx context.Context, f engine.RunFilter) ([]engine.RunID, error) {
	where, args := "1 = 1", []any{}
	add := func(condition string, value any) {
		where += " AND " + condition
		args = append(args, value)
	}
	if f.Flow != "" {
		add("flow_id = ?", string(f.Flow))
	}
	if f.Status != "" {
		add("status = ?", string(f.Status))
		if f.Status != engine.Success {
			where += " AND status <> 'success'" // they have an index of their own
		}
	}
	if !f.Since.IsZero() {
		add("execution_id >= ?", string(engine.FirstRunID(f.Since)))
	}
	if f.Before != "" {
		add("execution_id < ?", string(f.Before))
	}
	return t.ids(ctx, "SELECT execution_id FROM xt_flow_executions WHERE "+where+" ORDER BY execution_id DESC LIMIT ?",
		append(args, int64(engine.ListLimit(f.Limit)))...)
}

// RunsEnding returns the runs whose id ends so, at most two of them. The ending
// is of the characters that ids have.
func (t *Tables) RunsEnding(ctx context.Context, ending string) ([]engine.RunID, error) {
	return t.ids(ctx, "SELECT execution_id FROM xt_flow_executions WHERE execution_id LIKE ? LIMIT 2", "%"+ending)
}

func (t *Tables) ids(ctx context.Context, sql string, args ...any) (ids []engine.RunID, err error) {
	err = t.db.list(ctx, sql, args, func(scan func(...any) error) error {
		var id string
		if err := scan(&id); err != nil {
			return err
		}
		ids = append(ids, engine.RunID(id))
		return nil
	})
	return ids, t.unavailable(err)
}

// OperationFilter chooses operations. A zero field chooses all.
type OperationFilter struct {
	Flow   engine.FlowID
	Task   engine.TaskID
	Run    engine.RunID
	Status string
	Since  time.Time
	Before int64 // ledger_pos: the page before
	Limit  int   // at most so many, the newest
}

// Bounds of a list of operations.
const (
	DefaultOperationLimit = 100
	MaxOperationLimit     = 1000
)

// PlacedOperation is an operation with its place.
type PlacedOperation struct {
	LedgerPos int64
	engine.Operation
}

const operationFields = "ledger_pos, operation_id, operation_type, COALESCE(operation_subtype, ''), execution_id, flow_id, task_id, item_index, attempt, batch_id, status, success, superseded, start_time, end_time, duration_ms, COALESCE(error_message, ''), operation_details, worker"

// Operations returns the newest operations that a filter chooses, oldest first.
func (t *Tables) Operations(ctx context.Context, f OperationFilter) ([]PlacedOperation, error) {
	where, args := "1 = 1", []any{}
	add := func(condition string, value any) {
		where += " AND " + condition
		args = append(args, value)
	}
	if f.Run != "" {
		add("execution_id = ?", string(f.Run))
	}
	if f.Flow != "" {
		add("flow_id = ?", string(f.Flow))
	}
	if f.Task != "" {
		add("task_id = ?", string(f.Task))
	}
	if f.Status != "" {
		add("status = ?", f.Status)
		if f.Status != string(engine.OutcomeSuccess) {
			where += " AND NOT success" // the index of those that failed is small
		}
	}
	if !f.Since.IsZero() {
		add("start_time >= ?", t.db.moment(f.Since))
	}
	if f.Before > 0 {
		add("ledger_pos < ?", f.Before)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = DefaultOperationLimit
	}
	var out []PlacedOperation
	sql := "SELECT " + operationFields + " FROM xt_operation_logs WHERE " + where + " ORDER BY start_time DESC, ledger_pos DESC LIMIT ?"
	err := t.db.list(ctx, sql, append(args, int64(min(limit, MaxOperationLimit))), func(scan func(...any) error) error {
		var op PlacedOperation
		var start, end stamp
		var details string
		err := scan(&op.LedgerPos, &op.OperationID, &op.OperationType, &op.OperationSubtype, &op.ExecutionID, &op.FlowID, &op.TaskID, &op.ItemIndex,
			&op.Attempt, &op.BatchID, &op.Status, &op.Success, &op.Superseded, &start, &end, &op.DurationMS, &op.ErrorMessage, &details, &op.Worker)
		op.StartTime, op.EndTime, op.Details = string(start), string(end), []byte(details)
		out = append(out, op)
		return err
	})
	slices.Reverse(out)
	return out, t.unavailable(err)
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
