package metadata

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/qarion/qarion/engine"
)

// write implements database. The row of the position is locked first: of two
// that believe they write, one waits and then finds its changes written.
func (p *postgresDB) write(ctx context.Context, fill func(engine.Pos) *batch) error {
	return p.transaction(ctx, func(tx pgx.Tx) error {
		at, err := lockPosition(ctx, tx)
		if err != nil {
			return err
		}
		b := fill(at)
		if b.upTo == at {
			return nil
		}
		if err := putRows(ctx, tx, b); err != nil {
			return err
		}
		return moveTo(ctx, tx, b.upTo)
	})
}

func putRows(ctx context.Context, tx pgx.Tx, b *batch) error {
	for _, put := range []func(context.Context, pgx.Tx, *batch) error{putFlows, putTasks, putOperations} {
		if err := put(ctx, tx, b); err != nil {
			return err // what comes behind it in the transaction would only say that it has failed
		}
	}
	return nil
}

func lockPosition(ctx context.Context, tx pgx.Tx) (at engine.Pos, err error) {
	err = tx.QueryRow(ctx, "SELECT seq, n FROM qarion_metadata WHERE id = 1 FOR UPDATE").Scan(&at.Seq, &at.N)
	return at, err
}

func moveTo(ctx context.Context, tx pgx.Tx, at engine.Pos) error {
	_, err := tx.Exec(ctx, "UPDATE qarion_metadata SET seq = $1, n = $2 WHERE id = 1", int64(at.Seq), int64(at.N))
	return err
}

// setPosition implements database.
func (p *postgresDB) setPosition(ctx context.Context, at engine.Pos) error {
	return p.transaction(ctx, func(tx pgx.Tx) error {
		now, err := lockPosition(ctx, tx)
		if err != nil || !now.Before(at) {
			return err
		}
		return moveTo(ctx, tx, at)
	})
}

// columns are the values of many rows, column by column: one statement takes
// them all.
type columns struct {
	casts []string
	args  []any
}

func column[T any](c *columns, n int, cast string, of func(i int) T) {
	values := make([]T, n)
	for i := range values {
		values[i] = of(i)
	}
	c.casts = append(c.casts, "$"+strconv.Itoa(len(c.args)+1)+"::"+cast+"[]")
	c.args = append(c.args, values)
}

func (c *columns) insert(ctx context.Context, tx pgx.Tx, table, names, conflict string) error {
	_, err := tx.Exec(ctx, "INSERT INTO "+table+" ("+names+") SELECT * FROM unnest("+strings.Join(c.casts, ", ")+")"+conflict, c.args...)
	return err
}

func putFlows(ctx context.Context, tx pgx.Tx, b *batch) error {
	n := len(b.flows)
	if n == 0 {
		return nil
	}
	doc := func(i int) *engine.RunDoc { return b.flows[i].Doc }
	var c columns
	column(&c, n, "text", func(i int) string { return string(doc(i).RunID) })
	column(&c, n, "text", func(i int) string { return string(doc(i).FlowID) })
	column(&c, n, "text", func(i int) string { return doc(i).FlowVersion })
	column(&c, n, "bigint", func(i int) int64 { return doc(i).BatchID })
	column(&c, n, "timestamptz", func(i int) *time.Time { return parsed(doc(i).ExecutionDate) })
	column(&c, n, "text", func(i int) string { return doc(i).TriggerType })
	column(&c, n, "text", func(i int) *string { return optional(clean(doc(i).TriggerID)) })
	column(&c, n, "timestamptz", func(i int) *time.Time { return parsed(doc(i).StartTime) })
	column(&c, n, "timestamptz", func(i int) *time.Time { return parsed(doc(i).EndTime) })
	column(&c, n, "text", func(i int) string { return string(doc(i).Status) })
	column(&c, n, "boolean", func(i int) *bool { return succeeded(string(doc(i).Status), doc(i).Final) })
	column(&c, n, "text", func(i int) *string { return optional(clean(errorText(doc(i)))) })
	column(&c, n, "jsonb", func(i int) *string { return optional(jsonb(variablesText(doc(i)))) })
	column(&c, n, "bigint", func(i int) *int64 {
		if rows := doc(i).Rows; rows != 0 {
			return &rows
		}
		return nil
	})
	return c.insert(ctx, tx, tableFlows, flowColumns, flowConflict)
}

func putTasks(ctx context.Context, tx pgx.Tx, b *batch) error {
	n := len(b.tasks)
	if n == 0 {
		return nil
	}
	if err := learnStarts(ctx, tx, b); err != nil {
		return err
	}
	var c columns
	column(&c, n, "text", func(i int) string { return string(b.tasks[i].run) })
	column(&c, n, "text", func(i int) string { return string(b.tasks[i].flow) })
	column(&c, n, "text", func(i int) string { return string(b.tasks[i].task) })
	column(&c, n, "bigint", func(i int) int64 { return int64(b.tasks[i].item) })
	column(&c, n, "bigint", func(i int) int64 { return b.tasks[i].batch })
	column(&c, n, "text", func(i int) string { return b.tasks[i].status })
	column(&c, n, "boolean", func(i int) *bool { return succeeded(b.tasks[i].status, b.tasks[i].final) })
	column(&c, n, "bigint", func(i int) int64 { return int64(b.tasks[i].attempts) })
	column(&c, n, "timestamptz", func(i int) *time.Time { return moment(b.tasks[i].start) })
	column(&c, n, "timestamptz", func(i int) *time.Time { return moment(b.tasks[i].end) })
	column(&c, n, "double precision", func(i int) *float64 {
		if b.tasks[i].end == 0 {
			return nil
		}
		took := b.tasks[i].duration()
		return &took
	})
	column(&c, n, "text", func(i int) *string { return optional(clean(b.tasks[i].err)) })
	return c.insert(ctx, tx, tableTasks, taskColumns, taskConflict)
}

// learnStarts asks the table when the first attempts of tasks began of which
// later ones came.
func learnStarts(ctx context.Context, tx pgx.Tx, b *batch) error {
	var runs, tasks []string
	var items []int64
	var at []*taskRow
	for i := range b.tasks {
		if t := &b.tasks[i]; t.needsStart() {
			runs, tasks, items, at = append(runs, string(t.run)), append(tasks, string(t.task)), append(items, int64(t.item)), append(at, t)
		}
	}
	if len(at) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT asked.n, known.start_time FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS asked (run, task, item, n)
		LEFT JOIN xt_task_executions AS known ON known.execution_id = asked.run AND known.task_id = asked.task AND known.item_index = asked.item`, runs, tasks, items)
	if err != nil {
		return err
	}
	var n int
	var began *time.Time
	_, err = pgx.ForEachRow(rows, []any{&n, &began}, func() error {
		var since engine.Micros
		if began != nil {
			since = engine.At(*began)
		}
		at[n-1].startedAt(since)
		return nil
	})
	return err
}

// putOperations copies the rows: what is behind the position has none yet.
func putOperations(ctx context.Context, tx pgx.Tx, b *batch) error {
	if len(b.ops) == 0 {
		return nil
	}
	names := strings.Split(opColumns, ", ")
	row := make([]any, 0, len(names))
	_, err := tx.CopyFrom(ctx, pgx.Identifier{tableOps}, names, pgx.CopyFromSlice(len(b.ops), func(i int) ([]any, error) {
		c := b.ops[i]
		rec := c.Attempt
		return append(row[:0], ledgerPos(c.Pos), rec.OperationID(), rec.Type, optional(rec.Subtype), string(rec.Run), string(rec.Flow), string(rec.Task), int64(rec.Item),
			int64(rec.Attempt), rec.BatchID, string(rec.Outcome), rec.Outcome.Good(), c.Superseded,
			moment(rec.Start), moment(rec.End), rec.End.Since(rec.Start), optional(clean(rec.Error)), jsonb(clean(detailsText(rec))), rec.Worker), nil
	}))
	return err
}

// moment is a time in whole milliseconds, as the documents have it.
func moment(m engine.Micros) *time.Time {
	if m == 0 {
		return nil
	}
	t := m.Time().Truncate(time.Millisecond)
	return &t
}

func parsed(text string) *time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil // "" is none, and the engine writes no other
	}
	return &t
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func succeeded(status string, final bool) *bool {
	if !final {
		return nil
	}
	good := status == string(engine.Success)
	return &good
}
