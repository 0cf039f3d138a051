package steps

import (
	"context"
	"fmt"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// maxChildVariables bounds the variables of a run that a task opens, in bytes: they
// travel in one record.
const maxChildVariables = 64 << 10

// NewFlow makes the type flow: the task is a run of another flow.
func NewFlow() *TaskType {
	return &TaskType{
		name: engine.TypeFlow,
		properties: []Property{
			{"flow", "string", "required", "the id of the flow; it is the newest version that runs"},
			{"variables", "dict", "", "the variables of the run"},
			{"wait", "bool", "true", "wait for its end: the task fails where the run does not succeed; ended, it ends the run"},
			{"xcom", "string", "", "with wait: the task of that run whose value this one leaves"},
		},
		words: map[string]string{"target_flow_id": "flow", "flow_id": "flow", "id": "flow", "target": "flow", "wait_for_completion": "wait", "vars": "variables",
			"inputs": "variables", "parameters": "variables", "output": "xcom", "task": "xcom"},
		prepare: prepareFlow,
	}
}

func prepareFlow(r *reader) attempt {
	name, isText := r.literal("flow")
	if _, given := r.get("flow"); !given {
		r.problems = nil
		r.problem("", "missing", "flow: flow is missing, the id of the flow to run")
		return nil
	}
	id, err := engine.ParseFlowID(name)
	switch {
	case isText && err != nil:
		r.problem("flow", "wrong-type", "%v", err)
	case isText && id == r.flow.ID:
		r.problem("flow", "cycle", "cycle of flows: %s -> %s", id, id)
	}
	child := engine.Child{Flow: id, Waits: true}
	if v, ok := r.get("wait"); ok {
		if child.Waits, ok = v.(bool); !ok {
			r.problem("wait", "wrong-type", "wait is %s, want true or false", value.Kind(v))
		}
	}
	if _, ok := r.get("xcom"); ok {
		task, isText := r.literal("xcom")
		if child.XCom = engine.TaskID(task); isText && !child.Waits {
			r.problem("xcom", "unused", "xcom: with wait = false nobody knows what the run leaves")
		}
	}
	v, _ := r.get("variables")
	if _, isTable := v.(*value.Map); v != nil && !isTable {
		r.problem("variables", "wrong-type", "variables is %s, want a table", value.Kind(v))
		v = nil
	}
	vars := r.tree([]string{"properties", "variables"}, v)
	r.insensitive("flow", "the variables of a run")
	r.needs.Target = "flow " + name
	return func(ctx context.Context, in *engine.TaskInput) (out engine.TaskOutput, err error) {
		if w := in.Wake(); w != nil {
			return ranFlow(w, id, child.XCom)
		}
		open := child
		var from value.Origin
		given, err := vars.render(ctx, in, &from)
		if err != nil {
			return out, err
		}
		if from.Secret() {
			return out, &stepError{"secret", "variables: there is a secret in them, and many see the variables of a run"}
		}
		if given != nil {
			if open.Variables, err = value.JSON(given); err != nil {
				return out, err
			}
		}
		if len(open.Variables) > maxChildVariables {
			return out, &stepError{"input", fmt.Sprintf("variables: %d bytes, at most %d", len(open.Variables), maxChildVariables)}
		}
		out.Next = &engine.Next{Carry: []byte("opened"), Open: &open}
		return out, nil
	}
}

// ranFlow is what a run of another flow leaves.
func ranFlow(w *engine.Wake, flow engine.FlowID, xcom engine.TaskID) (out engine.TaskOutput, err error) {
	switch {
	case w.Cause == engine.WakeRefused:
		return out, &stepError{"flow", fmt.Sprintf("flow %s was not started: %s", flow, w.Comment)}
	case w.As == engine.WakeOpened:
		out.Details.Note = "run " + string(w.Run)
		out.Value, err = value.JSON(value.MapOf("run_id", string(w.Run)))
		return out, err
	case w.As != string(engine.Success):
		why := fmt.Sprintf("run %s of %s is %s", w.Run, flow, w.As)
		if w.Comment != "" {
			why += ": " + w.Comment
		}
		return out, &stepError{"flow", why}
	case xcom != "" && w.At.Seq == 0:
		return out, &stepError{"flow", fmt.Sprintf("run %s of %s: %s", w.Run, flow, w.Comment)}
	}
	out.Details.Note = "run " + string(w.Run)
	if xcom != "" {
		if out.Value = []byte("null"); len(w.Value) > 0 {
			out.Value = append([]byte(nil), w.Value...)
		}
		return out, nil
	}
	out.Value, err = value.JSON(value.MapOf("run_id", string(w.Run), "status", w.As))
	return out, err
}
