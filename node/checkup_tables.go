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
	where := c.cfg.Tables
	if c.Serving || where == TablesOff {
		return nil
	}
	if metadata.IsURL(where) {
		c.add(Finding{Severity: Note, Part: tablesPart, Problem: "the SQL tables are in a database of their own, and are not held against the ledger here"})
		return nil
	}
	file := filepath.Join(c.cfg.DataDir, metadata.DefaultFile)
	c.tables, err = metadata.Compare(ctx, file)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrNotExist):
		c.add(Finding{Severity: Note, Part: tablesPart, File: file, Problem: "there are no SQL tables: a node makes them from the ledger"})
	default:
		c.add(Finding{Severity: Damaged, Part: tablesPart, File: file, Problem: trimKind(err), Hint: rebuildHint})
	}
	return nil
}

const rebuildHint = "let them be made again from the ledger: qarion doctor --rebuild-metadata"

// compareTables holds their rows against what the ledger makes of them.
func (c *checkup) compareTables(ctx context.Context) error {
	if c.tables == nil || c.streams[bus.StreamLedger] == nil || c.ledgerDamaged() {
		return nil
	}
	keep := cmp.Or(c.cfg.Keep.Runs, metadata.DefaultRetention)
	rows, list, err := c.tables.Differences(ctx, c.cfg.Now().Add(10*time.Minute-keep), maxMismatches)
	if err != nil {
		return fmt.Errorf("hold the SQL tables against the ledger: %w", err)
	}
	c.Compared += rows
	for _, d := range list {
		c.add(Finding{Severity: Damaged, Part: tablesPart, File: filepath.Join(c.cfg.DataDir, metadata.DefaultFile), Problem: fmt.Sprintf("%s, run %s: %s", d.Table, d.Run, d.Reason), Hint: rebuildHint})
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
