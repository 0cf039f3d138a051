//go:build !unix

package testkit

import "testing"

// Postgres is a real PostgreSQL server; this system has none for tests.
type Postgres struct{ URL string }

// StartPostgres skips the test: on this system no server is started.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	t.Skip("PostgreSQL is not started on this system")
	return nil
}

// Start, Stop and SQL stand for those of a server that is there.
func (p *Postgres) Start(testing.TB)       {}
func (p *Postgres) Stop(testing.TB)        {}
func (p *Postgres) SQL(testing.TB, string) {}

// AdminURL stands for that of a server that is there.
func (p *Postgres) AdminURL() string { return "" }
