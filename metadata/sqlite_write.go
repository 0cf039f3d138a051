package metadata

import (
	"context"
	"database/sql/driver"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// write implements database.
func (s *sqliteDB) write(ctx context.Context, fill func(engine.Pos) *batch) error {
	return s.transaction(ctx, func() error {
		at, err := s.position(ctx)
		if err != nil {
			return err
		}
		b := fill(at)
		if err := s.put(ctx, b); err != nil || b.upTo == at {
			return err
		}
		return s.moveTo(ctx, b.upTo)
	})
}

func (s *sqliteDB) position(ctx context.Context) (at engine.Pos, err error) {
	row, err := s.row(ctx, "SELECT seq, n FROM qarion_metadata WHERE id = 1")
	if err != nil || row == nil {
		return at, err
	}
	return engine.Pos{Seq: uint64(row[0].(int64)), N: int(row[1].(int64))}, nil
}

func (s *sqliteDB) moveTo(ctx context.Context, at engine.Pos) error {
	return s.exec(ctx, "UPDATE qarion_metadata SET seq = ?, n = ? WHERE id = 1", int64(at.Seq), int64(at.N))
}

// setPosition implements database. The ledger may forget what stands before a
// position, so this one write reaches the disk.
func (s *sqliteDB) setPosition(ctx context.Context, at engine.Pos) error {
	err := s.transaction(ctx, func() error {
		now, err := s.position(ctx)
		if err != nil || !now.Before(at) {
			return err
		}
		return s.moveTo(ctx, at)
	})
	if err == nil {
		err = s.exec(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
	}
	return err
}

func (s *sqliteDB) put(ctx context.Context, b *batch) error {
	defer s.boxes.empty()
	text := s.boxes.text
	for _, c := range b.flows {
		d := c.Doc
		s.flows.add(text(string(d.RunID)), text(string(d.FlowID)), d.FlowVersion, d.BatchID, orNull(text, d.ExecutionDate), text(d.TriggerType), orNull(text, d.TriggerID),
			text(d.StartTime), orNull(text, d.EndTime), text(string(d.Status)), success(string(d.Status), d.Final), orNull(once, clean(errorText(d))),
			orNull(once, clean(variablesText(d))), rows(d))
	}
	if err := s.flows.flush(); err != nil {
		return err
	}
	for i := range b.tasks {
		if err := s.putTask(ctx, &b.tasks[i]); err != nil {
			return err
		}
	}
	if err := s.tasks.flush(); err != nil {
		return err
	}
	for _, c := range b.ops {
		s.putOperation(c)
	}
	return s.ops.flush()
}

func (s *sqliteDB) putTask(ctx context.Context, t *taskRow) error {
	if t.needsStart() {
		row, err := s.row(ctx, "SELECT start_time FROM xt_task_executions WHERE execution_id = ? AND task_id = ? AND item_index = ?",
			string(t.run), string(t.task), int64(t.item))
		if err != nil {
			return err
		}
		began := engine.Micros(0)
		if row != nil {
			if text, ok := row[0].(string); ok {
				at, err := time.Parse(time.RFC3339, text)
				if err != nil {
					return err
				}
				began = engine.At(at)
			}
		}
		t.startedAt(began)
	}
	var took any
	if t.end != 0 {
		took = t.duration()
	}
	text, at := s.boxes.text, s.boxes.time
	s.tasks.add(text(string(t.run)), text(string(t.flow)), text(string(t.task)), int64(t.item), t.batch, text(t.status), success(t.status, t.final), int64(t.attempts),
		at(t.start), at(t.end), took, orNull(once, clean(t.err)))
	return nil
}

func (s *sqliteDB) putOperation(c *engine.Change) {
	rec, text, at := c.Attempt, s.boxes.text, s.boxes.time
	s.ops.add(ledgerPos(c.Pos), rec.OperationID(), text(rec.Type), orNull(text, rec.Subtype), text(string(rec.Run)), text(string(rec.Flow)), text(string(rec.Task)), int64(rec.Item),
		int64(rec.Attempt), rec.BatchID, text(string(rec.Outcome)), rec.Outcome.Good(), c.Superseded,
		at(rec.Start), at(rec.End), rec.End.Since(rec.Start), orNull(once, clean(rec.Error)), clean(detailsText(rec)), text(rec.Worker))
}

// rows is how many rows a run has read and written, or NULL where no task did.
func rows(d *engine.RunDoc) any {
	if d.Rows == 0 {
		return nil
	}
	return d.Rows
}

// boxes are the values of one turn as the driver takes them. A run's id stands
// in a handful of rows, its flow, states and times in many: each is made once.
type boxes struct {
	texts map[string]any
	times map[engine.Micros]any
}

// maxBoxes bounds what is kept for a turn: emptying a map costs as much as it
// has ever held.
const maxBoxes = 4096

// text is a text that is likely to come again in the same turn.
func (b *boxes) text(s string) any {
	v, ok := b.texts[s]
	if !ok {
		v = s
		if len(b.texts) < maxBoxes {
			if b.texts == nil {
				b.texts = map[string]any{}
			}
			b.texts[s] = v
		}
	}
	return v
}

// time is a time as the tables hold it, or NULL for none.
func (b *boxes) time(m engine.Micros) any {
	if m == 0 {
		return nil
	}
	v, ok := b.times[m]
	if !ok {
		v = m.Format()
		if len(b.times) < maxBoxes {
			if b.times == nil {
				b.times = map[engine.Micros]any{}
			}
			b.times[m] = v
		}
	}
	return v
}

// empty lets go of the values of a turn.
func (b *boxes) empty() {
	clear(b.texts)
	clear(b.times)
}

// once is a text that hardly comes twice.
func once(s string) any { return s }

// orNull is a text as box makes it, or NULL for none.
func orNull(box func(string) any, s string) any {
	if s == "" {
		return nil
	}
	return box(s)
}

// manyRows is how many rows one statement takes: the more, the fewer turns, up
// to where binding them is what costs.
const manyRows = 32

// inserts collects rows of a table and writes them by the dozen.
type inserts struct {
	columns   int
	one, many driver.Stmt
	args      []driver.NamedValue
	n         int // values in args
	err       error
}

func (s *sqliteDB) openInserts(ctx context.Context) (err error) {
	for _, in := range []struct {
		at                       **inserts
		table, columns, conflict string
	}{
		{&s.flows, tableFlows, flowColumns, flowConflict},
		{&s.tasks, tableTasks, taskColumns, taskConflict},
		{&s.ops, tableOps, opColumns, opConflict},
	} {
		if *in.at != nil {
			continue
		}
		n := strings.Count(in.columns, ",") + 1
		row := "(" + strings.Repeat("?, ", n-1) + "?)"
		made := &inserts{columns: n, args: make([]driver.NamedValue, n*manyRows)}
		for i := range made.args {
			made.args[i].Ordinal = i + 1
		}
		head := "INSERT OR ROLLBACK INTO " + in.table + " (" + in.columns + ") VALUES " + row
		if made.one, err = s.conn.Prepare(head + in.conflict); err != nil {
			return err
		}
		if made.many, err = s.conn.Prepare(head + strings.Repeat(", "+row, manyRows-1) + in.conflict); err != nil {
			return err
		}
		*in.at = made
	}
	return nil
}

// add takes a row; the values must be those that a driver takes.
func (in *inserts) add(row ...any) {
	for i, v := range row {
		in.args[in.n+i].Value = v
	}
	if in.n += in.columns; in.n == len(in.args) {
		in.write(in.many, in.args)
		in.n = 0
	}
}

// flush writes what is left and returns the first error since the last flush.
func (in *inserts) flush() error {
	for at := 0; at < in.n; at += in.columns {
		for i := range in.columns {
			in.args[i].Value = in.args[at+i].Value
		}
		in.write(in.one, in.args[:in.columns])
	}
	for i := range in.args {
		in.args[i].Value = nil
	}
	err := in.err
	in.n, in.err = 0, nil
	return err
}

func (in *inserts) write(st driver.Stmt, args []driver.NamedValue) {
	if in.err == nil {
		_, in.err = st.(driver.StmtExecContext).ExecContext(context.Background(), args)
	}
}

func (in *inserts) close() {
	if in != nil {
		_ = in.one.Close()
		_ = in.many.Close()
	}
}
