package node

import (
	"context"
	"errors"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// moduleAge is how long a module of a hook stays that no name and no flow version in
// use names: runs that ended may be repeated with theirs.
const moduleAge = 7 * 24 * time.Hour

// pushAge is how long the parts of a module stay that no entry names: a push takes
// seconds, and one that was cut off is made anew.
const pushAge = time.Hour

// How often values without a run are looked for, and how old they must be.
const (
	sweepEvery = time.Hour
	sweepAge   = 24 * time.Hour
)

// sweep deletes large values that nothing names any more, at the start and then
// from time to time, until ctx ends. At the start nobody but this process can
// be writing an object: what was half written belongs to one that has died.
func (n *Node) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	select {
	case <-n.Engine.Ready():
	case <-ctx.Done():
		return
	}
	for age := time.Duration(0); ; age = sweepAge {
		// A run is known by its document: while those are being made, it is not
		// known yet, and what it has left must stay.
		if n.Engine.Shown(ctx, engine.RunsView) != nil {
			return
		}
		n.sweepOnce(ctx, age)
		n.sweepModules(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sweepOnce deletes parts of objects that are older than an age, and objects
// of runs that are not known any more.
func (n *Node) sweepOnce(ctx context.Context, partAge time.Duration) {
	sources, err := n.Engine.Sources(ctx)
	if err != nil {
		return
	}
	known := func(id engine.RunID) bool {
		if sources[id] {
			return true
		}
		_, err := n.runs.Get(ctx, id)
		return !errors.Is(err, engine.ErrNotFound)
	}
	parts, err := n.blobs.SweepChunks(ctx, partAge)
	deleted, err2 := n.blobs.Sweep(ctx, known, sweepAge)
	if err = errors.Join(err, err2); err != nil && ctx.Err() == nil {
		n.log.Warn("values that nothing names could not be swept", engine.LogErr, err)
	}
	if deleted+parts > 0 {
		n.log.Info("values that nothing names deleted", "objects", deleted, "half_written", parts)
	}
}

// sweepModules deletes modules of hooks that nothing names any more.
func (n *Node) sweepModules(ctx context.Context, now time.Time) {
	modules, err := n.hooks.stored(ctx)
	if errors.Is(err, engine.ErrNotFound) {
		return
	}
	var flows []*engine.Flow
	if err == nil {
		flows, err = n.Engine.InUse(ctx)
	}
	deleted, parts := 0, 0
	if err == nil {
		used := map[string]bool{}
		for _, f := range flows {
			for _, hash := range modulesOf(f) {
				used[hash] = true
			}
		}
		if deleted, err = modules.Sweep(ctx, used, now, moduleAge); err == nil {
			parts, err = modules.SweepChunks(ctx, pushAge)
		}
	}
	if err != nil && ctx.Err() == nil {
		n.log.Warn("modules of hooks that nothing names could not be swept", engine.LogErr, err)
	}
	if deleted+parts > 0 {
		n.log.Info("modules of hooks that nothing names deleted", "modules", deleted, "half_written", parts)
	}
}

// modulesOf are the hashes of the modules that a flow's hooks are pinned to.
func modulesOf(f *engine.Flow) (hashes []string) {
	for _, task := range f.Tasks {
		for _, hook := range task.Hooks.All() {
			if m, ok := hook.(*value.Map); ok {
				if hash, _ := m.Get("sha256"); hash != nil {
					text, _ := hash.(string)
					hashes = append(hashes, text)
				}
			}
		}
	}
	return hashes
}
