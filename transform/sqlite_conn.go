package transform

import (
	"context"
	"database/sql/driver"
	"reflect"
	"strings"
	"sync"

	"modernc.org/libc"
	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Two things the driver keeps to itself: it stops a statement when its context
// ends only until the first row is there, and it does not say where in a
// statement an error is. SQLite has both, for the handle of the connection.

// handle is SQLite's own handle of a connection; 0 where the driver is another
// one.
func handle(c driver.Conn) uintptr {
	v := reflect.ValueOf(c)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return 0
	}
	db := v.Elem().FieldByName("db")
	if !db.IsValid() || db.Kind() != reflect.Uintptr {
		return 0
	}
	return uintptr(db.Uint())
}

// interruptible makes the statement that is about to run end with the
// transaction's context, also between its rows. stop must be called when it has
// ended.
func (t *sqliteTx) interruptible() (stop func()) {
	db := handle(t.conn)
	if db == 0 || t.ctx.Done() == nil {
		return func() {}
	}
	var mu sync.Mutex
	ended := false
	cancel := context.AfterFunc(t.ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if !ended {
			tls := libc.NewTLS()
			defer tls.Close()
			sqlite3.Xsqlite3_interrupt(tls, db)
		}
	})
	return func() {
		cancel()
		mu.Lock()
		ended = true
		mu.Unlock()
	}
}

// offset is where in the statement the last error is, in bytes; -1 where SQLite
// does not say.
func (t *sqliteTx) offset() int {
	db := handle(t.conn)
	if db == 0 {
		return -1
	}
	tls := libc.NewTLS()
	defer tls.Close()
	return int(sqlite3.Xsqlite3_error_offset(tls, db))
}

// sqliteMessage is an error in SQLite's own words: "no such column: total".
func sqliteMessage(e *sqlitedriver.Error) string {
	message := e.Error()
	if i := strings.LastIndex(message, " ("); i > 0 {
		message = message[:i]
	}
	for _, prefix := range []string{"SQL logic error: ", "constraint failed: "} {
		message = strings.TrimPrefix(message, prefix)
	}
	return message
}
