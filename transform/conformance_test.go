package transform_test

import (
	"database/sql/driver"
	"sync/atomic"
	"testing"

	"modernc.org/sqlite"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/enginetest"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/transform"
)

var (
	effects atomic.Int32
	started = make(chan struct{}, 1)
)

func init() { // functions of SQLite are registered before connections are made
	sqlite.MustRegisterScalarFunction("test_effect", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		return int64(effects.Add(1)), nil
	})
	sqlite.MustRegisterScalarFunction("test_started", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		select {
		case started <- struct{}{}:
		default:
		}
		return int64(1), nil
	})
}

func TestConformance(t *testing.T) {
	enginetest.Run(t, enginetest.Suite{
		New: func(t *testing.T) (engine.TaskType, func()) {
			kind, err := transform.New(transform.Config{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			return kind, kind.Close
		},
		Good: value.MapOf("sql", "CREATE TABLE IF NOT EXISTS t (n); INSERT INTO t VALUES (test_effect())"), Fails: value.MapOf("sql", "SELECT nope", "retry_count", int64(2)),
		Bad:   value.MapOf("sql", "BEGIN; SELECT 1", "time_out", int64(1)),
		Hangs: value.MapOf("sql", "WITH RECURSIVE n(i) AS (SELECT test_started() UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"), Started: started,
		Effects: func() int { return int(effects.Load()) }, Undone: true,
	})
}
