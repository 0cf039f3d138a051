// Package steps holds the task types that call nobody: set makes a value, log
// writes a line, wait lets time pass or waits for a signal, approval waits for a
// decision, flow is a run of another flow, switch chooses what follows. Each is a
// file of its own; prepare.go reads their properties and renders their
// templates.
//
// It is step 5 of the way of the data, beside the calls. Nothing in it has an
// effect on the world, so what an attempt did not finish is simply done again.
package steps
