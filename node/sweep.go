package node

import (
	"context"
	"errors"
	"time"

	"github.com/qarion/qarion/engine"
)

// How often values without a run are looked for, and how old they must be.
const (
	sweepEvery = time.Hour
	sweepAge   = 24 * time.Hour
)

// sweep deletes large values whose run is not known any more, until ctx ends.
func (n *Node) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		known := func(id engine.RunID) bool {
			_, err := n.runs.Get(ctx, id)
			return !errors.Is(err, engine.ErrNotFound)
		}
		deleted, err := n.blobs.Sweep(ctx, known, sweepAge)
		if err != nil && ctx.Err() == nil {
			n.log.Warn("values without a run could not be swept", engine.LogErr, err)
		}
		if deleted > 0 {
			n.log.Info("values without a run deleted", "objects", deleted)
		}
	}
}
