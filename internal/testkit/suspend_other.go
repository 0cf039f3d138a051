//go:build !unix

package testkit

import (
	"errors"
	"time"
)

// Suspend would stop the node's process for a time; this system cannot.
func (p *Process) Suspend(time.Duration) error {
	return errors.New("processes cannot be suspended on this system")
}
