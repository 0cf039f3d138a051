package metadata

import (
	"context"
	"fmt"
	"time"

	"github.com/qarion/qarion/engine"
)

// Comparison holds the rows of the tables against what the ledger makes of
// them, row by row. The tables are only read.
type Comparison struct {
	Position     engine.Pos // how far the tables are
	Installation string     // whose ledger they follow; "": nothing was written yet

	schema int // of the tables
	pair   pair
	batch  *batch
	queue  []engine.Change
}

// compareBatch is how many changes are written at a time.
const compareBatch = 1000

// pair is the tables as they are, and beside them those that the ledger makes,
// which are gone when it is closed. One connection sees both.
type pair interface {
	// put adds rows to those that the ledger makes.
	put(ctx context.Context, b *batch) error
	// list runs a statement on both sides, with ? for its arguments.
	list(ctx context.Context, sql string, args []any, row func(scan func(...any) error) error) error
	// sides are the schemas of both.
	sides() (made, found string)
	moment(at time.Time) any
	// problem puts an error into words.
	problem(err error) error
	close() error
}

// Compare begins a comparison with the tables of a database, named as in
// Config. os.ErrNotExist: there are none. ErrDamaged: they cannot be read.
// ErrUnavailable: the database cannot be asked. ErrConflict: they are a newer
// program's. ErrOlder: they are an older one's.
func Compare(ctx context.Context, database string) (*Comparison, error) {
	c := &Comparison{batch: newBatch()}
	var err error
	if IsURL(database) {
		err = c.openPostgres(ctx, database)
	} else {
		err = c.openSQLite(ctx, database)
	}
	if err != nil {
		return nil, err
	}
	if c.schema > 0 {
		if _, err := pending(int64(c.schema), false); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Expect takes a change of the ledger, in order.
func (c *Comparison) Expect(ctx context.Context, change *engine.Change) error {
	if c.Position.Before(change.Pos) {
		return nil // it is not there yet
	}
	if c.queue = append(c.queue, *change); len(c.queue) < compareBatch {
		return nil
	}
	return c.flush(ctx)
}

func (c *Comparison) flush(ctx context.Context) error {
	if len(c.queue) == 0 {
		return nil
	}
	c.batch.fill(c.queue, engine.Pos{})
	err := c.pair.put(ctx, c.batch)
	c.batch.reset()
	clear(c.queue)
	c.queue = c.queue[:0]
	return c.failed(err)
}

func (c *Comparison) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", engine.ErrUnavailable, c.pair.problem(err))
}

// Difference is rows of a run that are not what the ledger says.
type Difference struct {
	Table  string
	Run    engine.RunID
	Reason string
}

// Differences compares. Runs that ended before a time may have been deleted.
// whole says that the changes began with the ledger's first entry: then the
// tables know no run that was not among them. Of each kind at most limit are
// told.
func (c *Comparison) Differences(ctx context.Context, before time.Time, whole bool, limit int) (rows int, out []Difference, err error) {
	if err := c.flush(ctx); err != nil || c.schema == 0 {
		return 0, nil, err
	}
	made, found := c.pair.sides()
	kept := "execution_id IN (SELECT execution_id FROM " + made + "." + tableFlows + " WHERE end_time IS NULL OR end_time > ?)"
	theirs := kept
	if whole {
		theirs = "execution_id NOT IN (SELECT execution_id FROM " + made + "." + tableFlows + " WHERE end_time <= ?)"
	}
	for _, t := range []struct{ name, columns string }{{tableFlows, flowColumns}, {tableTasks, taskColumns}, {tableOps, opColumns}} {
		n := 0
		err := c.pair.list(ctx, "SELECT count(*) FROM "+made+"."+t.name, nil, func(scan func(...any) error) error { return scan(&n) })
		if err != nil {
			return 0, nil, c.failed(err)
		}
		rows += n
		for _, side := range []struct{ have, not, of, reason string }{
			{made, found, kept, "a row is missing, or is not what the ledger says"},
			{found, made, theirs, "a row is there, or says something, that the ledger does not know"},
		} {
			text := fmt.Sprintf("SELECT DISTINCT execution_id FROM (SELECT %[1]s FROM %[2]s.%[4]s EXCEPT SELECT %[1]s FROM %[3]s.%[4]s) AS odd WHERE %[5]s ORDER BY execution_id LIMIT ?",
				t.columns, side.have, side.not, t.name, side.of)
			err := c.pair.list(ctx, text, []any{c.pair.moment(before), int64(limit)}, func(scan func(...any) error) error {
				d := Difference{Table: t.name, Reason: side.reason}
				if err := scan(&d.Run); err != nil {
					return err
				}
				out = append(out, d)
				return nil
			})
			if err != nil {
				return 0, nil, c.failed(err)
			}
		}
	}
	return rows, out, nil
}

// Close deletes what the comparison has made.
func (c *Comparison) Close() error { return c.pair.close() }
