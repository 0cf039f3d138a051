package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/qarion/qarion/engine"
)

// sqlitePair is the tables of a file, attached to those of a file in a folder
// of its own.
type sqlitePair struct {
	*sqliteDB // of the rows that the ledger makes
	dir       string
	found     string
	both      *sql.DB // nil while rows are being made
}

// openSQLite begins a comparison with the tables of a file.
func (c *Comparison) openSQLite(ctx context.Context, file string) error {
	if _, err := os.Stat(file); err != nil {
		return err
	}
	if err := c.readSQLite(ctx, file); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "qarion-doctor-")
	if err != nil {
		return err
	}
	p := &sqlitePair{sqliteDB: newSQLite(filepath.Join(dir, DefaultFile)), dir: dir, found: file}
	if _, err := p.prepare(ctx, "doctor", true); err != nil {
		return errors.Join(err, p.close())
	}
	c.pair = p
	return nil
}

// readSQLite reads how far the tables of a file are.
func (c *Comparison) readSQLite(ctx context.Context, file string) error {
	db, err := sql.Open("sqlite", newSQLite(file).dsn("?mode=ro&_pragma=busy_timeout(5000)"))
	if err != nil {
		return err
	}
	defer db.Close()
	var sound string // also of the indexes: lists are read by them
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&sound); err != nil || sound != "ok" {
		return fmt.Errorf("%w: the database is damaged: %w", engine.ErrDamaged, errors.Join(err, errors.New(sound)))
	}
	err = db.QueryRowContext(ctx, "SELECT schema, installation, seq, n FROM qarion_metadata WHERE id = 1").Scan(&c.schema, &c.Installation, &c.Position.Seq, &c.Position.N)
	if errors.Is(err, sql.ErrNoRows) || err != nil && strings.Contains(err.Error(), "no such table") {
		return nil // nothing was written yet
	}
	return err
}

func (p *sqlitePair) put(ctx context.Context, b *batch) error {
	return p.transaction(ctx, func() error { return p.sqliteDB.put(ctx, b) })
}

func (p *sqlitePair) sides() (made, found string) { return "main", "found" }

func (p *sqlitePair) list(ctx context.Context, text string, args []any, row func(scan func(...any) error) error) error {
	if p.both == nil {
		if err := p.attach(ctx); err != nil {
			return err
		}
	}
	return eachRow(ctx, p.both, text, args, row)
}

func (p *sqlitePair) attach(ctx context.Context) error {
	if err := p.shut(); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", p.dsn(""))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "ATTACH ? AS found", newSQLite(p.found).dsn("?mode=ro")); err != nil {
		return errors.Join(err, db.Close())
	}
	p.both = db
	return nil
}

func (p *sqlitePair) close() error {
	err := p.sqliteDB.close()
	if p.both != nil {
		err = errors.Join(err, p.both.Close())
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}
