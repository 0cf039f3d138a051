package apicall

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
)

// keyHeader carries the idempotency key (the name that the IETF draft
// "The Idempotency-Key HTTP Header Field" gives it).
const keyHeader = "Idempotency-Key"

// maxKey is the longest idempotency key, in bytes.
const maxKey = 255

// key adds the idempotency key: by default one that the engine derives, the
// same in every attempt of the task, over retries and restarts, and in a rerun
// that may repeat a request of which nobody knows what became of it.
func (a *attempt) key(ctx context.Context) error {
	p := a.prog
	if !p.props.keyed {
		return nil
	}
	key := a.in.IdempotencyKey()
	if p.key != nil {
		r, err := p.key.Text(ctx, a.vars)
		if err != nil {
			return err
		}
		key, _ = r.Value.(string)
		noteSecret(a.vars, r.Origin, key)
		if key == "" || len(key) > maxKey || strings.ContainsFunc(key, func(c rune) bool { return c < 0x21 || c > 0x7e }) {
			return errors.New("idempotency_key: the rendered text must have 1 to 255 visible ASCII characters")
		}
	}
	a.req.Header[keyHeader] = []string{key}
	a.out.Details.IdempotencyKey = a.redactor().values(key)
	return nil
}

// hideKeys writes the headers by which net/http takes a request as repeatable
// in lower case: the same to a server, and unknown to net/http.
func hideKeys(req *http.Request) {
	for _, name := range []string{keyHeader, "X-Idempotency-Key"} {
		if v, ok := req.Header[name]; ok {
			req.Header = maps.Clone(req.Header)
			delete(req.Header, name)
			req.Header[strings.ToLower(name)] = v
		}
	}
}

// safe reports whether sending the request twice has no more effect than once
// (RFC 9110, 9.2.2).
func safe(operation string) bool { return operation != "post" && operation != "patch" }

// unrepeatable reports whether the request must not be sent a second time by
// itself when its outcome is not known.
func (p *props) unrepeatable() bool { return !safe(p.operation) && !p.keyed && !p.onlyReads }
