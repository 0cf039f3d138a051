package metadata

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/sqliteraw"
)

// openReaders opens the file for reading, once: with a pool for what we ask
// ourselves, and one for what strangers do.
func (s *sqliteDB) openReaders() error {
	s.once.Do(func() {
		c, err := sqlite.NewConnector(s.dsn(readerSetup))
		if err != nil {
			s.opened = err
			return
		}
		s.reads, s.asks = sql.OpenDB(c), sql.OpenDB(guardedConnector{c})
		s.reads.SetMaxOpenConns(maxReaders)
		s.reads.SetMaxIdleConns(maxReaders)
		s.asks.SetMaxOpenConns(maxQueries)
		s.asks.SetMaxIdleConns(1)
	})
	if s.opened == nil {
		if _, err := os.Stat(s.path); err != nil {
			return errors.New("the tables are not there yet")
		}
	}
	return s.opened
}

// ask implements database.
func (s *sqliteDB) ask(ctx context.Context, text string) (answer, error) {
	if err := s.openReaders(); err != nil {
		return nil, err
	}
	conn, err := s.asks.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for id, max := range limits {
		if _, err := sqlite.Limit(conn, id, max); err != nil {
			conn.Close()
			return nil, err
		}
	}
	a := &sqliteAnswer{ctx: ctx, db: s, conn: conn}
	err = conn.Raw(func(c any) error {
		if err := guard(c); err != nil { // its count begins anew
			return err
		}
		a.stop, err = sqliteraw.Interruptible(ctx, c) // what looks for a second row for ever would keep its goroutine and a processor as long
		return err
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	if a.rows, err = conn.QueryContext(ctx, text); err != nil {
		a.stop()
		conn.Close()
		return nil, s.refused(ctx, err)
	}
	rows := a.rows
	if a.names, err = rows.Columns(); err == nil {
		var types []*sql.ColumnType
		if types, err = rows.ColumnTypes(); err == nil {
			for _, t := range types {
				a.types = append(a.types, t.DatabaseTypeName())
			}
		}
	}
	if err != nil {
		a.close()
		return nil, err
	}
	a.values = make([]any, len(a.names))
	for range a.names {
		a.into = append(a.into, new(any))
	}
	return a, nil
}

// refused tells a wrong statement from a database that cannot be read.
func (s *sqliteDB) refused(ctx context.Context, err error) error {
	var e *sqlite.Error
	if ctx.Err() != nil || !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_AUTH:
		return fmt.Errorf("%w: only reading is allowed here: SELECT, WITH, EXPLAIN, and PRAGMA table_info, table_list, index_list", engine.ErrDenied)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%w: only reading is allowed here", engine.ErrDenied)
	case sqlite3.SQLITE_NOMEM:
		return fmt.Errorf("%w: the statement is too large to be carried out: ask for less at a time", engine.ErrInvalid)
	case sqlite3.SQLITE_ERROR:
		text := sqliteraw.Message(e)
		if name, denied := strings.CutPrefix(text, "not authorized to use function: "); denied {
			return deniedFunction(name)
		}
		return fmt.Errorf("%w: %s", engine.ErrInvalid, suggest(text))
	case sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_CONSTRAINT:
		return fmt.Errorf("%w: %s", engine.ErrInvalid, suggest(sqliteraw.Message(e)))
	}
	return err
}

// sqliteAnswer is the rows of a stranger's query.
type sqliteAnswer struct {
	ctx    context.Context // of the query: a cancelled one ends with its reason
	db     *sqliteDB
	conn   *sql.Conn
	rows   *sql.Rows
	names  []string
	types  []string // of the columns that were selected as they are
	into   []any
	values []any

	stop func() // from here on the connection may belong to others
}

func (a *sqliteAnswer) columns() []string { return a.names }

func (a *sqliteAnswer) next() ([]any, error) {
	if !a.rows.Next() {
		if err := a.rows.Err(); err != nil {
			if a.ctx.Err() != nil {
				return nil, fmt.Errorf("%w: the query took too long and was stopped; ask for less, or give it more time", engine.ErrInvalid)
			}
			return nil, a.db.refused(a.ctx, err)
		}
		return nil, io.EOF
	}
	if err := a.rows.Scan(a.into...); err != nil {
		return nil, err
	}
	for i := range a.into {
		a.values[i] = fromSQLite(a.types[i], *a.into[i].(*any))
	}
	return a.values, nil
}

// fromSQLite gives a value the type that its column was declared with.
func fromSQLite(kind string, v any) any {
	switch v := v.(type) {
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case string:
		if kind == sqliteWords["$JSON"] {
			return json.RawMessage(v)
		}
	case int64:
		if kind == "BOOLEAN" {
			return v != 0
		}
	}
	return v
}

func (a *sqliteAnswer) close() {
	a.stop()
	_ = a.rows.Close()
	_ = a.conn.Close()
}

// list implements database.
func (s *sqliteDB) list(ctx context.Context, text string, args []any, row func(scan func(...any) error) error) error {
	if err := s.openReaders(); err != nil {
		return err
	}
	return eachRow(ctx, s.reads, text, args, row)
}

// eachRow hands every row of a query to a function.
func eachRow(ctx context.Context, db *sql.DB, text string, args []any, row func(scan func(...any) error) error) error {
	rows, err := db.QueryContext(ctx, text, args...)
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

// moment implements database.
func (*sqliteDB) moment(at time.Time) any { return engine.FormatTime(at) }
