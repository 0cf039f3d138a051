package bus

import "github.com/qarion/qarion/engine"

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
	{engine.ErrBusy, codeBusy},
	{engine.ErrUnavailable, codeUnavailable},
}

// describe turns an error into a code and one line.
func describe(err error) (code, text string) {
	code = codeInternal
	kind := engine.KindOf(err)
	for _, k := range kinds {
		if k.err == kind {
			code = k.code
		}
	}
	return code, engine.ErrorLine(err)
}

// kindOf is the engine's kind of error of a service's code; nil where there is
// none.
func kindOf(code string) error {
	for _, k := range kinds {
		if k.code == code {
			return k.err
		}
	}
	return nil
}
