package metadata

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresPair is the tables of a PostgreSQL database, with temporary tables
// beside them. It is one transaction, which is rolled back: nothing stays, also
// where a pooler hands out another connection with each transaction.
type postgresPair struct {
	*postgresDB
	tx    pgx.Tx
	found string // the schema of the tables
}

// openPostgres begins a comparison with the tables of a database.
func (c *Comparison) openPostgres(ctx context.Context, url string) (err error) {
	db, err := newPostgres(url)
	if err != nil {
		return err
	}
	p := &postgresPair{postgresDB: db}
	c.pair = p
	defer func() {
		if err != nil {
			_ = p.close()
		}
	}()
	if err := p.open(ctx); err != nil {
		return c.failed(err)
	}
	if p.tx, err = p.conn.Begin(ctx); err != nil {
		return c.failed(err)
	}
	var there bool
	if err := p.tx.QueryRow(ctx, "SELECT to_regclass('qarion_metadata') IS NOT NULL").Scan(&there); err != nil {
		return c.failed(err)
	}
	if !there {
		return fmt.Errorf("the tables: %w", os.ErrNotExist)
	}
	err = p.tx.QueryRow(ctx, `SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
		WHERE pg_class.oid = to_regclass('qarion_metadata')`).Scan(&p.found)
	if err != nil {
		return c.failed(err)
	}
	err = p.tx.QueryRow(ctx, "SELECT schema, installation, seq, n FROM qarion_metadata WHERE id = 1").Scan(&c.schema, &c.Installation, &c.Position.Seq, &c.Position.N)
	if errors.Is(err, pgx.ErrNoRows) {
		c.schema, err = 0, nil
	}
	if err != nil {
		return c.failed(err)
	}
	for _, step := range append([]string{"SET LOCAL search_path TO pg_temp"}, migrations...) {
		if _, err := p.tx.Exec(ctx, postgresWords.sql(step)); err != nil {
			return c.failed(err)
		}
	}
	return nil
}

func (p *postgresPair) put(ctx context.Context, b *batch) error { return putRows(ctx, p.tx, b) }

func (p *postgresPair) sides() (made, found string) { return "pg_temp", p.found }

func (p *postgresPair) list(ctx context.Context, text string, args []any, row func(scan func(...any) error) error) error {
	rows, err := p.tx.Query(ctx, numbered(text), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (p *postgresPair) close() error {
	if p.tx != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.tx.Rollback(ctx)
	}
	return p.postgresDB.close()
}

// problem implements pair.
func (p *postgresPair) problem(err error) error {
	return fmt.Errorf("%s: %w", redactURL(p.config.ConnString()), p.postgresDB.problem(err))
}
