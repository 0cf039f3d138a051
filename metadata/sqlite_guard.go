package metadata

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/qarion/qarion/engine"
)

// guardedConnector opens connections that can read, and nothing else.
type guardedConnector struct{ driver.Connector }

// Connect implements driver.Connector.
func (g guardedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := g.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := guard(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// guard makes a connection read one statement of a stranger's, and nothing else.
func guard(conn any) error {
	r, ok := conn.(sqlite.AuthorizerRegisterer)
	if !ok {
		return errors.New("the connection cannot be guarded")
	}
	left := slices.Clone(slowFunctions)
	return r.RegisterAuthorizer(func(action sqlite.AuthorizerActionCode, arg1, arg2, _, _ string) sqlite.AuthorizerReturnCode {
		if action == sqlite3.SQLITE_FUNCTION {
			for i := range left {
				if slices.Contains(left[i].names, strings.ToLower(arg2)) {
					if left[i].uses--; left[i].uses < 0 {
						return sqlite.AuthorizerDeny
					}
				}
			}
		}
		return authorize(action, arg1, arg2)
	})
}

// slowFunctions are those that take time by the product of what they are given,
// and how often they may stand in one statement. A query can be stopped between
// two rows, not within one: this bounds what one row can take to some seconds.
var slowFunctions = []struct {
	names []string
	uses  int
}{
	{[]string{"instr", "replace", "trim", "ltrim", "rtrim"}, 20},
	{[]string{"like", "glob"}, 60},
}

// What a stranger's statement may do beside reading. A pragma of the first
// list names a table or index, one of the second says something that harms
// nobody; none may set anything.
var (
	pragmasOfTables = []string{"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
	pragmasToRead   = []string{"compile_options", "function_list", "pragma_list", "encoding", "page_count", "page_size", "freelist_count", "user_version"}
	functionsDenied = []string{"load_extension", "fts3_tokenizer", "writefile", "readfile", "edit", "sqlite_dbpage"}
)

// authorize is asked for everything that a stranger's statement would do.
func authorize(action sqlite.AuthorizerActionCode, arg1, arg2 string) sqlite.AuthorizerReturnCode {
	switch action {
	case sqlite.AuthSelect, sqlite3.SQLITE_RECURSIVE:
		return sqlite.AuthorizerOK
	case sqlite.AuthRead:
		if arg1 != "sqlite_dbpage" {
			return sqlite.AuthorizerOK
		}
	case sqlite3.SQLITE_FUNCTION:
		if !slices.Contains(functionsDenied, strings.ToLower(arg2)) {
			return sqlite.AuthorizerOK
		}
	case sqlite.AuthPragma:
		name := strings.ToLower(arg1)
		if slices.Contains(pragmasOfTables, name) || slices.Contains(pragmasToRead, name) && arg2 == "" {
			return sqlite.AuthorizerOK
		}
	}
	return sqlite.AuthorizerDeny
}

// limits bound what one statement may build. The longest text in the tables is
// that of a record's details.
var limits = map[int]int{
	sqlite3.SQLITE_LIMIT_LENGTH:              engine.MaxRecord + 64<<10,
	sqlite3.SQLITE_LIMIT_SQL_LENGTH:          maxSQL,
	sqlite3.SQLITE_LIMIT_COLUMN:              200,
	sqlite3.SQLITE_LIMIT_EXPR_DEPTH:          200,
	sqlite3.SQLITE_LIMIT_COMPOUND_SELECT:     100,
	sqlite3.SQLITE_LIMIT_VDBE_OP:             100_000,
	sqlite3.SQLITE_LIMIT_FUNCTION_ARG:        50,
	sqlite3.SQLITE_LIMIT_ATTACHED:            0,
	sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 250,
	sqlite3.SQLITE_LIMIT_WORKER_THREADS:      0,
}

// deniedFunction says why a statement may not call a function.
func deniedFunction(name string) error {
	for _, f := range slowFunctions {
		if slices.Contains(f.names, strings.ToLower(name)) {
			return fmt.Errorf("%w: one statement may call %s %d times: ask for less at a time", engine.ErrInvalid, strings.Join(f.names, ", "), f.uses)
		}
	}
	return fmt.Errorf("%w: the function %s is not for queries", engine.ErrDenied, name)
}
