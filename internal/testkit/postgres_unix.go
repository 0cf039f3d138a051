//go:build unix

package testkit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Postgres is a real PostgreSQL server in a directory of its own, on loopback.
type Postgres struct {
	URL string // of a database of its own, for a role that is no superuser

	dir, bin string
	port     int
	as       *syscall.Credential // nil: as we are
}

// StartPostgres starts a server that ends with the test. Where PostgreSQL is
// not installed the test is skipped.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	bin := postgresBin()
	if bin == "" {
		t.Skip("PostgreSQL is not installed (initdb, pg_ctl): apt-get install postgresql")
	}
	p := &Postgres{bin: bin}
	var err error
	p.dir, err = os.MkdirTemp("", "qarion-postgres-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(p.dir) })
	if os.Geteuid() == 0 { // the server refuses to run as root
		p.as = &syscall.Credential{Uid: 65534, Gid: 65534}
		if u, err := user.Lookup("postgres"); err == nil {
			uid, _ := strconv.Atoi(u.Uid)
			gid, _ := strconv.Atoi(u.Gid)
			p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
		must(t, os.Chown(p.dir, int(p.as.Uid), int(p.as.Gid)))
	}
	p.run(t, "initdb", "-D", p.data(), "-U", "admin", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	p.Start(t)
	t.Cleanup(func() { _ = p.command("pg_ctl", "-D", p.data(), "-m", "immediate", "stop").Run() })
	p.sql(t, "postgres", "CREATE ROLE qarion LOGIN PASSWORD 'hush-hush-1'")
	p.sql(t, "postgres", "CREATE DATABASE qarion OWNER qarion")
	p.URL = fmt.Sprintf("postgres://qarion:hush-hush-1@127.0.0.1:%d/qarion", p.port)
	return p
}

// postgresBin is the folder of the server's programs.
func postgresBin() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// Start starts the server and waits until it takes connections.
func (p *Postgres) Start(t testing.TB) {
	t.Helper()
	options := fmt.Sprintf("-c listen_addresses=127.0.0.1 -c port=%d -c unix_socket_directories=%s -c fsync=off -c max_connections=40", p.port, p.dir)
	p.run(t, "pg_ctl", "-D", p.data(), "-l", filepath.Join(p.dir, "log"), "-w", "-o", options, "start")
}

// Stop ends the server; connections are cut.
func (p *Postgres) Stop(t testing.TB) {
	t.Helper()
	p.run(t, "pg_ctl", "-D", p.data(), "-w", "-m", "immediate", "stop")
}

// SQL runs a statement as the superuser.
func (p *Postgres) SQL(t testing.TB, statement string) {
	t.Helper()
	p.sql(t, "qarion", statement)
}

func (p *Postgres) sql(t testing.TB, database, statement string) {
	t.Helper()
	p.run(t, "psql", "-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-U", "admin", "-d", database, "-v", "ON_ERROR_STOP=1", "-c", statement)
}

// AdminURL is the URL for the superuser.
func (p *Postgres) AdminURL() string {
	return fmt.Sprintf("postgres://admin@127.0.0.1:%d/qarion", p.port)
}

func (p *Postgres) run(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := p.command(name, args...)
	log, err := os.Create(filepath.Join(p.dir, "out"))
	must(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log // not a pipe: the server would keep it open
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
}

func (p *Postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	if _, err := os.Stat(cmd.Path); err != nil { // psql may live elsewhere
		cmd = exec.Command(name, args...)
	}
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	return cmd
}
