package engine

import "time"

// Defaults that the engine shares with the packages around it.
const (
	DefaultSlots     = 64                  // attempts at a time, and connections per host
	DefaultGrace     = 25 * time.Second    // for calls in flight when the node stops
	DefaultRetention = 30 * 24 * time.Hour // of closed runs, in the ledger and in the runs view
)
