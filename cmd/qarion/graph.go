package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/internal/dag"
)

func (a *app) graphCommand() *cobra.Command {
	return &cobra.Command{
		Use: "graph FLOW", Short: "Draw a flow: an id or a file",
		Long:        "Draws the tasks of a flow as a tree, or with --output mermaid, dot or json for others to draw.",
		Example:     "  qarion flows graph orders\n  qarion flows graph flows/orders.toml --output mermaid",
		Annotations: map[string]string{moreFormats: "mermaid dot"},
		Args:        cobra.ExactArgs(1),
		RunE:        func(_ *cobra.Command, args []string) error { return a.graph(args[0]) },
	}
}

// graphNode is one task of the picture.
type graphNode struct {
	ID    string   `json:"task_id"`
	Call  string   `json:"operation"`
	URL   string   `json:"url"`
	After []string `json:"after"`
	Tries int      `json:"attempts"`
	Level int      `json:"level"`           // within its stage
	Stage string   `json:"stage,omitempty"` // on_failure, finally

	task     *engine.Task
	worst    time.Duration // of this task alone
	until    time.Duration // from the start of the run, at worst
	children []*graphNode  // drawn under this one
}

func (a *app) graph(name string) error {
	types, done, err := a.taskTypes()
	if err != nil {
		return err
	}
	defer done()
	flow, err := a.findFlow(name, types)
	if err != nil {
		return err
	}
	nodes, err := graphOf(flow, types)
	if err != nil {
		return err
	}
	switch a.flags.output {
	case "json":
		return a.printJSON(nodes)
	case "mermaid":
		fmt.Fprintln(a.ui.out, "flowchart LR")
		a.edges(nodes, "  %s[%q]\n", "  %s --> %s\n", mermaidName)
	case "dot":
		fmt.Fprintf(a.ui.out, "digraph %q {\n  rankdir=LR\n  node [shape=box]\n", flow.ID)
		a.edges(nodes, "  %s [label=%q]\n", "  %s -> %s\n", func(id string) string { return fmt.Sprintf("%q", id) })
		fmt.Fprintln(a.ui.out, "}")
	default:
		a.drawGraph(flow, nodes)
	}
	return nil
}

// graphOf finds where each task stands. Tasks come after those they depend on.
func graphOf(flow *engine.Flow, types flowfile.Types) ([]*graphNode, error) {
	byID, order := map[engine.TaskID]*graphNode{}, map[engine.TaskID]int{}
	for i := range flow.Tasks {
		order[flow.Tasks[i].ID] = i
	}
	nodes := make([]*graphNode, len(flow.Tasks))
	for i := range flow.Tasks {
		task := &flow.Tasks[i]
		program, problems := types[task.Type].Prepare(flow, task)
		if wrong := engine.Refused(problems); wrong != nil {
			return nil, fail(fmt.Errorf("task %s: %s", task.ID, wrong.Message))
		}
		slices.SortFunc(task.Dependencies, func(a, b engine.TaskID) int { return order[a] - order[b] }) // as in the file
		nodes[i] = &graphNode{
			ID: string(task.ID), Call: strings.ToUpper(task.Subtype), URL: task.TalksTo(), After: []string{},
			Tries: max(1, task.MaxAttempts), task: task,
		}
		if task.Stage > engine.StageTasks {
			nodes[i].Stage = engine.StageName(task.Stage)
		}
		if shows, ok := program.(engine.Previewer); ok {
			nodes[i].worst = shows.Worst()
		}
		byID[task.ID] = nodes[i]
	}
	g := dag.Graph{After: make([][]int, len(nodes))}
	for i, n := range nodes {
		for _, d := range n.task.Dependencies {
			if byID[d].Stage != n.Stage { // it has ended when the stage begins
				continue
			}
			n.After = append(n.After, string(d))
			g.After[i] = append(g.After[i], order[d])
		}
	}
	for i, level := range dag.Levels(g) { // as the pages draw it
		nodes[i].Level = level + 1
	}
	for _, n := range slices.SortedStableFunc(slices.Values(nodes), func(a, b *graphNode) int { return a.Level - b.Level }) {
		for _, up := range n.After {
			n.until = max(n.until, byID[engine.TaskID(up)].until)
		}
		n.until += n.worst
	}
	for _, n := range nodes { // under the last of the deepest it waits for
		var parent *graphNode
		for _, d := range n.task.Dependencies {
			if up := byID[d]; up.Stage == n.Stage && (parent == nil || up.Level >= parent.Level) {
				parent = up
			}
		}
		if parent != nil {
			parent.children = append(parent.children, n)
		}
	}
	return nodes, nil
}

var notWord = regexp.MustCompile(`[^A-Za-z0-9_]`)

// mermaidName is an id that mermaid takes.
func mermaidName(id string) string { return notWord.ReplaceAllString(id, "_") }

func (a *app) edges(nodes []*graphNode, node, edge string, name func(string) string) {
	for _, n := range nodes {
		label := n.ID
		if n.Stage != "" {
			label += " (" + n.Stage + ")"
		}
		fmt.Fprintf(a.ui.out, node, name(n.ID), label)
	}
	for _, n := range nodes {
		for _, up := range n.After {
			fmt.Fprintf(a.ui.out, edge, name(up), name(n.ID))
		}
	}
}

// drawGraph draws the tree, in columns.
func (a *app) drawGraph(flow *engine.Flow, nodes []*graphNode) {
	levels, calls, worst := 0, 0, time.Duration(0)
	stages := map[string]time.Duration{}
	for _, n := range nodes {
		levels, calls = max(levels, n.Level), calls+n.Tries
		stages[n.Stage] = max(stages[n.Stage], n.until)
	}
	for _, d := range stages { // one after another
		worst += d
	}
	w := a.ui.out
	fmt.Fprintf(w, "%s: %s, %s, worst case %s and %s\n\n", flow.ID, plural(len(nodes), "task"), plural(levels, "level"), plural(calls, "call"), duration(worst))
	branch, last, down := "├─ ", "└─ ", "│  "
	if a.ui.ascii {
		branch, last, down = "|- ", "`- ", "|  "
	}
	var rows [][]string
	var draw func(n *graphNode, own, below string)
	draw = func(n *graphNode, own, below string) {
		rows = append(rows, []string{own + n.ID, n.Call, urlPath(n.URL), n.note()})
		for i, c := range n.children {
			if i == len(n.children)-1 {
				draw(c, below+last, below+"   ")
			} else {
				draw(c, below+branch, below+down)
			}
		}
	}
	stage := ""
	for _, n := range nodes {
		if n.Stage != stage {
			stage = n.Stage
			rows = append(rows, nil, []string{stage + ":"})
		}
		if len(n.After) == 0 {
			draw(n, "", "")
		}
	}
	widths := make([]int, 3)
	for _, r := range rows {
		for i := range widths {
			if len(r) > 1 {
				widths[i] = max(widths[i], len([]rune(r[i])))
			}
		}
	}
	for _, r := range rows {
		line := ""
		for i, cell := range r {
			line += cell
			if i < len(widths) && len(r) > 1 {
				line += strings.Repeat(" ", widths[i]-len([]rune(cell))+2)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// note is what else is to know of a task.
func (n *graphNode) note() string {
	var out []string
	if len(n.After) > 1 {
		after := n.After
		if len(after) > 5 {
			after = append(slices.Clone(after[:4]), fmt.Sprintf("%d more", len(n.After)-4))
		}
		out = append(out, "after "+strings.Join(after, ", "))
	}
	if n.task.When != "" {
		out = append(out, "when "+strings.TrimSpace(strings.Trim(strings.TrimSpace(n.task.When), "{}")))
	}
	if n.task.ForEach != "" {
		out = append(out, fmt.Sprintf("for each %s, %d at once", strings.TrimSpace(strings.Trim(strings.TrimSpace(n.task.ForEach), "{}")), n.task.Lanes()))
	}
	if n.task.TriggerRule != "" {
		out = append(out, n.task.TriggerRule)
	}
	if n.task.ContinueOnError {
		out = append(out, "goes on when it fails")
	}
	if n.Tries == 2 {
		out = append(out, "1 retry")
	} else if n.Tries > 2 {
		out = append(out, fmt.Sprintf("%d retries", n.Tries-1))
	}
	if key, ok := n.task.Properties.Get("idempotency_key"); ok && key != false {
		out = append(out, "idempotency key")
	}
	if id, ok := n.task.Properties.Get("credential_id"); ok {
		out = append(out, fmt.Sprintf("credential %s", id))
	}
	return strings.Join(out, "; ")
}

var urlStart = regexp.MustCompile(`^(?:https?://[^/{]*|\{\{[^}]*\}\})(/.*)$`)

// urlPath is a URL without scheme and host, where that leaves something.
func urlPath(url string) string {
	if m := urlStart.FindStringSubmatch(url); m != nil {
		return m[1]
	}
	return url
}
