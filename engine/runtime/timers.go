package runtime

import (
	"container/heap"

	"github.com/qarion/qarion/engine"
)

// timer is a point in time at which the scheduler looks at a task, or at a run
// when task is -1. A timer that was overtaken finds nothing to do.
type timer struct {
	at   engine.Micros
	run  engine.RunID
	task int
	key  engine.AttemptKey // of the task's dispatch that it was set for
}

// timers is a heap of timers, earliest first.
type timers []timer

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timers) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push and Pop serve container/heap.
func (h *timers) Push(x any) { *h = append(*h, x.(timer)) }

// Pop removes the last element, for container/heap.
func (h *timers) Pop() any {
	old := *h
	t := old[len(old)-1]
	*h = old[:len(old)-1]
	return t
}

func (h *timers) add(t timer) { heap.Push(h, t) }

// due removes and returns the earliest timer if its time has come.
func (h *timers) due(now engine.Micros) (timer, bool) {
	if len(*h) == 0 || (*h)[0].at > now {
		return timer{}, false
	}
	return heap.Pop(h).(timer), true
}
