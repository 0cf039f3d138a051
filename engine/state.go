package engine

// Status is the state of a run or a task, as a word that people read.
type Status string

// The states. A task moves
//
//	pending -> ready -> running -> success | failed | cancelled | interrupted
//	running -> ready        another attempt, at its time
//	interrupted -> ready | success | failed     a person resolved it
//	pending -> skipped      something it depends on did not succeed
//
// A run is pending (queued behind max_active_runs), running, interrupted (a
// task waits to be resolved) or final: success, failed, cancelled.
const (
	Pending     Status = "pending"
	Ready       Status = "ready"
	Running     Status = "running"
	Success     Status = "success"
	Failed      Status = "failed"
	Skipped     Status = "skipped"
	Cancelled   Status = "cancelled"
	Interrupted Status = "interrupted"
)

// Final reports whether nothing follows any more.
func (s Status) Final() bool {
	switch s {
	case Success, Failed, Skipped, Cancelled:
		return true
	}
	return false
}

// moves are the legal moves of a task. The fold takes no other, whatever a
// record asks for.
var moves = map[Status][]Status{
	Pending:     {Ready, Skipped, Cancelled},
	Ready:       {Ready, Running, Success, Failed, Interrupted, Cancelled},
	Running:     {Ready, Success, Failed, Interrupted, Cancelled},
	Interrupted: {Ready, Success, Failed, Cancelled},
}

// CanMove reports whether a task may go from s to next.
func (s Status) CanMove(next Status) bool {
	for _, m := range moves[s] {
		if m == next {
			return true
		}
	}
	return false
}
