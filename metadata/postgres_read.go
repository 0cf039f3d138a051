package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/qarion/qarion/engine"
)

// readers opens the pool of connections that read, once; they connect when they
// are needed.
func (p *postgresDB) readers() (*pgxpool.Pool, error) {
	p.pooled.Lock()
	defer p.pooled.Unlock()
	if p.shared {
		return nil, errors.New("the connection is closed")
	}
	if p.pool != nil {
		return p.pool, nil
	}
	config, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, err
	}
	config.ConnConfig, config.MaxConns, config.MaxConnIdleTime = p.config.Copy(), maxQueries+maxReaders, time.Minute
	p.pool, err = pgxpool.NewWithConfig(context.Background(), config)
	return p.pool, err
}

// ask implements database. The transaction is read-only and its first statement
// is ours, so that the stranger's cannot change that; and the server takes one
// statement at a time. A role that reaches the server's files may not be lent
// to strangers at all.
func (p *postgresDB) ask(ctx context.Context, text string) (answer, error) {
	pool, err := p.readers()
	if err != nil {
		return nil, err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	a := &postgresAnswer{ctx: ctx, db: p, conn: conn}
	if a.tx, err = conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead}); err != nil {
		conn.Release()
		return nil, err
	}
	var mighty bool
	err = a.tx.QueryRow(ctx, `SELECT rolsuper OR pg_has_role(current_user, 'pg_read_server_files', 'USAGE') OR pg_has_role(current_user, 'pg_write_server_files', 'USAGE')
		OR pg_has_role(current_user, 'pg_execute_server_program', 'USAGE') FROM pg_roles WHERE rolname = current_user`).Scan(&mighty)
	if err == nil && mighty {
		err = fmt.Errorf("%w: the tables are written as %s, who may read the database server's files, and a query would too: use a role that may not", engine.ErrDenied, p.config.User)
	}
	if err == nil {
		a.rows, err = a.tx.Query(ctx, text, pgx.QueryExecModeDescribeExec, pgx.QueryResultFormats{pgx.TextFormatCode})
	}
	if err == nil {
		for _, f := range a.rows.FieldDescriptions() {
			a.names, a.types = append(a.names, f.Name), append(a.types, f.DataTypeOID)
		}
		if len(a.names) == 0 { // the error comes with the first row
			if a.rows.Next() || a.rows.Err() == nil {
				err = fmt.Errorf("%w: the statement has no rows to show", engine.ErrInvalid)
			} else {
				err = a.rows.Err()
			}
		}
	}
	if err != nil {
		err = p.refused(ctx, err)
		a.close()
		return nil, err
	}
	return a, nil
}

// refused tells a wrong statement from a database that cannot be read.
func (p *postgresDB) refused(ctx context.Context, err error) error {
	var e *pgconn.PgError
	if ctx.Err() != nil || !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Code == "25006": // read_only_sql_transaction
		return fmt.Errorf("%w: only reading is allowed here: %s", engine.ErrDenied, e.Message)
	case e.Code == "42501": // insufficient_privilege
		return fmt.Errorf("%w: %s", engine.ErrDenied, e.Message)
	case strings.HasPrefix(e.Code, "22"), strings.HasPrefix(e.Code, "25"), strings.HasPrefix(e.Code, "42"), strings.HasPrefix(e.Code, "0A"), strings.HasPrefix(e.Code, "21"), strings.HasPrefix(e.Code, "54"):
		return fmt.Errorf("%w: %s", engine.ErrInvalid, suggest(e.Message))
	}
	return err
}

// postgresAnswer is the rows of a stranger's query.
type postgresAnswer struct {
	ctx    context.Context // of the query: a cancelled one ends with its reason
	db     *postgresDB
	conn   *pgxpool.Conn
	tx     pgx.Tx
	rows   pgx.Rows
	names  []string
	types  []uint32
	values []any
}

func (a *postgresAnswer) columns() []string { return a.names }

func (a *postgresAnswer) next() ([]any, error) {
	if !a.rows.Next() {
		if err := a.rows.Err(); err != nil {
			if a.ctx.Err() != nil {
				return nil, fmt.Errorf("%w: the query took too long and was stopped; ask for less, or give it more time", engine.ErrInvalid)
			}
			return nil, a.db.refused(a.ctx, err)
		}
		return nil, io.EOF
	}
	a.values = a.values[:0]
	for i, raw := range a.rows.RawValues() {
		a.values = append(a.values, fromText(a.types[i], raw))
	}
	return a.values, nil
}

// fromText turns what the server writes into a value.
func fromText(kind uint32, raw []byte) any {
	if raw == nil {
		return nil
	}
	text := string(raw)
	switch kind {
	case pgtype.BoolOID:
		return text == "t"
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, pgtype.NumericOID, pgtype.Float4OID, pgtype.Float8OID:
		if json.Valid(raw) { // NaN and Infinity are not
			return json.RawMessage(text)
		}
	case pgtype.JSONOID, pgtype.JSONBOID:
		return json.RawMessage(text)
	case pgtype.TimestamptzOID:
		if t, err := time.Parse("2006-01-02 15:04:05.999999999Z07", text); err == nil {
			return engine.FormatTime(t)
		}
	}
	return text
}

func (a *postgresAnswer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if a.rows != nil {
		a.rows.Close()
	}
	err := a.tx.Rollback(ctx)
	if err == nil { // a rollback leaves a session's locks
		_, err = a.conn.Exec(ctx, "SELECT pg_advisory_unlock_all()")
	}
	if err != nil {
		_ = a.conn.Conn().Close(ctx)
	}
	a.conn.Release()
}

// list implements database.
func (p *postgresDB) list(ctx context.Context, text string, args []any, row func(scan func(...any) error) error) error {
	pool, err := p.readers()
	if err != nil {
		return err
	}
	rows, err := pool.Query(ctx, numbered(text), args...)
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

// numbered writes $1, $2, ... for the question marks.
func numbered(text string) string {
	var out strings.Builder
	n := 0
	for _, part := range strings.SplitAfter(text, "?") {
		if cut, ok := strings.CutSuffix(part, "?"); ok {
			n++
			part = cut + "$" + strconv.Itoa(n)
		}
		out.WriteString(part)
	}
	return out.String()
}

// moment implements database.
func (*postgresDB) moment(at time.Time) any { return at }
