package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// Comparison holds the rows of a SQLite file against what the ledger makes of
// them, row by row. The file is only read.
type Comparison struct {
	Position engine.Pos // how far the tables are

	dir    string // of the rows that the ledger makes
	file   string
	tables *Tables
	batch  []engine.Change
}

// compareBatch is how many changes are written at a time.
const compareBatch = 1000

// Compare begins a comparison. os.ErrNotExist: there is no such file.
func Compare(ctx context.Context, file string) (c *Comparison, err error) {
	if _, err := os.Stat(file); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", (&sqliteDB{path: file}).dsn("?mode=ro&_pragma=busy_timeout(5000)"))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var sound string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&sound); err != nil || sound != "ok" {
		return nil, fmt.Errorf("%w: the database is damaged: %w", engine.ErrDamaged, errors.Join(err, errors.New(sound)))
	}
	c = &Comparison{file: file}
	err = db.QueryRowContext(ctx, "SELECT seq, n FROM qarion_metadata WHERE id = 1").Scan(&c.Position.Seq, &c.Position.N)
	if errors.Is(err, sql.ErrNoRows) || err != nil && strings.Contains(err.Error(), "no such table") {
		err = nil // nothing was written yet
	}
	if err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "qarion-doctor-"); err != nil {
		return nil, err
	}
	c.tables, err = Open(Config{Database: filepath.Join(c.dir, DefaultFile), Installation: func(context.Context) (string, error) { return "doctor", nil }})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	return c, nil
}

// Expect takes a change of the ledger, in order.
func (c *Comparison) Expect(ctx context.Context, change *engine.Change) error {
	if c.Position.Before(change.Pos) {
		return nil // it is not there yet
	}
	if c.batch = append(c.batch, *change); len(c.batch) < compareBatch {
		return nil
	}
	return c.flush(ctx)
}

func (c *Comparison) flush(ctx context.Context) error {
	if len(c.batch) == 0 {
		return nil
	}
	err := c.tables.Project(ctx, c.batch)
	clear(c.batch)
	c.batch = c.batch[:0]
	return err
}

// Difference is rows of a run that are not what the ledger says.
type Difference struct {
	Table  string
	Run    engine.RunID
	Reason string
}

// Differences compares. Runs that ended before a time may have been deleted.
// At most limit are told.
func (c *Comparison) Differences(ctx context.Context, before time.Time, limit int) (rows int, out []Difference, err error) {
	if err := c.flush(ctx); err != nil {
		return 0, nil, err
	}
	if _, err := c.tables.Position(ctx); err != nil { // makes them, where there was nothing to write
		return 0, nil, err
	}
	if err := c.tables.Mark(ctx, c.Position); err != nil {
		return 0, nil, err
	}
	if err := c.tables.Close(); err != nil {
		return 0, nil, err
	}
	c.tables = nil
	db, err := sql.Open("sqlite", (&sqliteDB{path: filepath.Join(c.dir, DefaultFile)}).dsn(""))
	if err != nil {
		return 0, nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "ATTACH ? AS theirs", (&sqliteDB{path: c.file}).dsn("?mode=ro")); err != nil {
		return 0, nil, err
	}
	var version int
	err = db.QueryRowContext(ctx, "SELECT schema FROM theirs.qarion_metadata WHERE id = 1").Scan(&version)
	if err != nil || version != len(migrations) {
		return 0, nil, nil // nothing yet, or of an older program: the next start brings it up to date
	}
	for _, t := range []struct{ name, columns string }{{tableFlows, flowColumns}, {tableTasks, taskColumns}, {tableOps, opColumns}} {
		n := 0
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM main."+t.name).Scan(&n); err != nil {
			return 0, nil, err
		}
		rows += n
		for _, side := range []struct{ have, not, reason string }{
			{"main", "theirs", "a row is missing, or is not what the ledger says"},
			{"theirs", "main", "a row is there, or says something, that the ledger does not know"},
		} {
			list, err := db.QueryContext(ctx, fmt.Sprintf(`SELECT DISTINCT execution_id FROM (
				SELECT %[1]s FROM %[2]s.%[4]s EXCEPT SELECT %[1]s FROM %[3]s.%[4]s)
				WHERE execution_id IN (SELECT execution_id FROM main.xt_flow_executions WHERE end_time IS NULL OR end_time > ?)
				ORDER BY execution_id LIMIT ?`, t.columns, side.have, side.not, t.name), engine.FormatTime(before), limit)
			if err != nil {
				return 0, nil, err
			}
			for list.Next() {
				d := Difference{Table: t.name, Reason: side.reason}
				if err := list.Scan(&d.Run); err != nil {
					return 0, nil, errors.Join(err, list.Close())
				}
				out = append(out, d)
			}
			if err := errors.Join(list.Err(), list.Close()); err != nil {
				return 0, nil, err
			}
		}
	}
	return rows, out, nil
}

// Close deletes what the comparison has made.
func (c *Comparison) Close() error {
	var err error
	if c.tables != nil {
		err = c.tables.Close()
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}
