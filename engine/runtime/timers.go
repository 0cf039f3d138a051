package runtime

import (
	"container/heap"
	"slices"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// timer is a point in time at which the scheduler looks at something: at a run,
// at a task of it, or at the tasks that are parked at a spot. One that was
// overtaken finds nothing to do. There may be one for every open run and every
// waiting task, so it is small.
type timer struct {
	at   engine.Micros
	spot string       // parked tasks; "" for a run
	run  engine.RunID // a run, or a task of it
	task int32        // -1 for the run
	item int32
	// The dispatch of the task for which it was set.
	generation, turn, attempt, dispatch int32
	limit                               bool // spot is the key of a rate limit
}

func runTimer(at engine.Micros, run engine.RunID) timer { return timer{at: at, run: run, task: -1} }

// place is the cell that the timer was set for, as it is now.
func (t *timer) place(r *fold.Run) taskPlace {
	ref := fold.CellRef{Task: int(t.task), Item: int(t.item)}
	return taskPlace{run: r, cell: ref, key: r.KeyOf(ref)}
}

func spotTimer(at engine.Micros, spot string) timer { return timer{at: at, spot: spot} }

func limitTimer(at engine.Micros, key string) timer { return timer{at: at, spot: key, limit: true} }

func taskTimer(at engine.Micros, p taskPlace) timer {
	k := p.key
	return timer{at, "", k.Run, int32(p.cell.Task), int32(p.cell.Item), int32(k.Generation), int32(k.Turn), int32(k.Attempt), int32(k.Dispatch), false}
}

// of reports whether the timer was set for this dispatch.
func (t *timer) of(k engine.AttemptKey) bool {
	return t.generation == int32(k.Generation) && t.turn == int32(k.Turn) && t.attempt == int32(k.Attempt) && t.dispatch == int32(k.Dispatch)
}

// timers is a heap of timers, earliest first. A run that ends leaves its own
// behind; those are looked for when the heap has doubled, which costs each
// timer about one look, and when the engine tidies up.
type timers struct {
	heap timerHeap
	full int // when to look for those that are of no use
}

// minTimers is how many timers are never too many.
const minTimers = 1024

func (h *timers) len() int { return len(h.heap) }

// add sets a timer. useful says of one whether anything waits for it still.
func (h *timers) add(t timer, useful func(*timer) bool) {
	if len(h.heap) >= max(h.full, minTimers) {
		h.tidy(useful)
	}
	heap.Push(&h.heap, t)
}

// tidy removes the timers that nothing waits for.
func (h *timers) tidy(useful func(*timer) bool) {
	h.heap = slices.DeleteFunc(h.heap, func(t timer) bool { return !useful(&t) })
	heap.Init(&h.heap)
	if cap(h.heap) > 4*max(len(h.heap), minTimers) {
		h.heap = slices.Clone(h.heap)
	}
	h.full = 2 * len(h.heap)
}

// due removes and returns the earliest timer if its time has come.
func (h *timers) due(now engine.Micros) (timer, bool) {
	if len(h.heap) == 0 || h.heap[0].at > now {
		return timer{}, false
	}
	return heap.Pop(&h.heap).(timer), true
}

// next is when the earliest timer is due; false: there is none.
func (h *timers) next() (engine.Micros, bool) {
	if len(h.heap) == 0 {
		return 0, false
	}
	return h.heap[0].at, true
}

// timerHeap serves container/heap.
type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push and Pop serve container/heap.
func (h *timerHeap) Push(x any) { *h = append(*h, x.(timer)) }

// Pop removes the last element, for container/heap.
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = timer{}
	*h = old[:len(old)-1]
	return t
}
