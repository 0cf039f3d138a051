package bus

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// runs is all runs: the open ones as the engine has them, the others as the
// view has them. It implements engine.Runs.
type runs struct {
	engine Runner
	view   engine.Runs
}

var _ engine.Runs = (*runs)(nil)

// Get implements engine.Runs.
func (r *runs) Get(ctx context.Context, id engine.RunID) (*engine.RunDoc, error) {
	doc, err := r.engine.Get(ctx, id)
	if err == nil || !errors.Is(err, engine.ErrNotFound) {
		return doc, err
	}
	doc, err = r.view.Get(ctx, id)
	if err != nil && !errors.Is(err, engine.ErrNotFound) || err == nil && doc.Final {
		return doc, err
	}
	// It has ended, and the view is about to show that.
	if err := r.engine.Shown(ctx, engine.RunsView); err != nil {
		return nil, err
	}
	return r.view.Get(ctx, id)
}

// open returns the open runs, once the view shows those that are not.
func (r *runs) open(ctx context.Context) ([]*engine.RunDoc, error) {
	open, err := r.engine.Open(ctx)
	if err != nil {
		return nil, err
	}
	return open, r.engine.Shown(ctx, engine.RunsView)
}

// wait returns a run when it is final or waits for a person, or as it is when
// the time is up.
func (r *runs) wait(ctx context.Context, id engine.RunID, limit time.Duration) (*engine.RunDoc, error) {
	if limit > 0 {
		waiting, cancel := context.WithTimeout(ctx, limit)
		doc, err := r.engine.Wait(waiting, id)
		timeUp := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil {
			return doc, nil
		}
		if !timeUp && !errors.Is(err, engine.ErrNotFound) {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.Get(ctx, id)
}

// List implements engine.Runs.
func (r *runs) List(ctx context.Context, filter engine.RunFilter) ([]*engine.RunDoc, error) {
	docs, _, err := r.list(ctx, filter)
	return docs, err
}

// list is List; more says that there are older ones.
func (r *runs) list(ctx context.Context, filter engine.RunFilter) (list []*engine.RunDoc, more bool, err error) {
	if filter.Limit <= 0 {
		filter.Limit = engine.DefaultRunLimit
	}
	limit := min(filter.Limit, engine.MaxRunLimit)
	filter.Limit = limit + 1 // to see whether there are more
	open, err := r.open(ctx)
	if err != nil {
		return nil, false, err
	}
	var docs []*engine.RunDoc
	if filter.Status != engine.Waiting { // what waits is open
		if docs, err = r.view.List(ctx, filter); err != nil {
			return nil, false, err
		}
	}
	now := make(map[engine.RunID]bool, len(open))
	for _, doc := range open {
		now[doc.RunID] = true
		status := doc.Status
		if filter.Status == engine.Waiting && doc.Waiting != nil {
			status = engine.Waiting
		}
		if filter.Matches(doc.RunID, doc.FlowID, status) && (filter.Trigger == "" || filter.Trigger == doc.TriggerType || filter.Trigger == doc.TriggerID) {
			list = append(list, doc)
		}
	}
	for _, doc := range docs {
		if !now[doc.RunID] {
			list = append(list, doc)
		}
	}
	slices.SortFunc(list, func(a, b *engine.RunDoc) int { return cmp.Compare(b.RunID, a.RunID) })
	if len(list) > limit {
		return list[:limit], true, nil
	}
	return list, false, nil
}

// Ending implements engine.Runs.
func (r *runs) Ending(ctx context.Context, ending string) ([]engine.RunID, error) {
	open, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	ids, err := r.view.Ending(ctx, ending)
	if err != nil || len(ids) > 1 {
		return ids, err
	}
	for _, doc := range open {
		if strings.HasSuffix(string(doc.RunID), ending) && !slices.Contains(ids, doc.RunID) {
			ids = append(ids, doc.RunID)
		}
	}
	return ids, nil
}
