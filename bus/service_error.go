package bus

import (
	"context"
	"errors"
	"strings"

	"github.com/qarion/qarion/engine"
)

// Codes of the service's errors, as in HTTP.
const (
	CodeInvalid     = "400"
	CodeDenied      = "403"
	CodeNotFound    = "404"
	CodeConflict    = "409"
	CodeBusy        = "429"
	CodeInternal    = "500"
	CodeUnavailable = "503"
)

// kinds ties the engine's kinds of error to codes.
var kinds = [...]struct {
	err  error
	code string
}{
	{engine.ErrInvalid, CodeInvalid},
	{engine.ErrNotFound, CodeNotFound},
	{engine.ErrConflict, CodeConflict},
	{engine.ErrDenied, CodeDenied},
	{errBusy, CodeBusy},
	{engine.ErrUnavailable, CodeUnavailable},
	{context.DeadlineExceeded, CodeUnavailable},
	{context.Canceled, CodeUnavailable},
}

// maxErrorText bounds an error's line, in bytes.
const maxErrorText = 1024

// describe turns an error into a code and one line. The kind stands in the
// code, so its word is taken off the line.
func describe(err error) (code, text string) {
	code, text = CodeInternal, err.Error()
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

// ServiceError is an error that a node answered.
type ServiceError struct {
	Code string // CodeInvalid, ...
	Text string // one line
}

func (e *ServiceError) Error() string { return e.Text }

// Unwrap gives the engine's kind of error, so that errors.Is works across the
// wire.
func (e *ServiceError) Unwrap() error {
	for _, k := range kinds {
		if k.code == e.Code {
			return k.err
		}
	}
	return nil
}
