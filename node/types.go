package node

import (
	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
)

// taskTypes lists what tasks there are: a new type is a line here.
func taskTypes(calls *apicall.TaskType) []engine.TaskType { return []engine.TaskType{calls} }

// Types are the task types by the name that flow files have for them.
func Types(calls *apicall.TaskType) flowfile.Types {
	types := flowfile.Types{}
	for _, t := range taskTypes(calls) {
		types[t.Name()] = t
	}
	return types
}
