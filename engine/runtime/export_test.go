package runtime

import (
	"context"
	"errors"
)

// Kept is how many entries of each kind the engine keeps in memory, for tests.
func (e *Engine) Kept(ctx context.Context) (map[string]int, error) {
	kept := map[string]int{}
	err := e.sched.ask(ctx, func() {
		s := e.sched
		kept["open runs"] = s.state.Open()
		kept["timers"] = s.timers.len()
		kept["parked spots"] = len(s.parking.spots)
		kept["released from spots"] = len(s.parking.out)
		kept["lines"] = len(s.due.byID) + s.due.n
		kept["own runs"] = len(s.own)
		kept["given out"] = s.emitted
		kept["waiters for the fold"] = len(s.waiting)
		kept["versions"] = 0
		for range s.state.Graphs() {
			kept["versions"]++
		}
	})
	w := e.waiters
	w.mu.Lock()
	kept["waiters for a start"], kept["starts that are stored"], kept["waiters for an end"] = len(w.starts), len(w.stored), len(w.ends)
	w.mu.Unlock()
	k := e.worker
	k.mu.Lock()
	kept["calls"], kept["deliveries"], kept["cancelled runs"], kept["near tasks"] = len(k.calls), len(k.held), len(k.cancelled), k.near
	k.mu.Unlock()
	p := e.cfg.programs
	p.mu.Lock()
	kept["programs"] = len(p.versions)
	p.mu.Unlock()
	v := e.views
	v.mu.Lock()
	kept["changes"], kept["waiters for the views"] = v.queue.count, len(v.shown)+len(v.kept)
	v.mu.Unlock()
	return kept, err
}

// Tidy does what the engine does every now and then.
func (e *Engine) Tidy(ctx context.Context) error {
	return errors.Join(e.sched.ask(ctx, e.sched.tidy), e.sched.tidyPrograms(ctx))
}
