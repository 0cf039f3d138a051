package bus

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// Purge implements engine.Ledger: subject by subject, so that the newest flow
// versions, which may be the oldest messages of all, stay.
func (l *Ledger) Purge(ctx context.Context, before uint64, older engine.Micros, keep map[string]bool) error {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return unavailable(err)
	}
	limit, err := l.firstSince(ctx, info.State.FirstSeq, min(before, info.State.LastSeq+1), older.Time())
	if err != nil || limit <= info.State.FirstSeq {
		return err
	}
	for _, subject := range []string{subjectTrigger + ">", subjectSubmit + "*", subjectAttempt + "*", subjectControl + "*"} {
		err := l.stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(limit))
		if err != nil {
			return fmt.Errorf("purge %s before %d: %w", subject, limit, err)
		}
	}
	return l.purgeFlows(ctx, limit, keep)
}

// firstSince finds, between two sequences, the first message that is not older
// than a time. Timestamps grow with sequences, so it searches by halves.
func (l *Ledger) firstSince(ctx context.Context, from, to uint64, t time.Time) (uint64, error) {
	var failed error
	n := sort.Search(int(to-min(from, to)), func(i int) bool {
		m, err := l.stream.GetMsg(ctx, from+uint64(i), jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return true // nothing from here on
		}
		if err != nil {
			failed = err
			return true
		}
		return m.Sequence >= to || !m.Time.Before(t)
	})
	return from + uint64(n), failed
}

// purgeFlows deletes old flow versions that are neither the newest of their
// flow nor in use.
func (l *Ledger) purgeFlows(ctx context.Context, limit uint64, keep map[string]bool) error {
	info, err := l.stream.Info(ctx, jetstream.WithSubjectFilter(subjectFlow+"*"))
	if err != nil {
		return unavailable(err)
	}
	for subject, n := range info.State.Subjects {
		if n < 2 {
			continue
		}
		if err := l.purgeFlow(ctx, subject, limit, keep); err != nil {
			return fmt.Errorf("purge old versions of %s: %w", subject, err)
		}
	}
	return nil
}

func (l *Ledger) purgeFlow(ctx context.Context, subject string, limit uint64, keep map[string]bool) error {
	newest, err := l.stream.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return err
	}
	for seq := uint64(1); ; seq++ {
		m, err := l.stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		seq = m.Sequence
		if seq >= limit || seq == newest.Sequence {
			return nil
		}
		if keep[m.Header.Get(headerHash)] {
			continue
		}
		if err := l.stream.DeleteMsg(ctx, seq); err != nil {
			return err
		}
	}
}
