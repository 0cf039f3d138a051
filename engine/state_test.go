package engine

// moves are the legal moves of a task; the simulation holds every step of the
// fold against them.
var moves = map[Status][]Status{
	Pending:     {Ready, Skipped, Cancelled},
	Ready:       {Running, Success, Failed, Interrupted, Cancelled},
	Running:     {Ready, Success, Failed, Interrupted, Cancelled},
	Interrupted: {Ready, Success, Failed, Cancelled},
}
