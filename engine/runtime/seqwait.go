package runtime

import "container/heap"

// seqWaiters are those who wait until something has come to a sequence of the
// ledger; the nearest stands first.
type seqWaiters []seqWaiter

type seqWaiter struct {
	seq uint64
	run func() // must be quick
}

// add registers a function for the moment in which a sequence is reached.
func (w *seqWaiters) add(seq uint64, run func()) { heap.Push(w, seqWaiter{seq, run}) }

// reached tells everyone who waits for a sequence up to the given one.
func (w *seqWaiters) reached(seq uint64) {
	for len(*w) > 0 && (*w)[0].seq <= seq {
		heap.Pop(w).(seqWaiter).run()
	}
}

func (w seqWaiters) Len() int           { return len(w) }
func (w seqWaiters) Less(i, j int) bool { return w[i].seq < w[j].seq }
func (w seqWaiters) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }

// Push and Pop serve container/heap.
func (w *seqWaiters) Push(x any) { *w = append(*w, x.(seqWaiter)) }

// Pop removes the last element, for container/heap.
func (w *seqWaiters) Pop() any {
	old := *w
	last := old[len(old)-1]
	old[len(old)-1] = seqWaiter{}
	*w = old[:len(old)-1]
	return last
}
