// Package fold is the heart of qarion: one pure function.
//
// State.Apply folds the ledger's records, in order, into the state of all open
// runs, and says which effects follow. It reads no clock, does no I/O, writes
// no log and starts nothing: time enters as data in the records, and whatever
// the clock decides is a record of its own first. So the same records give the
// same state and the same effects on every node and every replay, and the
// whole of it can be simulated with crashes and duplicates (sim_test.go).
//
// A task is done by a cell. A cell takes turns, and a turn has attempts: each one
// is given out by a number and ended by the first record that bears it, so what
// takes a thousand calls is planned, retried and resumed as one call is.
//
// Read in this order: fold.go (what each record does), plan.go (the graph, and
// what one task means for the others), attempt.go and control.go (how tasks
// and runs end), ready.go (what a worker is given), snapshot.go and restore.go
// (the state as data), dedupe.go (caller keys).
package fold
