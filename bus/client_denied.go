package bus

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// denials are the requests that wait for an answer, by subject. A server that
// does not allow a request says so beside it, to the connection: whoever waits
// for its answer must hear of that, and not wait until the time is up.
type denials struct {
	mu      sync.Mutex
	waiting map[string]map[*denial]struct{}
}

type denial struct {
	cancel  context.CancelFunc
	refused bool
}

// watch ends the context when the subject turns out not to be allowed; done
// says whether that was so, and must be called.
func (d *denials) watch(ctx context.Context, subject string) (_ context.Context, done func() bool) {
	ctx, cancel := context.WithCancel(ctx)
	w := &denial{cancel: cancel}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		d.waiting = map[string]map[*denial]struct{}{}
	}
	if d.waiting[subject] == nil {
		d.waiting[subject] = map[*denial]struct{}{}
	}
	d.waiting[subject][w] = struct{}{}
	return ctx, func() bool {
		cancel()
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.waiting[subject], w)
		if len(d.waiting[subject]) == 0 {
			delete(d.waiting, subject)
		}
		return w.refused
	}
}

// heard takes what the server says to the connection.
func (d *denials) heard(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for subject, waiting := range d.waiting {
		if !strings.Contains(err.Error(), `"`+subject+`"`) {
			continue
		}
		for w := range waiting {
			w.refused = true
			w.cancel()
		}
	}
}
