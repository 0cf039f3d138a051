package engine

import (
	"context"
	"errors"
	"strings"
)

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
	// ErrBusy: too many are asking at once; the same may work in a moment.
	ErrBusy = errors.New("busy")
	// ErrDamaged: something that was stored is missing or cannot be read.
	ErrDamaged = errors.New("damaged")
)

// KindOf is the kind that an error is of: one of the above, or nil. What ran
// out of time is ErrUnavailable.
func KindOf(err error) error {
	for _, kind := range [...]error{ErrInvalid, ErrNotFound, ErrConflict, ErrDenied, ErrBusy, ErrUnavailable, ErrDamaged} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return ErrUnavailable
	}
	return nil
}

// MaxErrorLine bounds the line of an error that a caller reads, in bytes.
const MaxErrorLine = 1024

// ErrorLine is an error as the one line that a caller reads. The word of its
// kind is taken off: the code beside it says that.
func ErrorLine(err error) string {
	text := err.Error()
	if kind := KindOf(err); kind != nil {
		text = strings.TrimPrefix(text, kind.Error()+": ")
	}
	if err == context.DeadlineExceeded {
		text = "the node did not get it done in time"
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
	if len(text) > MaxErrorLine {
		text = strings.ToValidUTF8(text[:MaxErrorLine], "") + "..."
	}
	return text
}
