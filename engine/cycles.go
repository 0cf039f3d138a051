package engine

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds of what is said about cycles: how many are named, and how many tasks
// of a long one at each of its ends.
const (
	maxCycles = 100
	cycleEnds = 5
)

// cycles reports the circles of dependencies, spelled out. It walks every
// dependency once.
func (c *compilation) cycles() {
	const done = -1
	tasks := c.flow.Tasks
	depth := make([]int, len(tasks)) // place on the stack, from 1; done; 0: not seen yet
	type frame struct{ task, next int }
	var stack []frame
	found := 0
	for i := range tasks {
		if depth[i] != 0 {
			continue
		}
		stack = append(stack[:0], frame{task: i})
		depth[i] = 1
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(tasks[top.task].Dependencies) {
				depth[top.task] = done
				stack = stack[:len(stack)-1]
				continue
			}
			dep, known := c.index[tasks[top.task].Dependencies[top.next]]
			top.next++
			switch {
			case !known || depth[dep] == done || dep == top.task:
			case depth[dep] > 0:
				if found++; found > maxCycles {
					continue
				}
				from := depth[dep] - 1
				ring := make([]TaskID, 0, 2*cycleEnds)
				length := len(stack) - from
				for at := range length {
					if length <= 2*cycleEnds || at < cycleEnds || at > length-cycleEnds {
						ring = append(ring, tasks[stack[from+at].task].ID)
					}
				}
				next := tasks[dep].Dependencies[stack[from].next-1]
				c.add(Problem{Index: dep + 1, Path: []string{"dependencies"}, Value: string(next), Code: "cycle", Message: "cycle: " + spell(ring, length)})
			default:
				stack = append(stack, frame{task: dep})
				depth[dep] = len(stack)
			}
		}
	}
	if found > maxCycles {
		c.add(Problem{Code: "cycle", Message: fmt.Sprintf("%d more cycles", found-maxCycles)})
	}
}

// spell names the tasks of a circle in the order in which they would run, the
// first and the last few of a long one. walk has them from a task to what it
// depends on.
func spell(walk []TaskID, length int) string {
	names := make([]string, 0, len(walk)+2) // the first task comes again at the end
	for _, id := range walk {
		names = append(names, string(id))
	}
	slices.Reverse(names[1:])
	names = append(names, names[0])
	if left := length - len(walk); left > 0 {
		names = slices.Insert(names, cycleEnds, fmt.Sprintf("... %d more ...", left))
	}
	return strings.Join(names, " -> ")
}
