package bus

import (
	"context"
	"errors"
	"strings"

	"github.com/qarion/qarion/engine"
)

// Codes of the service's errors, as in HTTP.
const (
	codeInvalid     = "400"
	codeDenied      = "403"
	codeNotFound    = "404"
	codeConflict    = "409"
	codeBusy        = "429"
	codeInternal    = "500"
	codeUnavailable = "503"
)

// kinds ties the engine's kinds of error to codes.
var kinds = [...]struct {
	err  error
	code string
}{
	{engine.ErrInvalid, codeInvalid},
	{engine.ErrNotFound, codeNotFound},
	{engine.ErrConflict, codeConflict},
	{engine.ErrDenied, codeDenied},
	{errBusy, codeBusy},
	{engine.ErrUnavailable, codeUnavailable},
	{context.DeadlineExceeded, codeUnavailable},
	{context.Canceled, codeUnavailable},
}

// maxErrorText bounds an error's line, in bytes.
const maxErrorText = 1024

// describe turns an error into a code and one line. The kind stands in the
// code, so its word is taken off the line.
func describe(err error) (code, text string) {
	code, text = codeInternal, err.Error()
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			code = k.code
			text = strings.TrimPrefix(text, k.err.Error()+": ")
			break
		}
	}
	if err == context.DeadlineExceeded {
		text = "the node did not get it done in time"
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "..."
	}
	return code, text
}

// kindOf is the engine's kind of error of a service's code; nil where there is
// none.
func kindOf(code string) error {
	for _, k := range kinds {
		if k.code == code && k.err != errBusy {
			return k.err
		}
	}
	if code == codeBusy {
		return engine.ErrUnavailable
	}
	return nil
}
