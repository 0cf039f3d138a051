// Package engine is the centre of qarion: the nouns (flow, task, run, XCom,
// operation) and the rules (what is ready, what comes next).
//
// The heart is one pure function. State.Apply folds the ledger's records, in
// order, into the state of all open runs, and says which effects follow; the
// scheduler carries them out, the worker runs one attempt at a time and writes
// one record about it. Everything that people and programs look at (XCom
// bucket, events, run documents, tables) is a projection of the same records.
//
// The package knows no technology. What it needs from outside it states as
// small interfaces beside the noun they serve: Ledger, ReadyQueue, Projection,
// Blobs, TaskType.
//
// Read in this order: flow.go, record.go, fold.go, plan.go, scheduler.go,
// worker.go.
package engine
