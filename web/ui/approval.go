package ui

import (
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
)

// approval is a decision that a task waits for.
type approval struct {
	engine.TaskDoc
	Approvers string   // who may decide; "" for whoever may at all
	Follows   []string // tasks that start when it is approved, and are skipped when it is rejected
	May       bool     // whoever looks
}

// approvals lists the decisions that the run waits for. What follows them is told
// by the flow as it is now: without it, it is left open.
func (p *runPage) approvals(v *Visit) {
	var flow engine.Flow
	for _, t := range p.Doc.Tasks {
		if t.Status != engine.Waiting || t.Awaits != engine.AwaitApproval {
			continue
		}
		if flow.ID == "" {
			_ = v.ask("flow.get", fields("flow", string(p.Doc.FlowID)), &flow)
		}
		a := approval{TaskDoc: t, May: v.may("run.decide")}
		for i := range flow.Tasks {
			task := &flow.Tasks[i]
			if task.ID == t.TaskID {
				a.Approvers = strings.Join(task.Approvers, ", ")
				a.May = a.May && (len(task.Approvers) == 0 || slices.Contains(task.Approvers, v.Who.By()))
			}
			if slices.Contains(task.Dependencies, t.TaskID) {
				a.Follows = append(a.Follows, string(task.ID))
			}
		}
		p.Approvals = append(p.Approvals, a)
	}
}

// decide approves or rejects what a task waits for.
func (s *Site) decide(v *Visit) (*reply, error) {
	run := v.PathValue("run")
	req := fields("run_id", run, "task_id", v.PostForm.Get("task"), "as", v.PostForm.Get("as"), "comment", v.PostForm.Get("comment"))
	if err := v.ask("run.decide", req, nil); err != nil {
		return nil, err
	}
	return &reply{goOn: "/runs/" + run}, nil
}
