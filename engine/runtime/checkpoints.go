package runtime

import (
	"context"

	"github.com/qarion/qarion/engine/fold"
)

// Checkpoints keeps snapshots of the fold, so that a start needs to fold only
// what came after.
type Checkpoints interface {
	// Save stores a snapshot; it covers the ledger up to its Seq. Kept are the
	// newest two, and the newest that covers no more than needed: a view that
	// is behind starts there.
	Save(ctx context.Context, snapshot *fold.Snapshot, needed uint64) error
	// Load returns the newest readable snapshot that covers the ledger up to
	// at most a sequence; nil when there is none.
	Load(ctx context.Context, atMost uint64) (*fold.Snapshot, error)
	// Kept lists what the checkpoints cover, newest first.
	Kept(ctx context.Context) ([]uint64, error)
}
