// Package runtime is what moves: it follows the ledger, carries out what the
// fold says, and makes the attempts.
//
//	scheduler   one goroutine that owns the fold's state: takes entries, gives
//	            tasks out, sets timers, parks what waits for a breaker
//	worker      makes one attempt at a time per slot and writes its record
//	projector   hands what changed to the views, each at its own speed
//	closer      writes the records that no worker writes
//	waiters     callers that wait for a run to be accepted or to end
//	housekeeping  checkpoints, what got lost on its way, purge
//
// Engine ties them together (engine.go) and is what the rest of the program
// talks to (api.go).
package runtime
