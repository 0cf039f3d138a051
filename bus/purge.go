package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sort"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// metaPurged is the key in the stream's metadata that says how far the ledger
// was purged.
const metaPurged = "qarion_purged_before"

// Purge implements engine.Ledger.
func (l *Ledger) Purge(ctx context.Context, before uint64) error {
	if done, err := l.Purged(ctx); err != nil || before <= done {
		return err
	}
	if err := l.note(ctx, metaPurged, strconv.FormatUint(before, 10)); err != nil {
		return fmt.Errorf("note that the ledger is purged before %d: %w", before, err)
	}
	if err := l.stream.Purge(ctx, jetstream.WithPurgeSequence(before)); err != nil {
		return fmt.Errorf("purge the ledger before %d: %w", before, err)
	}
	return nil
}

// Purged implements engine.Ledger.
func (l *Ledger) Purged(ctx context.Context) (uint64, error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return 0, unavailable(err)
	}
	return metaSeq(info.Config.Metadata, metaPurged)
}

// note stores a fact about the ledger with its stream's configuration: it does
// not lie in the messages that it is about.
func (l *Ledger) note(ctx context.Context, key, text string) error {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return unavailable(err)
	}
	cfg := info.Config
	cfg.Metadata = ownMetadata(cfg.Metadata)
	cfg.Metadata[key] = text
	if _, err := l.js.UpdateStream(ctx, cfg); err != nil {
		return unavailable(err)
	}
	return nil
}

// ownMetadata is what this program wrote of a stream's metadata; the server
// adds to it by itself.
func ownMetadata(all map[string]string) map[string]string {
	own := make(map[string]string, len(all)+1)
	maps.Copy(own, all)
	maps.DeleteFunc(own, func(key, _ string) bool { return strings.HasPrefix(key, "_nats.") })
	return own
}

// Since implements engine.Ledger. Timestamps grow with sequences, so it
// searches by halves.
func (l *Ledger) Since(ctx context.Context, t engine.Micros, upTo uint64) (uint64, error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return 0, unavailable(err)
	}
	from, to := info.State.FirstSeq, min(upTo, info.State.LastSeq+1)
	var failed error
	n := sort.Search(int(to-min(from, to)), func(i int) bool {
		m, err := l.stream.GetMsg(ctx, from+uint64(i), jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return true // nothing from here on
		}
		if err != nil {
			failed = unavailable(err)
			return true
		}
		return m.Sequence >= to || !m.Time.Before(t.Time())
	})
	return from + uint64(n), failed
}
