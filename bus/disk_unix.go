//go:build unix

package bus

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeSpace is what an ordinary process may still write on the disk of a
// directory, in bytes.
func freeSpace(dir string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	return int64(fs.Bavail) * int64(fs.Bsize), nil
}
