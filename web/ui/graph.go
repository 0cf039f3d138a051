package ui

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/dag"
)

// More than that is not drawn task by task: nobody can look at it, and browsers
// take a second for it.
const (
	maxDrawn      = 300
	maxDrawnEdges = 1000
)

// box is a node of the picture: a task, or several that are alike.
type box struct {
	Tasks  []engine.TaskID
	Label  string
	Link   string
	Status string
	Says   string // for those who do not see the picture
	Chosen bool
	after  []int
	After  string // places of those in the picture, with blanks between them
	X, Y   int
}

// Where the parts of the picture stand, in its own units.
const (
	boxWidth, boxHeight = 180, 34
	gapX, gapY          = 56, 14
	border              = 8
)

// picture is a graph as SVG draws it.
type picture struct {
	Width, Height int
	Boxes         []box
	Curves        []string // path data
	Grouped       bool
	BoxW, BoxH    int
}

// drawFlow lays out a flow; with a run, in the colours of its tasks. link makes
// the address of a task.
func drawFlow(flow *engine.Flow, doc *engine.RunDoc, chosen engine.TaskID, link func(engine.TaskID) string) *picture {
	boxes := taskBoxes(flow)
	grouped := false
	if tooLarge(boxes) && chosen != "" {
		boxes, grouped = around(boxes, chosen), true
	}
	if tooLarge(boxes) {
		boxes, grouped = alike(boxes), true
	}
	if tooLarge(boxes) {
		boxes = byLevel(boxes)
	}
	states := map[engine.TaskID]engine.Status{}
	if doc != nil {
		for i := range doc.Tasks {
			states[doc.Tasks[i].TaskID] = doc.Tasks[i].Status
		}
		if len(doc.Tasks) >= engine.MaxRunDocTasks || len(doc.Tasks) < len(flow.Tasks) && doc.Final { // those that are not listed succeeded
			for i := range flow.Tasks {
				if _, listed := states[flow.Tasks[i].ID]; !listed {
					states[flow.Tasks[i].ID] = engine.Success
				}
			}
		}
	}
	for i := range boxes {
		boxes[i].describe(boxes, states, doc != nil, chosen, link)
	}
	p := place(boxes)
	p.Grouped = grouped
	return p
}

func tooLarge(boxes []box) bool {
	edges := 0
	for i := range boxes {
		edges += len(boxes[i].after)
	}
	return len(boxes) > maxDrawn || edges > maxDrawnEdges
}

func taskBoxes(flow *engine.Flow) []box {
	index := make(map[engine.TaskID]int, len(flow.Tasks))
	for i := range flow.Tasks {
		index[flow.Tasks[i].ID] = i
	}
	boxes := make([]box, len(flow.Tasks))
	for i := range flow.Tasks {
		boxes[i].Tasks = []engine.TaskID{flow.Tasks[i].ID}
		for _, up := range flow.Tasks[i].Dependencies {
			if j, ok := index[up]; ok {
				boxes[i].after = append(boxes[i].after, j)
			}
		}
	}
	return boxes
}

// merge makes one box of all that have the same key.
func merge(boxes []box, key func(i int) string) (out []box) {
	at := map[string]int{}
	to := make([]int, len(boxes))
	for i := range boxes {
		k := key(i)
		j, known := at[k]
		if !known {
			j = len(out)
			at[k] = j
			out = append(out, box{})
		}
		to[i] = j
		out[j].Tasks = append(out[j].Tasks, boxes[i].Tasks...)
	}
	for i := range boxes {
		for _, up := range boxes[i].after {
			if from := to[up]; from != to[i] && !slices.Contains(out[to[i]].after, from) {
				out[to[i]].after = append(out[to[i]].after, from)
			}
		}
	}
	return out
}

// alike makes one box of the tasks that come after the same and before the
// same.
func alike(boxes []box) []box {
	before := make([][]int, len(boxes))
	for i := range boxes {
		for _, up := range boxes[i].after {
			before[up] = append(before[up], i)
		}
	}
	return merge(boxes, func(i int) string {
		after := slices.Clone(boxes[i].after)
		slices.Sort(after)
		return fmt.Sprint(after, before[i])
	})
}

func byLevel(boxes []box) []box {
	g := dag.Graph{After: make([][]int, len(boxes))}
	for i := range boxes {
		g.After[i] = boxes[i].after
	}
	level := dag.Levels(g)
	return merge(boxes, func(i int) string { return fmt.Sprint(level[i]) })
}

// around keeps the boxes that are at most two steps from a task.
func around(boxes []box, task engine.TaskID) []box {
	near := map[int]int{}
	for i := range boxes {
		if slices.Contains(boxes[i].Tasks, task) {
			near[i] = 0
		}
	}
	for step := 1; step <= 2; step++ {
		found := map[int]bool{}
		for i := range boxes {
			for _, up := range boxes[i].after {
				if d, ok := near[i]; ok && d < step {
					found[up] = true
				}
				if d, ok := near[up]; ok && d < step {
					found[i] = true
				}
			}
		}
		for i := range found {
			if _, ok := near[i]; !ok {
				near[i] = step
			}
		}
	}
	to, out := map[int]int{}, []box(nil)
	for i := range boxes {
		if _, ok := near[i]; ok {
			to[i] = len(out)
			out = append(out, box{Tasks: boxes[i].Tasks})
		}
	}
	for i := range boxes {
		for _, up := range boxes[i].after {
			from, ok1 := to[up]
			at, ok2 := to[i]
			if ok1 && ok2 {
				out[at].after = append(out[at].after, from)
			}
		}
	}
	return out
}

// maxLabel is how many characters a box holds.
const maxLabel = 22

// describe says what a box is.
func (b *box) describe(boxes []box, states map[engine.TaskID]engine.Status, withStates bool, chosen engine.TaskID, link func(engine.TaskID) string) {
	first := b.Tasks[0]
	b.Link, b.Chosen = link(first), slices.Contains(b.Tasks, chosen)
	name := string(first)
	if n := len(b.Tasks); n > 1 {
		name = commonPrefix(b.Tasks) + "* " + fmt.Sprint(n)
	}
	b.Label = name
	if r := []rune(name); len(r) > maxLabel {
		b.Label = string(r[:maxLabel-1]) + "…"
	}
	says := []string{"task " + name}
	if len(b.Tasks) > 1 {
		says[0] = plural(len(b.Tasks), "task") + " " + name
	}
	if withStates {
		b.Status = string(worst(b.Tasks, states))
		says = append(says, countStates(b.Tasks, states))
	}
	var needs []string
	for _, up := range b.after {
		b.After += fmt.Sprint(up, " ")
		needs = append(needs, string(boxes[up].Tasks[0]))
	}
	if len(needs) > 0 {
		says = append(says, "needs "+strings.Join(needs[:min(5, len(needs))], ", "))
	}
	b.Says = strings.Join(says, ", ")
}

// worst is the state that wants to be looked at most.
func worst(tasks []engine.TaskID, states map[engine.TaskID]engine.Status) engine.Status {
	best := len(ranks)
	for _, t := range tasks {
		if r := slices.Index(ranks, states[t]); r >= 0 && r < best {
			best = r
		}
	}
	if best == len(ranks) {
		return engine.Pending
	}
	return ranks[best]
}

func countStates(tasks []engine.TaskID, states map[engine.TaskID]engine.Status) string {
	if len(tasks) == 1 {
		return string(worst(tasks, states))
	}
	n := map[engine.Status]int{}
	for _, t := range tasks {
		n[states[t]]++
	}
	var out []string
	for _, status := range ranks {
		if n[status] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[status], status))
		}
	}
	return strings.Join(out, ", ")
}

func commonPrefix(tasks []engine.TaskID) string {
	prefix := string(tasks[0])
	for _, t := range tasks[1:] {
		for !strings.HasPrefix(string(t), prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix
}

// place lays the boxes out and draws the lines between them.
func place(boxes []box) *picture {
	g := dag.Graph{After: make([][]int, len(boxes))}
	for i := range boxes {
		g.After[i] = boxes[i].after
	}
	l := dag.Lay(g)
	at := func(p dag.Place) (x, y int) {
		return border + p.Layer*(boxWidth+gapX), border + int(p.Row*(boxHeight+gapY))
	}
	p := &picture{
		Width: 2*border + l.Layers*(boxWidth+gapX) - gapX, Height: 2*border + int(l.Rows*(boxHeight+gapY)) - gapY,
		Boxes: boxes, BoxW: boxWidth, BoxH: boxHeight,
	}
	for i := range boxes {
		boxes[i].X, boxes[i].Y = at(l.Places[i])
	}
	for _, line := range l.Lines {
		var d strings.Builder
		for i := 1; i < len(line.Points); i++ {
			x1, y1 := at(line.Points[i-1])
			x2, y2 := at(line.Points[i])
			x1, y1, y2 = x1+boxWidth, y1+boxHeight/2, y2+boxHeight/2
			if i == 1 {
				fmt.Fprintf(&d, "M%d %d", x1, y1)
			} else {
				fmt.Fprintf(&d, "L%d %d", x1, y1) // past the boxes of a layer between
			}
			fmt.Fprintf(&d, "C%d %d %d %d %d %d", x1+gapX/2, y1, x2-gapX/2, y2, x2, y2)
		}
		p.Curves = append(p.Curves, d.String())
	}
	return p
}
