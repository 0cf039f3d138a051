package runtime

import (
	"context"
	"time"
)

// patience is how long those who wait for a run's end wait for views that
// trail. Instead of a timer for each of them, one clock notes now and then what
// the other views have passed: what they had passed so long ago is taken for
// shown.
type patience struct {
	limit   time.Duration // 0: no view trails
	notes   []passedAt    // the oldest first
	overdue uint64
}

type passedAt struct {
	seq uint64
	at  time.Time
}

// patienceLook is how often the clock looks: waiting may take so much longer.
const patienceLook = 500 * time.Millisecond

// shownSeq is the sequence up to which whoever waits need not wait any more:
// every view has passed it, apart from those that trail and stand, or are
// later than anybody has patience for. mu is held.
func (p *projector) shownSeq() uint64 {
	all, others := p.folded, p.folded
	for _, v := range p.views {
		if !v.trails {
			others = min(others, v.passed)
		}
		if !v.stands() {
			all = min(all, v.passed)
		}
	}
	return max(all, min(others, p.patience.overdue))
}

// losePatience lets those go on who have waited long enough, until ctx ends.
func (p *projector) losePatience(ctx context.Context) {
	tick := time.NewTicker(patienceLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			p.lookAtClock(now)
		}
	}
}

func (p *projector) lookAtClock(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	others := p.folded
	for _, v := range p.views {
		if !v.trails {
			others = min(others, v.passed)
		}
	}
	w := &p.patience
	if n := len(w.notes); n == 0 && others > w.overdue || n > 0 && others > w.notes[n-1].seq {
		w.notes = append(w.notes, passedAt{others, now})
	}
	for len(w.notes) > 0 && now.Sub(w.notes[0].at) >= w.limit {
		w.overdue = w.notes[0].seq
		w.notes = w.notes[1:]
	}
	p.shown.reached(p.shownSeq())
}
