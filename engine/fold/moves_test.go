package fold

import "github.com/qarion/qarion/engine"

// moves are the legal moves of a task; the simulation holds every step of the
// fold against them.
var moves = map[engine.Status][]engine.Status{
	engine.Pending:     {engine.Running, engine.Ready, engine.Skipped, engine.Cancelled},
	engine.Ready:       {engine.Running, engine.Waiting, engine.Skipped, engine.Success, engine.Failed, engine.Interrupted, engine.Cancelled},
	engine.Running:     {engine.Ready, engine.Waiting, engine.Success, engine.Failed, engine.Interrupted, engine.Cancelled},
	engine.Waiting:     {engine.Ready, engine.Cancelled},
	engine.Interrupted: {engine.Ready, engine.Success, engine.Failed, engine.Cancelled},
}
