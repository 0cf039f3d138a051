package apicall

import (
	"context"
	"errors"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jq"
	"github.com/qarion/qarion/internal/value"
)

// Selector applies a jq expression to a document, both as text. An error that
// is a *jq.Error says what is wrong with them; any other that the expression
// could not be applied now.
type Selector interface {
	Apply(ctx context.Context, source string, doc []byte) ([]byte, error)
}

var _ Selector = (*jq.Pool)(nil)

// selectError is why select gave nothing.
type selectError struct {
	text string
	err  error
}

func (e *selectError) Error() string { return e.text }
func (e *selectError) Unwrap() error { return e.err }

// unselected says what kind of failure it is that select gave nothing: the run
// or the time has ended, there was no worker for it, or it does not fit.
func (a *attempt) unselected(ctx context.Context, err error) failure {
	var wrong *jq.Error
	if ctx.Err() != nil {
		return a.classifyBody(ctx, err)
	}
	return failure{class: classSelect, sent: true, done: true, again: !errors.As(err, &wrong)}
}

// pick applies select to a response: what it gives is stored instead.
func (a *attempt) pick(ctx context.Context, doc *document) (document, error) {
	in := doc.data
	switch doc.shape {
	case shapeBytes:
		return document{}, &selectError{"select: " + value.NewBytes(doc.data, doc.mediaType).NotText(), &jq.Error{}}
	case shapeText:
		in = value.AppendString(nil, string(doc.data))
	case shapeNothing:
		in = []byte("null")
	}
	out, err := a.prog.t.cfg.Select.Apply(ctx, a.props().selects, in)
	var wrong *jq.Error
	switch {
	case err == nil:
	case errors.As(err, &wrong) && strings.HasPrefix(wrong.Error(), "it "):
		return document{}, &selectError{"select" + strings.TrimPrefix(wrong.Error(), "it"), err}
	default:
		return document{}, &selectError{"select: " + err.Error(), err}
	}
	return document{shape: shapeJSON, data: out, mediaType: engine.TypeJSON}, nil
}
