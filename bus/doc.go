// Package bus is NATS: the embedded server or a connection to one, the ledger
// stream, the READY queue, the event stream, triggers, the micro service and
// its client.
//
// It implements what package engine states as interfaces (Ledger, Checkpoints,
// ReadyQueue, the events Projection) and decides nothing: which record means
// what is the engine's. Stream and subject names stand in streams.go and
// subjects.go and nowhere else.
//
// In the way of the data it is step 1 (a trigger is stored), step 6 (a bundle
// of records is stored) and the event half of step 8.
package bus
