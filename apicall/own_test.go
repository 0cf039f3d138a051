package apicall

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/qarion/qarion/engine"
)

// What the node itself lacks is neither a failure of the task nor one of the
// host: the attempt waits, and no breaker hears of it.
func TestOwnShortage_TheAttemptWaitsAndNoBreakerCountsIt(t *testing.T) {
	dial := func(err error) error {
		return fmt.Errorf("get: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", err)})
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"descriptors of the process": {dial(syscall.EMFILE), "file descriptors"},
		"descriptors of the system":  {dial(syscall.ENFILE), "file descriptors"},
		"ports":                      {dial(syscall.EADDRNOTAVAIL), "local ports"},
		"memory":                     {dial(syscall.ENOMEM), "memory"},
		"asking a name server":       {&net.DNSError{Err: "dial udp 127.0.0.53:53: socket: " + syscall.EMFILE.Error(), Name: "a.example"}, "file descriptors"},
		"refused":                    {dial(syscall.ECONNREFUSED), ""},
		"no such host":               {&net.DNSError{Err: "no such host", Name: "a.example", IsNotFound: true}, ""},
		"something else":             {errors.New("too many open questions"), ""},
	} {
		if got := ownShortage(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}

	prog := taskOf(t, kindOf(t, Config{Slots: 1}), "url", "http://127.0.0.1:1/", "retry_count", int64(3))
	in := engine.NewTaskInput(&engine.Flow{ID: "f"}, &engine.Task{ID: "t", Type: "api_call"}, nil, nil)
	a := &attempt{prog: prog, in: in, vars: &vars{TaskInput: in, prog: prog}}
	if err := a.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := dial(syscall.EMFILE)
	out := a.failed(t.Context(), a.classify(t.Context(), err), err)
	if out.Err.Defer != ownPause || out.Err.DeferKey != engine.NodeShort+"file descriptors" || out.Err.Retryable {
		t.Errorf("got %+v, want an attempt that waits", out.Err)
	}
	if got := learned(&out); got != BreakerIgnored {
		t.Errorf("the breaker hears %v", got)
	}
}
