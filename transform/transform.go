package transform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/transform/sqltext"
)

// Name is how a flow names this task type.
const Name = "transformation"

// DefaultDatabase is the name of the database of tasks that name none: a SQLite
// file in the data directory, unless the configuration says otherwise.
const (
	DefaultDatabase = "warehouse"
	DefaultFile     = "warehouse.db"
)

// CredentialStore hands out stored credentials; engine.ErrNotFound when there
// is none of that id. Get is called for each new connection.
type CredentialStore interface {
	Get(ctx context.Context, id string) (engine.Credential, error)
}

// Database is where a database is.
type Database struct {
	URL        string // sqlite:PATH, or postgres://user@host:port/name
	Credential string // id of a basic_auth credential for PostgreSQL; "" for none
}

// Config is what the task type works with.
type Config struct {
	Dir         string              // of the default database; "" for none, where flows are only looked at
	Databases   map[string]Database // by name
	Credentials CredentialStore
	Now         func() time.Time
	Log         *slog.Logger
}

// TaskType is transformation.
type TaskType struct {
	cfg       Config
	databases map[string]*target

	mu   sync.Mutex
	open map[string]database
}

var (
	_ engine.TaskType     = (*TaskType)(nil)
	_ engine.DatabaseUser = (*TaskType)(nil)
	_ engine.Includer     = (*TaskType)(nil)
)

// target is a database as it is configured.
type target struct {
	name       string
	dialect    sqltext.Dialect
	where      string // file or URL
	credential string
	own        bool // the default file
}

// String names the target for people.
func (t *target) String() string { return fmt.Sprintf("%s (%s)", t.name, t.dialect) }

// New prepares the task type; nothing is opened before a task needs it.
// engine.ErrInvalid: a database is configured wrongly.
func New(cfg Config) (*TaskType, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	t := &TaskType{cfg: cfg, databases: map[string]*target{}, open: map[string]database{}}
	t.databases[DefaultDatabase] = &target{name: DefaultDatabase, where: filepath.Join(cfg.Dir, DefaultFile), own: true}
	for name, d := range cfg.Databases {
		target, err := readTarget(name, d)
		if err != nil {
			return nil, err
		}
		t.databases[name] = target
	}
	return t, nil
}

// Check says what is wrong with configured databases.
func Check(databases map[string]Database) error {
	for _, name := range slices.Sorted(maps.Keys(databases)) {
		if _, err := readTarget(name, databases[name]); err != nil {
			return err
		}
	}
	return nil
}

// readTarget reads where a database is. The message never has a password in it.
func readTarget(name string, d Database) (*target, error) {
	t := &target{name: name, where: d.URL, credential: d.Credential}
	scheme, rest, _ := strings.Cut(d.URL, ":")
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: [databases.%s] %s", engine.ErrInvalid, name, fmt.Sprintf(format, args...))
	}
	switch scheme {
	case "sqlite":
		t.where = strings.TrimPrefix(rest, "//")
		switch {
		case t.where == "" || t.where == ":memory:":
			return nil, wrong("url %s names no file: write sqlite:PATH", value.Quoted(d.URL))
		case d.Credential != "":
			return nil, wrong("credential_id: a SQLite file has no password")
		}
	case "postgres", "postgresql":
		t.dialect = sqltext.PostgreSQL
		u, err := url.Parse(d.URL)
		if err != nil {
			return nil, wrong("url cannot be read: write postgres://user@host:5432/name")
		}
		if _, has := u.User.Password(); has && d.Credential != "" {
			return nil, wrong("there is a password in url, and credential_id: one of them is enough")
		}
		if _, err := pgxpool.ParseConfig(d.URL); err != nil {
			text := err.Error() // the URL, and what is wrong with it
			return nil, wrong("url cannot be used: %s", text[strings.LastIndex(text, "`: ")+len("`: "):])
		}
	case "":
		return nil, wrong("url is missing: sqlite:PATH or postgres://user@host:5432/name")
	default:
		return nil, wrong("url starts with %.20q, want sqlite:PATH or postgres://user@host:5432/name", scheme)
	}
	return t, nil
}

// Name implements engine.TaskType.
func (t *TaskType) Name() string { return Name }

// UsesDatabase implements engine.DatabaseUser.
func (t *TaskType) UsesDatabase() {}

// PropertyNames implements engine.PropertyNamer.
func (t *TaskType) PropertyNames() []string { return propertyNames() }

// database returns the open database of a target.
func (t *TaskType) database(to *target) (database, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if db := t.open[to.name]; db != nil {
		return db, nil
	}
	if t.cfg.Dir == "" {
		return nil, errors.New("there is no data directory")
	}
	var db database
	var err error
	if to.dialect == sqltext.PostgreSQL {
		db, err = newPostgres(to, t.cfg.Credentials)
	} else {
		db, err = newSQLite(to)
	}
	if err == nil {
		t.open[to.name] = db
	}
	return db, err
}

// Close closes the databases.
func (t *TaskType) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, db := range t.open {
		db.close()
		delete(t.open, name)
	}
}

// database runs the transactions of tasks.
type database interface {
	// run runs a job in one transaction. Where it fails nothing has happened,
	// but for a failure that says unknown.
	run(ctx context.Context, j *job) (*outcome, *failure)
	close()
}

// job is what a task does in its transaction.
type job struct {
	statements []sqltext.Statement
	args       [][]any // of each: nil, bool, int64, float64, string or []byte
	mark       *mark   // nil: none is written
	result     collector
	now        time.Time
	done       []engine.Statement // that ran before one failed
}

// writes reports whether the transaction may change something.
func (j *job) writes() bool {
	return j.mark != nil || slices.ContainsFunc(j.statements, func(s sqltext.Statement) bool { return s.Writes })
}

// session reports whether it may leave something in the session.
func (j *job) session() bool {
	return slices.ContainsFunc(j.statements, func(s sqltext.Statement) bool { return s.Session })
}

// outcome is what became of a job.
type outcome struct {
	value    []byte // JSON; nil: none
	rows     int64  // read and written
	repeated bool   // a mark says that it had been committed before
	ran      []engine.Statement
}
