package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	_ "modernc.org/sqlite" // the driver
)

// CopySQLite copies a database file, as it is at one moment, while others write
// it. The copy must not be there yet. fs.ErrNotExist: there is no such file.
func CopySQLite(ctx context.Context, from, to string) error {
	if _, err := os.Stat(from); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", (&sqliteDB{path: from}).dsn("?_pragma=busy_timeout(5000)"))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return errors.Join(fmt.Errorf("copy the SQL tables: %w", err), removeIfThere(to))
	}
	return os.Chmod(to, 0o600)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
