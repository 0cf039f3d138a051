package bus

import (
	"fmt"

	"golang.org/x/sys/windows"
)

// freeSpace is what this user may still write on the disk of a directory, in
// bytes.
func freeSpace(dir string) (int64, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	return int64(min(free, serverLimit)), nil
}
