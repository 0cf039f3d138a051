package kvstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// How much of the bucket is looked at in one step, backwards from its end: a
// list of the newest runs needs only the first step.
const (
	firstStep = 500
	maxStep   = 20_000
	fetchStep = 1000
)

// clockSlack is how far the clocks behind run ids and entries may disagree.
const clockSlack = 2 * time.Second

// entry is a run as its message's headers show it.
type entry struct {
	id     engine.RunID
	status engine.Status
	flow   engine.FlowID
}

// List implements engine.Runs.
//
// It reads headers alone, backwards from the bucket's end, and stops early: an
// entry stands where its run was last written, never before the time in its
// id. So once everything older in the bucket was written before the oldest run
// found began, no newer run can turn up.
func (r *Runs) List(ctx context.Context, filter engine.RunFilter) ([]*engine.RunDoc, error) {
	if filter.Trigger != "" {
		return nil, fmt.Errorf("%w: only the SQL tables tell what has started a run, and they are off or behind", engine.ErrUnavailable)
	}
	limit := engine.ListLimit(filter.Limit)
	info, err := r.feed.Stream().Info(ctx)
	if err != nil {
		return nil, unavailable(fmt.Errorf("list the runs: %w", err))
	}
	var found []entry
	end, first := info.State.LastSeq, info.State.FirstSeq
	for step := uint64(firstStep); end >= first && end > 0; step = min(4*step, maxStep) {
		from := max(first, end-min(step, end)+1)
		oldest, err := r.scan(ctx, from, end, filter, &found)
		if err != nil {
			return nil, unavailable(fmt.Errorf("list the runs: %w", err))
		}
		slices.SortFunc(found, func(a, b entry) int { return cmp.Compare(b.id, a.id) })
		if len(found) > limit {
			found = found[:limit]
		}
		if complete(found, limit, oldest, filter) {
			break
		}
		end = from - 1
	}
	ids := make([]engine.RunID, len(found))
	for i := range found {
		ids[i] = found[i].id
	}
	return r.Documents(ctx, ids)
}

// complete reports whether nothing that was written before a time can belong
// into the list any more.
func complete(found []entry, limit int, written time.Time, filter engine.RunFilter) bool {
	if written.IsZero() {
		return false
	}
	written = written.Add(clockSlack)
	if len(found) == limit && written.Before(found[limit-1].id.Time()) {
		return true
	}
	return !filter.Since.IsZero() && written.Before(filter.Since)
}

// scan adds the entries between two sequences that the filter chooses, and
// returns when the oldest of all was written.
func (r *Runs) scan(ctx context.Context, from, to uint64, filter engine.RunFilter, found *[]entry) (oldest time.Time, err error) {
	prefix := keyPrefix(BucketRuns)
	consumer, err := r.feed.Stream().CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, FilterSubject: prefix + "*",
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return oldest, err
	}
	defer r.drop(ctx, consumer)
	left := consumer.CachedInfo().NumPending
	for left > 0 {
		batch, err := consumer.Fetch(int(min(left, fetchStep)), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			return oldest, err
		}
		got := uint64(0)
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return oldest, err
			}
			got++
			if left = meta.NumPending; meta.Sequence.Stream > to {
				left = 0
				continue
			}
			if oldest.IsZero() || meta.Timestamp.Before(oldest) {
				oldest = meta.Timestamp
			}
			h := m.Headers()
			e := entry{
				id:     engine.RunID(strings.TrimPrefix(m.Subject(), prefix)),
				status: engine.Status(h.Get(headerStatus)), flow: engine.FlowID(h.Get(headerFlow)),
			}
			if h.Get(headerOperation) == "" && filter.Matches(e.id, e.flow, e.status) {
				*found = append(*found, e)
			}
		}
		if err := batch.Error(); err != nil {
			return oldest, err
		}
		if got == 0 {
			return oldest, errors.New("the entries did not come")
		}
	}
	return oldest, nil
}

// drop deletes a consumer that is no longer read; the server forgets it by
// itself when this does not arrive.
func (r *Runs) drop(ctx context.Context, c jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.feed.Stream().DeleteConsumer(ctx, c.CachedInfo().Name)
}
