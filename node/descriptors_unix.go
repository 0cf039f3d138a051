//go:build unix

package node

import "golang.org/x/sys/unix"

// descriptors is how many files and connections this process may have open; 0
// where that is not known. The Go runtime has raised the soft limit to the hard
// one.
func descriptors() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}
