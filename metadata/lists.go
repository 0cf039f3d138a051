package metadata

import (
	"context"

	"github.com/qarion/qarion/engine"
)

// Runs returns the ids of the runs that a filter chooses, newest first.
func (t *Tables) Runs(ctx context.Context, f engine.RunFilter) ([]engine.RunID, error) {
	sql, args := runsQuery(f)
	return t.ids(ctx, sql, args...)
}

// runsQuery is the filter as SQL, with ? for the arguments.
func runsQuery(f engine.RunFilter) (sql string, args []any) {
	where := "1 = 1"
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
	if f.Trigger != "" {
		add("(trigger_type = ? OR trigger_id = ?)", f.Trigger)
		args = append(args, f.Trigger)
	}
	if !f.Since.IsZero() {
		add("execution_id >= ?", string(engine.FirstRunID(f.Since)))
	}
	if f.Before != "" {
		add("execution_id < ?", string(f.Before))
	}
	return "SELECT execution_id FROM xt_flow_executions WHERE " + where + " ORDER BY execution_id DESC LIMIT ?", append(args, int64(engine.ListLimit(f.Limit)))
}

// RunsEnding returns the runs whose id ends so, at most two of them. The ending
// is of the characters that ids have.
func (t *Tables) RunsEnding(ctx context.Context, ending string) ([]engine.RunID, error) {
	sql, args := endingQuery(ending)
	return t.ids(ctx, sql, args...)
}

func endingQuery(ending string) (sql string, args []any) {
	where, args := "execution_id LIKE ?", []any{"%" + ending}
	if n := len(ending); n >= endingIndexed {
		where, args = where+" AND substr(execution_id, 23) = ?", append(args, ending[n-endingIndexed:])
	}
	return "SELECT execution_id FROM xt_flow_executions WHERE " + where + " LIMIT 2", args
}

// endingIndexed is how many of the last characters of an id have an index.
const endingIndexed = 4

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
