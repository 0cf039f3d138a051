package wasmhooks

import "fmt"

// The classes of what can go wrong with a hook, as docs/hooks.md has them.
const (
	ClassTrap     = "hook_trap"     // it broke off: trap, abort, exit, stack overflow
	ClassTimeout  = "hook_timeout"  // its fuel was used up
	ClassProtocol = "hook_protocol" // what it gave is not what the interface says
	ClassError    = "hook_error"    // it says itself that it cannot do its work
	ClassBusy     = "hook_busy"     // no instance was free in time, or the module is held back after failures
	ClassLoad     = "hook_load"     // the module is missing or cannot be used
)

// Error says in one line what is wrong with a hook. It holds nothing of what the
// hook was given.
type Error struct {
	Class   string
	Message string
	Retry   bool   // another attempt may help
	Code    string // of an error document
}

func (e *Error) Error() string { return e.Message }

func errorf(class, format string, args ...any) *Error {
	return &Error{Class: class, Message: fmt.Sprintf(format, args...)}
}

func loadError(format string, args ...any) *Error { return errorf(ClassLoad, format, args...) }
