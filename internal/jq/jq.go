// Package jq applies jq expressions to JSON, bounded in time and in memory.
//
// jq is a whole language: it can count to infinity, and double a text until no
// memory is left. gojq can be told to stop between two of its steps, but
// nothing tells how much memory an evaluation has taken, and one step can take
// all there is; in the process of the node that would be the end of the node.
// So expressions are evaluated in processes of their own: the same program,
// started with Argument. Such a worker does one evaluation at a time, so what
// its memory grows by is that evaluation's, and it watches itself (serve.go).
// One that goes too far ends, and the node hears why (pool.go).
package jq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/itchyny/gojq"

	"github.com/qarion/qarion/internal/value"
)

// Limits of one evaluation.
const (
	MaxTime   = 2 * time.Second
	MaxSource = 64 << 10 // bytes of an expression
	MaxResult = 64 << 20 // bytes of JSON text

	// The memory of an evaluation: so much, and so much for each byte of the
	// document, which takes about ten times its size when it is parsed.
	baseMemory = 96 << 20
	perByte    = 24
)

// Argument makes this program a worker when it is the only one.
const Argument = "jq-worker"

// maxMessage bounds the text of an error, in bytes.
const maxMessage = 300

// Error says why an expression gave no result. Its text may quote data, but for
// a document that is sensitive Plain does not.
type Error struct {
	text   string
	quotes bool // the text may have a part of the data in it
}

func (e *Error) Error() string { return e.text }

// Plain is the error without what it quotes of the data.
func (e *Error) Plain() string {
	if e.quotes {
		return "the expression cannot be applied to this document"
	}
	return e.text
}

// The errors that are no mistake of the data.
var (
	errNone = &Error{text: "it gave no result; write (...) // null if that may be"}
	errMany = &Error{text: "it gave more than one result; write [...] around it for a list"}
	errTime = &Error{text: fmt.Sprintf("it did not end within %s", MaxTime)}
	errSize = &Error{text: fmt.Sprintf("it gave more than %d MiB", MaxResult>>20)}
)

func errMemory(limit int64) *Error {
	return &Error{text: fmt.Sprintf("it took more than %d MiB of memory", limit>>20)}
}

// memoryFor is how much an evaluation over a document may take, in bytes.
func memoryFor(doc int) int64 { return baseMemory + int64(doc)*perByte }

// readTime is how long a worker may take to read a document, at the most: it
// does not count for the expression.
func readTime(doc int) time.Duration {
	return 200*time.Millisecond + time.Duration(doc)*200*time.Nanosecond // 5 MB a second
}

// Check reports what is wrong with an expression before there is a document.
func Check(source string) error {
	_, err := compile(source)
	return err
}

// compile prepares an expression. It can read neither files nor the
// environment.
func compile(source string) (*gojq.Code, error) {
	if len(source) > MaxSource {
		return nil, fmt.Errorf("the expression has %d bytes, at most %d are read", len(source), MaxSource)
	}
	query, err := gojq.Parse(source)
	if err != nil {
		return nil, err
	}
	if query == nil {
		return nil, errors.New("the expression is empty")
	}
	return gojq.Compile(query)
}

// Local applies an expression in this process, where nothing bounds its memory:
// for programs that have no workers.
type Local struct{}

// Apply is Pool.Apply, in this process.
func (Local) Apply(ctx context.Context, source string, doc []byte) ([]byte, error) {
	code, err := compile(source)
	if err != nil {
		return nil, &Error{text: err.Error()}
	}
	out, err := apply(ctx, code, doc)
	if ctx.Err() != nil && err != nil {
		return nil, context.Cause(ctx)
	}
	return out, err
}

// apply runs an expression over a document. It must give exactly one result:
// one that is sometimes a list and sometimes not would surprise whoever reads
// it.
func apply(ctx context.Context, code *gojq.Code, doc []byte) ([]byte, error) {
	in, err := value.ParseJSON(doc)
	if err != nil {
		return nil, &Error{text: "the response is " + err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, MaxTime)
	defer cancel()
	results := code.RunWithContext(ctx, toJQ(in))
	result, ok := results.Next()
	if !ok {
		return nil, errNone
	}
	if err, bad := result.(error); bad {
		return nil, failure(ctx, err)
	}
	if more, ok := results.Next(); ok {
		if err, bad := more.(error); bad {
			return nil, failure(ctx, err)
		}
		return nil, errMany
	}
	return appendJQ(nil, result)
}

func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errTime
	}
	text := err.Error()
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "..."
	}
	return &Error{text: strings.ToValidUTF8(text, "\uFFFD"), quotes: true}
}
