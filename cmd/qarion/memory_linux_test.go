package main_test

import (
	"os"
	"syscall"
)

// peakMemory is the most memory that a process that has ended, or one of its
// children, had at once, in bytes.
func peakMemory(p *os.ProcessState) int64 {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return usage.Maxrss << 10
}
