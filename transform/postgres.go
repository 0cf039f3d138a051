package transform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/failpoint"
)

// connectWithin is how long a connection may take to stand, unless the URL says
// otherwise, and commitWithin how long the answer to a commit.
const (
	connectWithin = 10 * time.Second
	commitWithin  = 30 * time.Second
)

// postgresDB is a PostgreSQL database. Values pass as text, and the server
// decides by their places what they are: a parameter has no type of its own.
type postgresDB struct {
	target *target
	pool   *pgxpool.Pool

	mu      sync.Mutex
	marks   string    // the table, with its schema; "" until it is there
	expired time.Time // when marks were last looked through
}

// credentialError is a credential that is missing or does not fit.
type credentialError struct{ message string }

func (e *credentialError) Error() string { return e.message }

func newPostgres(t *target, store CredentialStore) (*postgresDB, error) {
	config, err := pgxpool.ParseConfig(t.where)
	if err != nil {
		return nil, fmt.Errorf("the URL of database %s cannot be read", t.name) // pgx would print the password
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectWithin
	}
	if !strings.Contains(t.where, "pool_max_conns") {
		config.MaxConns = keepConnections
	}
	p := config.ConnConfig.RuntimeParams
	if p["application_name"] == "" {
		p["application_name"] = "qarion"
	}
	p["timezone"], p["datestyle"], p["intervalstyle"], p["bytea_output"], p["extra_float_digits"] = "UTC", "ISO", "iso_8601", "hex", "1"
	config.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error { return login(ctx, t, store, c) }
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, err
	}
	return &postgresDB{target: t, pool: pool}, nil
}

// login takes user and password from the database's credential.
func login(ctx context.Context, t *target, store CredentialStore, c *pgx.ConnConfig) error {
	if t.credential == "" {
		return nil
	}
	if store == nil {
		return &credentialError{"there are no stored credentials here"}
	}
	cred, err := store.Get(ctx, t.credential)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return &credentialError{fmt.Sprintf("credential %s: not found; store it: qarion credentials store --credential-id %s --type basic_auth", t.credential, t.credential)}
	case err != nil:
		return &credentialError{fmt.Sprintf("credential %s: %v", t.credential, err)}
	case cred.Type != "basic_auth":
		return &credentialError{fmt.Sprintf("credential %s is of type %s, a database needs basic_auth", t.credential, cred.Type)}
	}
	c.User, c.Password = cred.Text("username"), cred.Text("password")
	return nil
}

func (p *postgresDB) close() { p.pool.Close() }

// run implements database. A connection that had ended while nobody used it is
// no failure: nothing was done on it.
func (p *postgresDB) run(ctx context.Context, j *job) (*outcome, *failure) {
	out, f, stale := p.attempt(ctx, j)
	if stale && ctx.Err() == nil {
		p.pool.Reset()
		j.result.rows, j.result.out, j.result.keys = 0, nil, nil
		out, f, _ = p.attempt(ctx, j)
	}
	return out, f
}

// attempt runs a job on one connection. stale says that the connection ended
// before anything was done.
func (p *postgresDB) attempt(ctx context.Context, j *job) (out *outcome, f *failure, stale bool) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		f := p.failure(err)
		if f.class == classClosed {
			f.class = classConnect
		}
		return nil, f, false
	}
	t := &postgresTx{ctx: ctx, pg: conn.Conn().PgConn(), db: p}
	defer func() {
		if t.broken || j.session() {
			_ = conn.Conn().Close(context.WithoutCancel(ctx)) // settings and locks end with the session
		}
		conn.Release()
	}()
	if j.mark != nil {
		if err := p.makeMarks(ctx, t.pg, j.now); err != nil {
			return nil, p.failure(err), conn.Conn().PgConn().IsClosed()
		}
	}
	out, f = t.run(j)
	return out, f, f != nil && !t.begun && f.class == classClosed
}

// makeMarks makes the table of marks once, and now and then deletes old ones.
// It is no part of the task's transaction: two that make it at once would stand
// in each other's way.
func (p *postgresDB) makeMarks(ctx context.Context, pg *pgconn.PgConn, now time.Time) error {
	p.mu.Lock()
	made, due := p.marks != "", now.Sub(p.expired) > expireEvery
	if due {
		p.expired = now
	}
	p.mu.Unlock()
	if !made {
		err := script(ctx, pg, "DO $$ BEGIN IF to_regclass('qarion_task_marks') IS NULL THEN PERFORM pg_advisory_xact_lock("+strconv.Itoa(marksLock)+"); "+marksTable+"; END IF; END $$")
		if err != nil {
			var e *pgconn.PgError
			if errors.As(err, &e) {
				e.Message = "make the table of marks (exactly_once = false does without): " + e.Message
			}
			return err
		}
		r, err := ask(ctx, pg, "SELECT quote_ident(n.nspname) || '.qarion_task_marks' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('qarion_task_marks')")
		if err != nil || len(r.Rows) != 1 {
			return cmp.Or(err, errors.New("the table of marks is not there"))
		}
		p.mu.Lock()
		p.marks = string(r.Rows[0][0])
		p.mu.Unlock()
	}
	if due {
		_, err := ask(ctx, pg, p.ofMarks(expireMark), engine.FormatTime(now))
		return err
	}
	return nil
}

// ofMarks is a statement on the table of marks, whatever the search path is.
func (p *postgresDB) ofMarks(sql string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Replace(sql, "qarion_task_marks", cmp.Or(p.marks, "qarion_task_marks"), 1)
}

// marksLock keeps two nodes from making the table at the same time.
const marksLock = 0x716d6b73

// script runs statements without parameters.
func script(ctx context.Context, pg *pgconn.PgConn, sql string) error {
	_, err := pg.Exec(ctx, sql).ReadAll()
	return err
}

// ask runs a statement of ours, with ? for its parameters.
func ask(ctx context.Context, pg *pgconn.PgConn, sql string, args ...any) (*pgconn.Result, error) {
	for n := 1; strings.Contains(sql, "?"); n++ {
		sql = strings.Replace(sql, "?", "$"+strconv.Itoa(n), 1)
	}
	r := pg.ExecParams(ctx, sql, texts(args), nil, nil, nil).Read()
	return r, r.Err
}

// postgresTx is one transaction.
type postgresTx struct {
	ctx    context.Context
	pg     *pgconn.PgConn
	db     *postgresDB
	broken bool // the connection must not be used again
	begun  bool // the transaction is open
}

func (t *postgresTx) run(j *job) (out *outcome, f *failure) {
	out = &outcome{}
	writes := j.writes()
	if writes || len(j.statements) > 1 {
		if err := script(t.ctx, t.pg, t.begin()); err != nil {
			t.broken = true
			return nil, t.db.failure(err)
		}
		t.begun = true
	}
	out, f = t.work(j)
	if !writes && len(j.statements) == 1 {
		t.broken = t.broken || t.pg.IsClosed()
		return out, f
	}
	if f != nil {
		t.rollback()
		return out, f
	}
	failpoint.Here("sql.executed")
	if out.repeated {
		t.rollback()
		return out, nil
	}
	if f := t.commit(); f != nil {
		return out, f
	}
	failpoint.Here("sql.committed")
	return out, nil
}

// begin opens the transaction. The server ends a statement too that nobody
// waits for any more.
func (t *postgresTx) begin() string {
	sql := "BEGIN"
	if end, ok := t.ctx.Deadline(); ok {
		sql += fmt.Sprintf("; SET LOCAL statement_timeout = %d; SET LOCAL idle_in_transaction_session_timeout = %[1]d", max(1, time.Until(end).Milliseconds()+1000))
	}
	return sql
}

// commit ends the transaction well. It is not cut off: a commit whose answer
// nobody waits for is one of which nobody knows.
func (t *postgresTx) commit() *failure {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), commitWithin)
	defer cancel()
	results, err := t.pg.Exec(ctx, "COMMIT").ReadAll()
	if err == nil {
		if len(results) > 0 && results[0].CommandTag.String() == "ROLLBACK" {
			return failed(classSQL, "the server has rolled the transaction back")
		}
		return nil
	}
	t.broken = true
	f := t.db.failure(err)
	var server *pgconn.PgError
	if !errors.As(err, &server) || server.Code == "57P01" || server.Code == "57P02" {
		f.class, f.unknown = classClosed, true
		f.message = "the connection ended while the transaction was committed: whether it was is not known"
	}
	return f
}

func (t *postgresTx) rollback() {
	if t.pg.IsClosed() || t.broken {
		t.broken = true
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), time.Second)
	defer cancel()
	t.broken = script(ctx, t.pg, "ROLLBACK") != nil
}

// work runs the statements, unless the mark says that they have been run. The
// mark is claimed first: of two attempts at the same time one waits for the
// other.
func (t *postgresTx) work(j *job) (*outcome, *failure) {
	out := &outcome{}
	if j.mark != nil {
		written, expires := j.mark.times()
		r, err := ask(t.ctx, t.pg, t.db.ofMarks(claimMark), j.mark.key, string(j.mark.run), string(j.mark.flow), string(j.mark.task), written, expires)
		if err != nil {
			var server *pgconn.PgError
			if errors.As(err, &server) && server.Code == "42P01" { // somebody has dropped it
				t.db.mu.Lock()
				t.db.marks = ""
				t.db.mu.Unlock()
			}
			return out, t.db.failure(err)
		}
		if r.CommandTag.RowsAffected() == 0 {
			return t.marked(j)
		}
		failpoint.Here("sql.begun")
	}
	affected := int64(0)
	for i := range j.statements {
		began := time.Now()
		st := &j.statements[i]
		rows, changed, err := t.statement(st, j.args[i], &j.result, i == len(j.statements)-1)
		if err != nil {
			f := t.db.failure(err)
			f.at = i + 1
			if f.offset >= 0 {
				f.offset = characters(st.query, f.offset)
			}
			f.locate(st)
			return out, f
		}
		affected += changed
		out.note(st, rows, began)
	}
	var err error
	if out.value, err = j.result.value(affected); err == nil && j.mark != nil {
		var v any
		if out.value != nil {
			v = string(out.value)
		}
		_, err = ask(t.ctx, t.pg, t.db.ofMarks(fillMark), v, out.rows, j.mark.key)
	}
	if err != nil {
		f := t.db.failure(err)
		f.at = len(j.statements)
		return out, f
	}
	return out, nil
}

func (t *postgresTx) marked(j *job) (*outcome, *failure) {
	r, err := ask(t.ctx, t.pg, t.db.ofMarks(findMark), j.mark.key)
	if err != nil {
		return nil, t.db.failure(err)
	}
	out := &outcome{repeated: true}
	if len(r.Rows) == 1 {
		out.value = r.Rows[0][0]
		out.rows, _ = strconv.ParseInt(string(r.Rows[0][1]), 10, 64)
	}
	return out, nil
}

// statement runs one. rows is what it read or changed, changed what it changed.
func (t *postgresTx) statement(st *statement, args []any, into *collector, last bool) (rows, changed int64, err error) {
	r := t.pg.ExecParams(t.ctx, st.query, texts(args), nil, nil, nil)
	c := into
	if !last {
		c = &collector{mode: resultNone}
	}
	fields := r.FieldDescriptions()
	var wrong error
	if len(fields) > 0 {
		names := make([]string, len(fields))
		for i := range fields {
			names[i] = fields[i].Name
		}
		wrong = c.columns(names)
	}
	for wrong == nil && r.NextRow() {
		cells := r.Values()
		wrong = c.row(func(dst []byte, i int) ([]byte, error) { return appendText(dst, cells[i], fields[i].DataTypeOID) })
	}
	if wrong != nil {
		t.broken = true // what the server still has to say is not waited for
		_ = t.pg.Conn().SetDeadline(time.Now())
		_, _ = r.Close()
		return 0, 0, wrong
	}
	tag, err := r.Close()
	if err != nil {
		return 0, 0, err
	}
	if tag.Insert() || tag.Update() || tag.Delete() || strings.HasPrefix(tag.String(), "MERGE") {
		changed = tag.RowsAffected()
	}
	return tag.RowsAffected(), changed, nil
}

// texts are values as the server reads them.
func texts(args []any) [][]byte {
	out := make([][]byte, len(args))
	for i, v := range args {
		switch v := v.(type) {
		case nil:
		case string:
			out[i] = []byte(v)
		case []byte:
			out[i] = fmt.Appendf(nil, `\x%x`, v)
		case bool:
			out[i] = strconv.AppendBool(nil, v)
		case int64:
			out[i] = strconv.AppendInt(nil, v, 10)
		case float64:
			out[i] = strconv.AppendFloat(nil, v, 'g', -1, 64)
		}
	}
	return out
}

// characters turns a place that the server counts in characters, from 0, into
// bytes.
func characters(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

// failure puts an error into the terms of a task.
func (p *postgresDB) failure(err error) *failure {
	var server *pgconn.PgError
	var connect *pgconn.ConnectError
	var network *net.OpError
	var credential *credentialError
	var limit *limitError
	var result *resultError
	switch {
	case errors.As(err, &limit):
		return failed(classTooLarge, limit.message)
	case errors.As(err, &result):
		return failed(classResult, result.message)
	case errors.As(err, &credential):
		return failed(classCredential, credential.message)
	case errors.As(err, &server):
		return serverFailure(p.target, server)
	case errors.As(err, &connect) && errors.As(err, &network):
		return failed(classConnect, p.target.name+": "+network.Error())
	case errors.As(err, &connect):
		return failed(classConnect, p.target.name+": no connection")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return failed(classClosed, "cut off")
	}
	return failed(classClosed, p.target.name+": the connection ended")
}

// serverFailure is an error in the server's own words.
func serverFailure(t *target, e *pgconn.PgError) *failure {
	f := failed(classSQL, e.Message)
	f.code = "SQLSTATE " + e.Code
	switch {
	case strings.HasPrefix(e.Code, "23"):
		f.class = classConstraint
	case e.Code == "40001", e.Code == "40P01":
		f.class = classConflict
	case e.Code == "55P03":
		f.class = classLocked
	case e.Code == "57014":
		f.class, f.code = classTimeout, ""
	case strings.HasPrefix(e.Code, "28"), e.Code == "3D000":
		f.class = classCredential
	case strings.HasPrefix(e.Code, "53"):
		f.class = classFull
	case strings.HasPrefix(e.Code, "57P"), strings.HasPrefix(e.Code, "08"), e.Code == "25P03":
		f.class = classConnect
	}
	if f.class != classSQL && f.class != classConstraint {
		f.message = t.name + ": " + f.message
	}
	if e.Position > 0 {
		f.offset = int(e.Position) - 1
	}
	if e.Hint != "" {
		f.message += "; " + e.Hint
	}
	return f
}
