package transform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/qarion/qarion/engine"
)

// cancelWithin is how long the server may take to stop a statement that it was
// asked to. Then it is asked again, and its connection closed: a request that
// arrives while a statement is prepared may be lost.
const cancelWithin = time.Second

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
	if err != nil { // readTarget has read it: a file that it names is gone
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
	config.ConnConfig.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: cancelWithin}
	}
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
