package engine

// Status is the state of a run or a task, as a word that people read.
type Status string

// The states. A task moves
//
//	pending -> ready -> running -> success | failed | cancelled | interrupted
//	running -> waiting      for a signal, an approval or a time
//	waiting -> ready        it came
//	running -> ready        another attempt, at its time
//	interrupted -> ready | success | failed     a person resolved it
//	pending -> running      of a rerun: some of its items are done, others are begun
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

// RunStatuses are the states that a run may have.
var RunStatuses = []Status{Pending, Running, Interrupted, Success, Failed, Cancelled}

// Waiting is the state of a task that waits for something from outside, or for its
// time. It is also how a running run is shown that calls nothing now, because all
// that it could do waits (RunDoc.Waiting); of a run it is no state: such a run's
// status is Running. Lists are asked for it.
const Waiting Status = "waiting"

// ListStatuses are what a list of runs may be asked for: RunFilter.Status.
var ListStatuses = []Status{Pending, Running, Waiting, Interrupted, Success, Failed, Cancelled}

// Final reports whether nothing follows any more.
func (s Status) Final() bool {
	switch s {
	case Success, Failed, Skipped, Cancelled:
		return true
	}
	return false
}
