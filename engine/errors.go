package engine

import "errors"

// The kinds of error that callers tell apart with errors.Is. The text around
// them says what was being tried.
var (
	// ErrNotFound: the named flow, run, task, value or credential is not there.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: the input cannot be used as it is; repeating it is of no use.
	ErrInvalid = errors.New("invalid")
	// ErrConflict: what is there already stands against it.
	ErrConflict = errors.New("conflict")
	// ErrDenied: a rule or a permission forbids it.
	ErrDenied = errors.New("denied")
	// ErrUnavailable: it cannot be done now and may work later.
	ErrUnavailable = errors.New("unavailable")
	// ErrDamaged: something that was stored is missing or cannot be read.
	ErrDamaged = errors.New("damaged")
)
