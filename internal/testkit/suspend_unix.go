//go:build unix

package testkit

import (
	"syscall"
	"time"
)

// Suspend stops the node's process for a time, as a laptop that is closed.
func (p *Process) Suspend(d time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	time.Sleep(d)
	return p.cmd.Process.Signal(syscall.SIGCONT)
}
