// Package engine is the centre of qarion: the nouns (flow, task, run, XCom,
// operation, credential), the records that stand in the ledger, and the
// contracts of everything around it.
//
// It knows no technology. What the program needs from outside is stated here
// as small interfaces beside the noun they serve: Ledger, ReadyQueue,
// Projection, Blobs, TaskType. What happens is decided in engine/fold and
// carried out in engine/runtime.
//
// Read in this order: flow.go, tasktype.go, record.go, ledger.go,
// projection.go; then engine/fold and engine/runtime.
package engine
