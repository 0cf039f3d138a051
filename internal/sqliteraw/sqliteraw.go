// Package sqliteraw reaches what SQLite has and its driver keeps to itself. The
// driver stops a statement when its context ends only until the first row is
// there, and it does not say where in a statement an error is. SQLite has both,
// for the handle of a connection.
package sqliteraw

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"modernc.org/libc"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// of is SQLite's own handle of a connection of modernc.org/sqlite, which has no
// method for it; 0 where the driver is another one.
func of(conn any) uintptr {
	v := reflect.ValueOf(conn)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return 0
	}
	db := v.Elem().FieldByName("db")
	if !db.IsValid() || db.Kind() != reflect.Uintptr {
		return 0
	}
	return uintptr(db.Uint())
}

// Interruptible makes the statements of a connection end with ctx, also between
// their rows. stop must be called before the connection is given to others: it
// returns when nothing can interrupt them any more. The error says that the
// driver is another one.
func Interruptible(ctx context.Context, conn any) (stop func(), err error) {
	db := of(conn)
	if db == 0 {
		return nil, fmt.Errorf("a connection of type %T cannot be interrupted", conn)
	}
	if ctx.Done() == nil {
		return func() {}, nil
	}
	var mu sync.Mutex
	ended := false
	cancel := context.AfterFunc(ctx, func() {
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
	}, nil
}

// ErrorOffset is where in its statement the last error of a connection is, in
// bytes; -1 where SQLite does not say.
func ErrorOffset(conn any) int {
	db := of(conn)
	if db == 0 {
		return -1
	}
	tls := libc.NewTLS()
	defer tls.Close()
	return int(sqlite3.Xsqlite3_error_offset(tls, db))
}

// Message is an error in SQLite's own words, without the driver's prefixes and
// numbers: "no such column: total".
func Message(e *sqlite.Error) string {
	text := strings.TrimSuffix(e.Error(), " (SQLITE_BUSY)")
	if i := strings.LastIndex(text, " ("); i > 0 {
		text = text[:i]
	}
	for _, prefix := range []string{"SQL logic error: ", "constraint failed: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}
