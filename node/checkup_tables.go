package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/metadata"
)

const tablesPart = "tables"

// openTables begins to hold the SQL tables against the ledger.
func (c *checkup) openTables(ctx context.Context) (err error) {
	database := c.cfg.Tables
	if c.Serving || database == TablesOff {
		return nil
	}
	if !metadata.IsURL(database) {
		database = filepath.Join(c.cfg.DataDir, metadata.DefaultFile)
		c.tablesFile = database
	}
	c.tables, err = metadata.Compare(ctx, database)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrNotExist):
		c.add(Finding{Severity: Note, Part: tablesPart, File: c.tablesFile, Problem: "there are no SQL tables: a node makes them from the ledger"})
	case errors.Is(err, metadata.ErrOlder):
		c.add(Finding{Severity: Note, Part: tablesPart, File: c.tablesFile, Problem: "an older qarion has made them; a node brings them up to date, and then they can be held against the ledger"})
	default:
		c.noTables(err)
	}
	return nil
}

// noTables says why the tables cannot be compared, or not to their end.
func (c *checkup) noTables(err error) {
	f := Finding{Severity: Broken, Part: tablesPart, File: c.tablesFile, Problem: "they cannot be held against the ledger: " + trimKind(err), Hint: "a node goes on without them, and catches up when they can be written"}
	if errors.Is(err, engine.ErrDamaged) {
		f.Severity, f.Problem, f.Hint = Damaged, trimKind(err), rebuildHint
	}
	c.add(f)
	if c.tables != nil {
		_ = c.tables.Close()
		c.tables = nil
	}
}

const rebuildHint = "let them be made again from the ledger: qarion doctor --rebuild-metadata"

// compareTables holds their rows against what the ledger makes of them.
func (c *checkup) compareTables(ctx context.Context) error {
	ledger := c.streams[bus.StreamLedger]
	if c.tables == nil || ledger == nil || c.ledgerDamaged() {
		return nil
	}
	if theirs := c.tables.Installation; theirs != "" && c.installation != "" && theirs != c.installation {
		c.add(Finding{Severity: Broken, Part: tablesPart, File: c.tablesFile, Problem: fmt.Sprintf("they follow the ledger of another installation, %s; this is %s", theirs, c.installation), Hint: "give this one a database or schema of its own: [metadata] database"})
		return nil
	}
	if at := c.tables.Position.Seq; at > c.ledgerLast {
		c.add(Finding{Severity: Damaged, Part: tablesPart, File: c.tablesFile, Problem: fmt.Sprintf("they are ahead of the ledger, as after a restore: they have entry %d, the ledger ends with %d", at, c.ledgerLast), Hint: rebuildHint})
		return nil
	}
	keep := cmp.Or(c.cfg.Keep.Runs, metadata.DefaultRetention)
	rows, list, err := c.tables.Differences(ctx, c.cfg.Now().Add(10*time.Minute-keep), c.started == nil, maxMismatches)
	if err != nil {
		if ctx.Err() == nil {
			c.noTables(err)
		}
		return ctx.Err()
	}
	c.Compared += rows
	for _, d := range list {
		c.add(Finding{Severity: Damaged, Part: tablesPart, File: c.tablesFile, Problem: fmt.Sprintf("%s, run %s: %s", d.Table, d.Run, d.Reason), Hint: rebuildHint})
	}
	return nil
}

func (c *checkup) ledgerDamaged() bool {
	return slices.ContainsFunc(c.Findings, func(f Finding) bool {
		return f.Severity == Damaged && (f.Part == bus.StreamLedger || f.Part == bus.StreamCheckpoints)
	})
}

// RebuildTables deletes all rows of the SQL tables of a data directory that
// nobody uses, and makes them again from the ledger.
func RebuildTables(ctx context.Context, cfg Config) error {
	if cfg.Tables == TablesOff {
		return fmt.Errorf("%w: [metadata] database is \"off\": there are no tables", engine.ErrInvalid)
	}
	lock, err := bus.LockDir(cfg.DataDir, bus.LockConfig{Holder: cfg.Holder, Wait: cfg.Wait})
	if err != nil {
		return err
	}
	err = clearTables(ctx, cfg)
	if err := errors.Join(err, lock.Close()); err != nil {
		return err
	}
	cfg.OnlyOwn = true
	n, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(n.Engine.Shown(ctx, engine.TablesView), n.Close())
}

func clearTables(ctx context.Context, cfg Config) error {
	if !metadata.IsURL(cfg.Tables) { // a file that is damaged cannot be cleared
		for _, end := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(filepath.Join(cfg.DataDir, metadata.DefaultFile) + end); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return nil
	}
	t, err := metadata.Open(metadata.Config{Database: cfg.Tables})
	if err != nil {
		return err
	}
	return errors.Join(t.Rebuild(ctx), t.Close())
}
