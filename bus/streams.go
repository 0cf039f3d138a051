package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names of the streams.
const (
	StreamLedger      = "QARION_LEDGER"
	StreamCheckpoints = "QARION_CHECKPOINTS"
	StreamTriggers    = "QARION_TRIGGERS"
	StreamReady       = "QARION_READY"
	StreamEvents      = "QARION_EVENTS"
)

// bucketBlobs is the object store of large values.
const bucketBlobs = "qarion_blobs"

// ackWait is how long a delivered READY message may stay without a sign of
// life; workers give one every 5 s.
const ackWait = 15 * time.Second

// ledgerConfig: limits off, and nothing on that could remove a record by
// itself (no rollup, no TTL, no schedules). The duplicate window is the
// shortest there is, since the server's filter works per stream and would
// swallow one caller's key because of another's.
func ledgerConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        StreamLedger,
		Description: "qarion: everything that happened, in order",
		Subjects: []string{
			subjectInstall, subjectLost, subjectFlow + "*", subjectSubmit + "*",
			subjectAttempt + "*", subjectControl + "*",
		},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		Duplicates:  100 * time.Millisecond,
		AllowDirect: true,
		Replicas:    1,
		Metadata:    map[string]string{metaWhole: "1"}, // kept as it is where the stream is older
	}
}

// checkpointConfig: a stream of their own, so that the ledger has no gap but
// what a purge leaves at its beginning, and is read without them.
func checkpointConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        StreamCheckpoints,
		Description: "qarion: what the ledger amounts to, so that a start reads only its end",
		Subjects:    []string{subjectCheckpoint + "*.*"},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		Duplicates:  100 * time.Millisecond,
		AllowDirect: true,
		Replicas:    1,
	}
}

func readyConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        StreamReady,
		Description: "qarion: tasks to run now",
		Subjects:    []string{subjectReady + "*"},
		Storage:     jetstream.MemoryStorage,
		Retention:   jetstream.WorkQueuePolicy,
		Duplicates:  100 * time.Millisecond,
		Replicas:    1,
	}
}

// ensureStream creates a stream, or opens the one that is there and brings its
// configuration up to date. Facts that were noted with it stay.
func ensureStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := js.CreateStream(ctx, cfg)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		if s, err = js.Stream(ctx, cfg.Name); err == nil {
			cfg.Metadata = ownMetadata(s.CachedInfo().Config.Metadata)
			s, err = js.UpdateStream(ctx, cfg)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", cfg.Name, err)
	}
	return s, nil
}
