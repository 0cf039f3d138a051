package metadata

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/qarion/qarion/engine"
)

// Defaults and bounds.
const (
	DefaultFile      = "metadata.db" // in the data directory
	DefaultRetention = engine.DefaultRetention

	connectWithin = 3 * time.Second // to a database that does not answer
	expireEvery   = time.Minute
	expireAtOnce  = 200 // runs per transaction: the projection waits for no more

	// A node with much to do gets fewer and larger transactions: most runs then
	// begin and end in one, and cost a row of each table and nothing more.
	busyBatch     = 32 // changes
	pausePerWrite = 4  // times as long as the write took
	maxPause      = 10 * time.Millisecond
)

// Config is how the tables are opened. A zero field means its default.
type Config struct {
	// Database is a file name, or the URL of a PostgreSQL database:
	// postgres://user:password@host:port/name, with search_path for a schema.
	Database  string
	Retention time.Duration // of closed runs, with their tasks and operations
	// Installation names the ledger that the tables follow. It is asked when
	// their position is.
	Installation func(ctx context.Context) (string, error)
	Now          func() time.Time
	Log          *slog.Logger
}

// Tables is the xt_* tables. It implements engine.Projection.
type Tables struct {
	cfg   Config
	log   *slog.Logger
	db    database
	batch *batch        // of the projection
	pause time.Duration // after the last batch

	writing   sync.Mutex // the projection and the retention take turns
	connected bool       // the schema is there and the tables are ours

	queries *cursors
	stop    context.CancelFunc
	expires sync.WaitGroup
}

var _ engine.Projection = (*Tables)(nil)

// database is one kind of database. write, setPosition, expire, clear and
// prepare are called by one goroutine at a time, the others by any.
type database interface {
	// prepare connects, within connectWithin, and brings the schema up to date,
	// which may take minutes; the position of an empty database is the zero one.
	// ErrConflict: it is not ours. ErrOlder, with the position: the schema is an
	// older one, and is not to be upgraded now.
	prepare(ctx context.Context, installation string, upgrade bool) (engine.Pos, error)
	// write stores what fill makes of the position that the tables are at, and
	// the new position, in one transaction.
	write(ctx context.Context, fill func(at engine.Pos) *batch) error
	// setPosition moves the position forward, and makes that durable.
	setPosition(ctx context.Context, at engine.Pos) error
	// expire deletes closed runs that ended before a time, at most so many,
	// with all that belongs to them.
	expire(ctx context.Context, before engine.Micros, limit int) (deleted int, err error)
	// clear deletes everything.
	clear(ctx context.Context) error
	// ask runs a statement that a stranger wrote, read-only.
	ask(ctx context.Context, sql string) (answer, error)
	// list runs a statement of ours, with ? for its arguments.
	list(ctx context.Context, sql string, args []any, row func(scan func(...any) error) error) error
	// moment is a time as an argument of list.
	moment(at time.Time) any
	// problem puts an error into words, with what to do about it.
	problem(err error) error
	close() error
}

// Open prepares the tables. The database is not needed yet: one that is down
// is connected to when it is there.
func Open(cfg Config) (*Tables, error) {
	if cfg.Retention <= 0 {
		cfg.Retention = DefaultRetention
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	t := &Tables{cfg: cfg, log: engine.Logger(cfg.Log), batch: newBatch()}
	t.queries = newCursors(t)
	var err error
	if IsURL(cfg.Database) {
		t.db, err = newPostgres(cfg.Database)
	} else {
		t.db = newSQLite(cfg.Database)
	}
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	t.stop = stop
	t.expires.Go(func() { t.keepExpiring(ctx) })
	return t, nil
}

// IsURL reports whether a database is named by a URL, which is PostgreSQL.
func IsURL(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

// Where names the database for people, without a password.
func (t *Tables) Where() string { return where(t.cfg.Database) }

func where(database string) string {
	if !IsURL(database) {
		return filepath.Base(database)
	}
	return redactURL(database)
}

// Close ends the writing; queries that are open end too.
func (t *Tables) Close() error {
	t.stop()
	t.expires.Wait()
	t.queries.close()
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.db.close()
}

// Name implements engine.Projection.
func (t *Tables) Name() string { return engine.TablesView }

// Patience implements engine.Trailing: whoever waits for the end of a run waits
// so long for the tables, and no longer.
func (t *Tables) Patience() time.Duration { return 5 * time.Second }

// Pause implements engine.Trailing.
func (t *Tables) Pause() time.Duration { return t.pause }

// Position implements engine.Projection. A database that cannot be used now
// must not keep the node from starting: then the position is the ledger's
// beginning, and what the tables hold already is known when they are written.
func (t *Tables) Position(ctx context.Context) (engine.Pos, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	at, err := t.connect(ctx, false)
	switch {
	case errors.Is(err, errNew):
		return engine.Pos{}, nil // the first record has yet to be written, and nothing to be shown
	case errors.Is(err, ErrOlder):
		t.log.Info("the SQL tables have an older schema; they are upgraded with the next run", "database", t.Where())
		return at, nil // the node does not wait for it
	}
	if err != nil && ctx.Err() == nil {
		t.log.Warn("the SQL tables cannot be written; they follow when they can", "database", t.Where(), engine.LogErr, err)
		return engine.Pos{}, nil
	}
	return at, err
}

// errNew says that the ledger is new: it has no installation id yet.
var errNew = errors.New("the ledger is new")

// ErrOlder says that the tables have an older schema.
var ErrOlder = errors.New("the tables have an older schema")

func (t *Tables) connect(ctx context.Context, upgrade bool) (engine.Pos, error) {
	id, err := t.cfg.Installation(ctx)
	if err != nil {
		if errors.Is(err, engine.ErrNotFound) {
			err = errors.Join(errNew, err)
		}
		return engine.Pos{}, fmt.Errorf("read the installation id: %w", err)
	}
	at, err := t.db.prepare(ctx, id, upgrade)
	t.connected = err == nil
	return at, t.unavailable(err)
}

// Project implements engine.Projection.
func (t *Tables) Project(ctx context.Context, changes []engine.Change) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if !t.connected {
		if _, err := t.connect(ctx, true); err != nil {
			return err
		}
	}
	began := time.Now()
	t.pause = 0
	err := t.db.write(ctx, func(at engine.Pos) *batch {
		t.batch.fill(changes, at)
		return t.batch
	})
	t.batch.reset()
	if len(changes) >= busyBatch {
		t.pause = min(pausePerWrite*time.Since(began), maxPause)
	}
	return t.lost(err)
}

// Mark implements engine.Projection.
func (t *Tables) Mark(ctx context.Context, at engine.Pos) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if !t.connected {
		if _, err := t.connect(ctx, true); err != nil {
			return err
		}
	}
	return t.lost(t.db.setPosition(ctx, at))
}

// lost makes the next write look at the database anew, if this one failed.
func (t *Tables) lost(err error) error {
	if err != nil {
		t.connected = false
	}
	return t.unavailable(err)
}

func (t *Tables) unavailable(err error) error {
	if err == nil || errors.Is(err, engine.ErrConflict) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", engine.ErrUnavailable, t.Where(), t.db.problem(err))
}

// Rebuild deletes all rows, so that they are made again from the ledger. The
// node must not be running.
func (t *Tables) Rebuild(ctx context.Context) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.connected = false
	return t.unavailable(t.db.clear(ctx))
}

// keepExpiring deletes what is past its time, until ctx ends.
func (t *Tables) keepExpiring(ctx context.Context) {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := t.Expire(ctx, t.cfg.Now().Add(-t.cfg.Retention)); err != nil && ctx.Err() == nil {
			t.log.Warn("old rows could not be deleted; it is tried again", engine.LogErr, err)
		}
	}
}

// Expire deletes the runs that ended before a time, with their tasks and
// operations, in small steps between which the projection has its turn.
func (t *Tables) Expire(ctx context.Context, before time.Time) error {
	for ctx.Err() == nil {
		t.writing.Lock()
		if !t.connected {
			t.writing.Unlock()
			return nil // the projection says what is wrong
		}
		n, err := t.db.expire(ctx, engine.At(before), expireAtOnce)
		t.writing.Unlock()
		if err != nil || n < expireAtOnce {
			return t.unavailable(err)
		}
	}
	return ctx.Err()
}
