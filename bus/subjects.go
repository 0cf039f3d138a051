package bus

import "github.com/qarion/qarion/engine"

// Subjects of the ledger.
const (
	subjectInstall    = "qarion.install"
	subjectLost       = "qarion.lost"        // in the place of an entry that was lost
	subjectFlow       = "qarion.flow."       // <flow>
	subjectTrigger    = "qarion.trigger."    // <flow>, published by any client
	subjectSubmit     = "qarion.submit."     // <node>
	subjectAttempt    = "qarion.attempt."    // <worker>
	subjectControl    = "qarion.control."    // <run>, or noRun
	subjectCheckpoint = "qarion.checkpoint." // <ledger sequence>.<piece>, in a stream of their own
)

// Subjects of READY.
const (
	subjectReady = "qarion.ready." // <pool>
	subjectLead  = "qarion.lead."  // <term>
	defaultPool  = "default"
)

// Subjects of the events.
const (
	SubjectLog   = "qarion.log."   // <flow>.<task>: one operation per attempt
	SubjectEvent = "qarion.event." // <flow>.<kind>
	noFlow       = "_"             // stands for the flow where there is none
	noRun        = "_"             // stands for the run of a signal that goes by its key

	subjectPosition = "qarion.position." // <view>: how far a view is, where it has nothing to show
)

// Subjects of the service.
const (
	subjectAPI   = "qarion.api"   // for everybody
	subjectAdmin = "qarion.admin" // for those with full rights
)

// TriggerSubject is where any client starts a run of a flow by publishing a
// JSON object of variables.
func TriggerSubject(flow engine.FlowID) string { return subjectTrigger + string(flow) }
