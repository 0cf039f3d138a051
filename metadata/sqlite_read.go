package metadata

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/qarion/qarion/engine"
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

// guardedConnector opens connections that can read, and nothing else.
type guardedConnector struct{ driver.Connector }

// Connect implements driver.Connector.
func (g guardedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := g.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(authorize); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// What a stranger's statement may do beside reading. A pragma of the first
// list names a table or index, one of the second says something that harms
// nobody; none may set anything.
var (
	pragmasOfTables = []string{"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
	pragmasToRead   = []string{"compile_options", "function_list", "pragma_list", "encoding", "page_count", "page_size", "freelist_count", "user_version"}
	functionsDenied = []string{"load_extension", "fts3_tokenizer", "writefile", "readfile", "edit", "sqlite_dbpage"}
)

// authorize is asked for everything that a stranger's statement would do.
func authorize(action sqlite.AuthorizerActionCode, arg1, arg2, _, _ string) sqlite.AuthorizerReturnCode {
	switch action {
	case sqlite.AuthSelect, sqlite3.SQLITE_RECURSIVE:
		return sqlite.AuthorizerOK
	case sqlite.AuthRead:
		if arg1 != "sqlite_dbpage" {
			return sqlite.AuthorizerOK
		}
	case sqlite3.SQLITE_FUNCTION:
		if !slices.Contains(functionsDenied, strings.ToLower(arg2)) {
			return sqlite.AuthorizerOK
		}
	case sqlite.AuthPragma:
		name := strings.ToLower(arg1)
		if slices.Contains(pragmasOfTables, name) || slices.Contains(pragmasToRead, name) && arg2 == "" {
			return sqlite.AuthorizerOK
		}
	}
	return sqlite.AuthorizerDeny
}

// limits bound what one statement may build. A text is bounded since some
// functions take time by its square and cannot be stopped.
var limits = map[int]int{
	sqlite3.SQLITE_LIMIT_LENGTH:              512 << 10,
	sqlite3.SQLITE_LIMIT_SQL_LENGTH:          maxSQL,
	sqlite3.SQLITE_LIMIT_COLUMN:              200,
	sqlite3.SQLITE_LIMIT_EXPR_DEPTH:          200,
	sqlite3.SQLITE_LIMIT_COMPOUND_SELECT:     100,
	sqlite3.SQLITE_LIMIT_VDBE_OP:             100_000,
	sqlite3.SQLITE_LIMIT_FUNCTION_ARG:        50,
	sqlite3.SQLITE_LIMIT_ATTACHED:            0,
	sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
	sqlite3.SQLITE_LIMIT_WORKER_THREADS:      0,
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
	rows, err := conn.QueryContext(ctx, text)
	if err != nil {
		conn.Close()
		return nil, s.refused(ctx, err)
	}
	a := &sqliteAnswer{ctx: ctx, db: s, conn: conn, rows: rows}
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
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_CONSTRAINT:
		return fmt.Errorf("%w: %s", engine.ErrInvalid, suggest(sqliteText(e)))
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
	_ = a.rows.Close()
	_ = a.conn.Close()
}

// list implements database.
func (s *sqliteDB) list(ctx context.Context, text string, args []any, row func(scan func(...any) error) error) error {
	if err := s.openReaders(); err != nil {
		return err
	}
	rows, err := s.reads.QueryContext(ctx, text, args...)
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
