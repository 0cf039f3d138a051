package metadata

import (
	"context"

	"github.com/qarion/qarion/engine"
)

// Tasks returns a part of a run's tasks, by their ids: what the tables know of
// each, without its attempts one by one.
func (t *Tables) Tasks(ctx context.Context, run engine.RunID, f engine.TaskFilter) (*engine.TaskPage, error) {
	where, args := "execution_id = ? AND item_index = 0", []any{string(run)}
	if f.After != "" {
		where, args = where+" AND task_id > ?", append(args, string(f.After))
	}
	if f.Status != "" {
		where, args = where+" AND status = ?", append(args, string(f.Status))
	}
	page := &engine.TaskPage{Tasks: []engine.TaskDoc{}}
	sql := "SELECT task_id, status, attempts, start_time, end_time, COALESCE(duration_ms, 0), COALESCE(error_message, '') FROM xt_task_executions WHERE " +
		where + " ORDER BY task_id LIMIT ?"
	err := t.db.list(ctx, sql, append(args, int64(f.Limit)+1), func(scan func(...any) error) error {
		var d engine.TaskDoc
		var start, end stamp
		if err := scan(&d.TaskID, &d.Status, &d.Attempts, &start, &end, &d.DurationMS, &d.Reason); err != nil {
			return err
		}
		d.StartTime, d.EndTime = string(start), string(end)
		if len(page.Tasks) == f.Limit {
			page.More = true
			return nil
		}
		page.Tasks = append(page.Tasks, d)
		return nil
	})
	if err != nil {
		return nil, t.unavailable(err)
	}
	return page, nil
}
