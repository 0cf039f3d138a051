package apicall

import (
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/qarion/qarion/engine"
)

// ownPause is how long an attempt waits for what its own node lacks; one of
// those that wait looks first.
const ownPause = time.Second

// ownShortages are the errors that say nothing about a host: it is this node
// that has run out of something.
var ownShortages = []struct {
	err  error
	what string
}{
	{syscall.EMFILE, "file descriptors"}, // of the process
	{syscall.ENFILE, "file descriptors"}, // of the system
	{syscall.EADDRNOTAVAIL, "local ports"},
	{syscall.ENOBUFS, "memory for connections"},
	{syscall.ENOMEM, "memory"},
}

// ownShortage names what the node lacks, "" when the error is another. A name
// server cannot be asked without a descriptor either; net keeps only the text
// of that.
func ownShortage(err error) string {
	for _, s := range ownShortages {
		if errors.Is(err, s.err) || strings.HasSuffix(err.Error(), ": "+s.err.Error()) {
			return s.what
		}
	}
	return ""
}

// postponedByNode is an attempt that waits as data until its node has again
// what it lacked: no retry is spent, and no breaker counts it.
func (a *attempt) postponedByNode(what string) engine.TaskOutput {
	a.out.Value, a.out.Large, a.out.Stored = nil, nil, nil
	a.out.Err = &engine.TaskError{Class: classNode, Message: "the node has no " + what + " left", Defer: ownPause, DeferKey: engine.NodeShort + what}
	return a.out
}
