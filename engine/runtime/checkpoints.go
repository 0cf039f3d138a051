package runtime

import (
	"context"

	"github.com/qarion/qarion/engine/fold"
)

// Checkpoints keeps snapshots of the fold, so that a start needs to fold only
// what came after. The newest two are kept.
type Checkpoints interface {
	// Save stores a snapshot; it covers the ledger up to its Seq.
	Save(ctx context.Context, snapshot *fold.Snapshot) error
	// Load returns the readable snapshots, newest first; at most two.
	Load(ctx context.Context) ([]*fold.Snapshot, error)
}
