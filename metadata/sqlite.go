package metadata

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/sqliteraw"
)

// sqliteWords is how SQLite says what the schema needs. JSON_TEXT is a type
// name of ours: it has the affinity of TEXT, and a query's answer knows by it
// that the column holds JSON.
var sqliteWords = dialect{
	"$ID": "TEXT", "$TIME": "TEXT", "$JSON": "JSON_TEXT", "$POSITION": "INTEGER", "$CLUSTERED": " WITHOUT ROWID",
}

// How the connections are set up. In WAL mode with synchronous = NORMAL the
// database never breaks, and power loss can take the last transactions with
// it: their rows come again from the ledger, which is behind none of them. Only
// programs of others hold the file against the one connection that writes; it
// does not wait for them long, so that what stands is known.
const (
	writerSetup = "?_pragma=busy_timeout(2000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)" +
		"&_pragma=wal_autocheckpoint(4000)&_pragma=journal_size_limit(67108864)&_pragma=cache_size(-16000)&_pragma=temp_store(MEMORY)&_defensive=1"
	readerSetup = "?mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)&_pragma=cache_size(-4000)&_defensive=1"
	maxReaders  = 4
)

// sqliteDB is the tables in a file. One connection writes, straight through
// the driver: database/sql would convert and check every value of every row.
type sqliteDB struct {
	path string

	conn  driver.Conn // that writes; nil until it is needed
	flows *inserts
	tasks *inserts
	ops   *inserts
	boxes boxes
	now   map[string]driver.Stmt // small statements, by their text

	once   sync.Once
	reads  *sql.DB // ours
	asks   *sql.DB // of strangers
	opened error
}

func newSQLite(path string) *sqliteDB { return &sqliteDB{path: path} }

// dsn is the file with a connection's setup. The name is a URI to the driver.
func (s *sqliteDB) dsn(setup string) string {
	return "file:" + (&url.URL{Path: s.path}).EscapedPath() + setup
}

// prepare implements database.
func (s *sqliteDB) prepare(ctx context.Context, installation string, upgrade bool) (at engine.Pos, err error) {
	if err := s.open(ctx); err != nil {
		return at, err
	}
	err = s.transaction(ctx, func() error {
		if err := s.exec(ctx, metaTable); err != nil {
			return err
		}
		row, err := s.row(ctx, "SELECT schema, installation, seq, n FROM qarion_metadata WHERE id = 1")
		if err != nil {
			return err
		}
		version := int64(0)
		if row != nil {
			version = row[0].(int64)
			if owner := row[1].(string); owner != installation {
				return errForeign(owner, installation)
			}
			at = engine.Pos{Seq: uint64(row[2].(int64)), N: int(row[3].(int64))}
		}
		steps, err := pending(version, upgrade)
		if err != nil || len(steps) == 0 {
			return err
		}
		for _, step := range steps {
			if err := s.exec(ctx, sqliteWords.sql(step)); err != nil {
				return fmt.Errorf("make the tables: %w", err)
			}
		}
		return s.exec(ctx, "INSERT INTO qarion_metadata (id, schema, installation, seq, n) VALUES (1, ?, ?, 0, 0) ON CONFLICT (id) DO UPDATE SET schema = excluded.schema",
			int64(len(migrations)), installation)
	})
	if err == nil {
		err = s.openInserts(ctx)
	}
	return at, err
}

// open opens the file and the connection that writes. The file is made for its
// owner alone: URLs and answers stand in it.
func (s *sqliteDB) open(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	c, err := sqlite.NewConnector(s.dsn(writerSetup))
	if err == nil {
		s.conn, err = c.Connect(ctx)
	}
	s.now = map[string]driver.Stmt{}
	return err
}

// shut closes the connection that writes; the next write opens it anew.
func (s *sqliteDB) shut() error {
	if s.conn == nil {
		return nil
	}
	for _, st := range s.now {
		_ = st.Close()
	}
	for _, in := range []*inserts{s.flows, s.tasks, s.ops} {
		in.close()
	}
	err := s.conn.Close()
	s.conn, s.flows, s.tasks, s.ops, s.now = nil, nil, nil, nil, nil
	return err
}

// transaction runs fn in one. After an error the connection is closed: nothing
// of what went wrong is left in it.
func (s *sqliteDB) transaction(ctx context.Context, fn func() error) error {
	err := s.exec(ctx, "BEGIN IMMEDIATE")
	if err == nil {
		err = fn()
	}
	if err == nil {
		err = s.exec(ctx, "COMMIT")
	}
	if err != nil {
		_ = s.exec(context.WithoutCancel(ctx), "ROLLBACK")
		_ = s.shut()
	}
	return err
}

// exec runs a statement. Scripts, which have no arguments, may hold several.
func (s *sqliteDB) exec(ctx context.Context, text string, args ...any) error {
	if s.conn == nil {
		return errors.New("the connection is closed")
	}
	if len(args) == 0 {
		_, err := s.conn.(driver.ExecerContext).ExecContext(context.WithoutCancel(ctx), text, nil)
		return err
	}
	st, err := s.statement(text)
	if err != nil {
		return err
	}
	_, err = st.(driver.StmtExecContext).ExecContext(context.WithoutCancel(ctx), named(args))
	return err
}

// statement returns a small statement, prepared once.
func (s *sqliteDB) statement(text string) (driver.Stmt, error) {
	if st := s.now[text]; st != nil {
		return st, nil
	}
	st, err := s.conn.Prepare(text)
	if err == nil {
		s.now[text] = st
	}
	return st, err
}

// row reads the first row of a query on the connection that writes; nil when
// there is none.
func (s *sqliteDB) row(ctx context.Context, text string, args ...any) ([]driver.Value, error) {
	st, err := s.statement(text)
	if err != nil {
		return nil, err
	}
	rows, err := st.(driver.StmtQueryContext).QueryContext(context.WithoutCancel(ctx), named(args))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(out); err != nil {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return nil, err
	}
	return out, nil
}

func named(args []any) []driver.NamedValue {
	out := make([]driver.NamedValue, len(args))
	for i, v := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return out
}

// expire implements database. The oldest ids stand first; a run ends after it
// began, so that what the id says bounds the search.
func (s *sqliteDB) expire(ctx context.Context, before engine.Micros, limit int) (int, error) {
	count := 0
	err := s.transaction(ctx, func() error {
		row, err := s.row(ctx, `SELECT count(*), max(execution_id) FROM (SELECT execution_id FROM xt_flow_executions
			WHERE execution_id < ? AND end_time < ? ORDER BY execution_id LIMIT ?)`, string(engine.FirstRunID(before.Time())), before.Format(), int64(limit))
		if err != nil || row[0].(int64) == 0 {
			return err
		}
		count = int(row[0].(int64))
		for _, table := range []string{tableOps, tableTasks, tableFlows} {
			err := s.exec(ctx, "DELETE FROM "+table+" WHERE execution_id IN (SELECT execution_id FROM xt_flow_executions WHERE execution_id <= ? AND end_time < ?)",
				row[1], before.Format())
			if err != nil {
				return err
			}
		}
		return nil
	})
	return count, err
}

// clear implements database: the file goes.
func (s *sqliteDB) clear(context.Context) error {
	if err := s.close(); err != nil {
		return err
	}
	for _, name := range []string{s.path, s.path + "-wal", s.path + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	s.once, s.reads, s.asks, s.opened = sync.Once{}, nil, nil, nil
	return nil
}

func (s *sqliteDB) close() error {
	var errs []error
	for _, db := range []*sql.DB{s.reads, s.asks} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, s.shut())...)
}

// problem implements database: SQLite's own words, with what to do about it.
func (s *sqliteDB) problem(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s; stop the node and delete %s: the next start makes the tables again", sqliteraw.Message(e), s.path)
	}
	return errors.New(sqliteraw.Message(e))
}
