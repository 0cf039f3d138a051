package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/engine"
)

// How often a watcher looks at a run: at most, when nothing is heard of it, and
// how long it goes on without an answer while the node restarts.
const (
	watchEvery    = 100 * time.Millisecond
	watchAtLeast  = time.Second
	watchPatience = 30 * time.Second
)

// Watch hands a run's document to fn whenever it may have changed, at most ten
// times a second, until the run is final or a task of it waits for a person;
// the last document is returned. It outlives a restart of the node.
func (c *Client) Watch(ctx context.Context, id engine.RunID, fn func(*engine.RunDoc)) (*engine.RunDoc, error) {
	doc, err := c.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	heard, forget, err := c.listen(doc)
	if err != nil {
		return nil, fmt.Errorf("watch run %s: %w", id, err)
	}
	defer forget()
	for answered := time.Now(); ; {
		next, err := c.Run(ctx, id)
		switch {
		case err == nil:
			doc, answered = next, time.Now()
			fn(doc)
			if doc.Final || doc.Status == engine.Interrupted {
				return doc, nil
			}
		case ctx.Err() != nil:
			return doc, ctx.Err()
		case !errors.Is(err, engine.ErrUnavailable) || time.Since(answered) > watchPatience:
			return doc, err
		}
		if err := rest(ctx, watchEvery, nil); err != nil {
			return doc, err
		}
		if err := rest(ctx, watchAtLeast-watchEvery, heard); err != nil {
			return doc, err
		}
	}
}

// listen signals on the channel when anything is heard of a run.
func (c *Client) listen(doc *engine.RunDoc) (heard <-chan struct{}, forget func(), err error) {
	signal := make(chan struct{}, 1)
	var subs []*nats.Subscription
	forget = func() {
		for _, s := range subs {
			_ = s.Unsubscribe()
		}
	}
	for _, subject := range []string{SubjectLog, SubjectEvent} {
		s, err := c.nc.Subscribe(subject+string(doc.FlowID)+".>", func(m *nats.Msg) {
			if m.Header.Get(HeaderRun) != string(doc.RunID) {
				return
			}
			select {
			case signal <- struct{}{}:
			default:
			}
		})
		if err != nil {
			forget()
			return nil, nil, err
		}
		subs = append(subs, s)
	}
	// What happens after the document that is read next must be heard.
	if err := c.nc.FlushTimeout(callTimeout); err != nil && !c.nc.IsReconnecting() {
		forget()
		return nil, nil, err
	}
	return signal, forget, nil
}

// rest waits for a time, or until something is heard.
func rest(ctx context.Context, d time.Duration, heard <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-heard:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
