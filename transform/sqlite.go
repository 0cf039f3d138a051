package transform

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"
	"time"

	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/qarion/qarion/internal/failpoint"
	"github.com/qarion/qarion/internal/sqliteraw"
	"github.com/qarion/qarion/transform/sqltext"
)

// sqliteSetup is how connections are set up. Every commit reaches the disk
// (synchronous = FULL): the run's record says that it is done.
const sqliteSetup = "?_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_defensive=1"

// keepConnections is how many idle connections of a file are kept.
const keepConnections = 8

// sqliteDB is a SQLite file. Its connections are the driver's own, without
// database/sql between: every value of every row would be converted twice.
type sqliteDB struct {
	target    *target
	connector driver.Connector
	writing   chan struct{} // one transaction writes at a time: others wait here, in order

	mu      sync.Mutex
	idle    []driver.Conn
	expired time.Time // when marks were last looked through
	closed  bool
}

func newSQLite(t *target) (*sqliteDB, error) {
	setup := sqliteSetup
	if t.own {
		setup += "&_pragma=journal_mode(WAL)"
	}
	c, err := sqlitedriver.NewConnector("file:" + (&url.URL{Path: t.where}).EscapedPath() + setup)
	if err != nil {
		return nil, err
	}
	return &sqliteDB{target: t, connector: c, writing: make(chan struct{}, 1)}, nil
}

func (s *sqliteDB) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, c := range s.idle {
		_ = c.Close()
	}
	s.idle = nil
}

// connect takes an idle connection, or makes one. The file is made for its owner
// alone.
func (s *sqliteDB) connect(ctx context.Context) (driver.Conn, error) {
	s.mu.Lock()
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		return c, nil
	}
	s.mu.Unlock()
	f, err := os.OpenFile(s.target.where, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil && !errors.Is(err, os.ErrPermission) { // it may be there to be read alone
		return nil, err
	}
	if err == nil {
		f.Close()
	}
	return s.connector.Connect(ctx)
}

// giveBack keeps a connection that is as it was, and closes any other.
func (s *sqliteDB) giveBack(c driver.Conn, good bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if good && !s.closed && len(s.idle) < keepConnections {
		s.idle = append(s.idle, c)
		return
	}
	_ = c.Close()
}

// run implements database.
func (s *sqliteDB) run(ctx context.Context, j *job) (out *outcome, f *failure) {
	writes := j.writes()
	if writes {
		select {
		case s.writing <- struct{}{}:
			defer func() { <-s.writing }()
		case <-ctx.Done():
			return nil, failed(classLocked, "another task of this node is writing to "+s.target.name)
		}
	}
	c, err := s.connect(ctx)
	if err != nil {
		return nil, s.failure(nil, err)
	}
	good := false
	defer func() { s.giveBack(c, good && !j.session()) }()
	t := &sqliteTx{ctx: ctx, conn: c, db: s}
	if f := t.begin(writes); f != nil {
		return nil, f
	}
	out, f = t.work(j)
	if f != nil {
		t.rollback()
		return out, f
	}
	failpoint.Here("sql.executed")
	if err := t.commit(); err != nil {
		f := s.failure(t, err)
		t.rollback()
		return out, f
	}
	failpoint.Here("sql.committed")
	good = true
	return out, nil
}

// sqliteTx is one transaction.
type sqliteTx struct {
	ctx  context.Context
	conn driver.Conn
	db   *sqliteDB
}

// begin begins it: one that writes takes the lock at once, so that it never
// finds out late that another has it.
func (t *sqliteTx) begin(writes bool) *failure {
	text := "BEGIN"
	if writes {
		text = "BEGIN IMMEDIATE"
	}
	if _, err := t.exec(t.ctx, text); err != nil {
		return t.db.failure(t, err)
	}
	return nil
}

// commit ends it well. It is not cut off: the wait for readers has its own end.
func (t *sqliteTx) commit() error {
	_, err := t.exec(context.WithoutCancel(t.ctx), "COMMIT")
	return err
}

func (t *sqliteTx) rollback() { _, _ = t.exec(context.WithoutCancel(t.ctx), "ROLLBACK") }

func (t *sqliteTx) exec(ctx context.Context, text string, args ...any) (int64, error) {
	r, err := t.conn.(driver.ExecerContext).ExecContext(ctx, text, named(args))
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func named(args []any) []driver.NamedValue {
	out := make([]driver.NamedValue, len(args))
	for i, v := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return out
}

// work runs the statements, unless the mark says that they have been run.
func (t *sqliteTx) work(j *job) (*outcome, *failure) {
	out := &outcome{}
	if j.mark != nil {
		if done, err := t.marked(j); done != nil || err != nil {
			return done, t.db.failure(t, err)
		}
		failpoint.Here("sql.begun")
	}
	affected := int64(0)
	for i := range j.statements {
		began := time.Now()
		last := i == len(j.statements)-1
		rows, changed, err := t.statement(&j.statements[i], j.args[i], &j.result, last)
		if err != nil {
			f := t.db.failure(t, err)
			f.at = i + 1
			f.locate(&j.statements[i])
			return out, f
		}
		affected += changed
		out.note(&j.statements[i], rows, began)
	}
	var err error
	if out.value, err = j.result.value(affected); err == nil && j.mark != nil {
		err = t.writeMark(j, out)
	}
	if err != nil {
		f := t.db.failure(t, err)
		f.at = len(j.statements)
		return out, f
	}
	return out, nil
}

// statement runs one. rows is what it read or changed, changed what it changed.
func (t *sqliteTx) statement(st *sqltext.Statement, args []any, into *collector, last bool) (rows, changed int64, err error) {
	if !st.Rows {
		n, err := t.exec(t.ctx, st.Query, args...)
		switch st.Verb {
		case "insert", "update", "delete", "replace": // for others SQLite answers the last one's number again
			return n, n, err
		}
		return 0, 0, err
	}
	stop, err := sqliteraw.Interruptible(t.ctx, t.conn)
	if err != nil {
		return 0, 0, err
	}
	defer stop()
	r, err := t.conn.(driver.QueryerContext).QueryContext(t.ctx, st.Query, named(args))
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	c := into
	if !last {
		c = &collector{mode: resultNone}
	}
	if err := c.columns(r.Columns()); err != nil {
		return 0, 0, err
	}
	types := columnTypes(r)
	cells := make([]driver.Value, len(r.Columns()))
	for {
		if err := r.Next(cells); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return 0, 0, err
		}
		if err := c.row(func(dst []byte, i int) ([]byte, error) { return appendCell(dst, cells[i], types[i]) }); err != nil {
			return 0, 0, err
		}
	}
	if st.Writes {
		changed = c.rows
	}
	return c.rows, changed, t.ctx.Err()
}

// marked looks for the task's mark: not nil when it is there.
func (t *sqliteTx) marked(j *job) (*outcome, error) {
	if _, err := t.exec(t.ctx, marksTable); err != nil {
		return nil, fmt.Errorf("make the table of marks (exactly_once = false does without): %w", err)
	}
	if t.db.expiry(j.now) {
		if _, err := t.exec(t.ctx, expireMark, j.mark.written.UTC().Format(time.RFC3339)); err != nil {
			return nil, err
		}
	}
	r, err := t.conn.(driver.QueryerContext).QueryContext(t.ctx, findMark, named([]any{j.mark.key}))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	row := make([]driver.Value, 2)
	if err := r.Next(row); err != nil {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return nil, err
	}
	out := &outcome{repeated: true}
	if v, ok := row[0].(string); ok {
		out.value = []byte(v)
	}
	out.rows, _ = row[1].(int64)
	return out, nil
}

// expiry reports whether it is time to look for old marks.
func (s *sqliteDB) expiry(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := now.Sub(s.expired) > expireEvery
	if due {
		s.expired = now
	}
	return due
}

func (t *sqliteTx) writeMark(j *job, out *outcome) error {
	written, expires := j.mark.times()
	var v any
	if out.value != nil {
		v = textOf(out.value)
	}
	_, err := t.exec(t.ctx, writeMark, j.mark.key, string(j.mark.run), string(j.mark.flow), string(j.mark.task), v, out.rows, written, expires)
	return err
}

// failure puts an error into the terms of a task. t is the transaction, where
// there is one; nil for no error.
func (s *sqliteDB) failure(t *sqliteTx, err error) *failure {
	if err == nil {
		return nil
	}
	var e *sqlitedriver.Error
	var limit *limitError
	var result *resultError
	switch {
	case errors.As(err, &limit):
		return failed(classTooLarge, limit.message)
	case errors.As(err, &result):
		return failed(classResult, result.message)
	case !errors.As(err, &e):
		if t == nil {
			return failed(classConnect, err.Error())
		}
		return failed(classSQL, err.Error())
	}
	f := failed(classSQL, sqliteraw.Message(e))
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		f.class, f.message = classLocked, s.target.name+": "+f.message
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM:
		f.class, f.message = classConnect, s.target.where+": "+f.message
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		f.class, f.message = classDamaged, s.target.where+": "+f.message
	case sqlite3.SQLITE_FULL:
		f.class, f.message = classFull, s.target.name+": "+f.message
	case sqlite3.SQLITE_CONSTRAINT:
		f.class = classConstraint
	}
	f.code = fmt.Sprintf("SQLite error %d", e.Code())
	if t != nil && f.class == classSQL {
		f.offset = sqliteraw.ErrorOffset(t.conn)
	}
	return f
}
