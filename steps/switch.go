package steps

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// otherwise is the case of every value that no other case names.
const otherwise = "_"

// NewSwitch makes the type switch: it chooses by a value which tasks follow it.
func NewSwitch() *TaskType {
	return &TaskType{
		name: "switch",
		properties: []Property{
			{"on", "string", "required", "the value that decides, such as `\"{{ xcom_order.status }}\"`"},
			{"cases", "dict", "required", "value = task, or a list of tasks, that follow it; `_` for any other value. They depend on this task"},
		},
		words:   map[string]string{"value": "on", "expression": "on", "input": "on", "branches": "cases", "case": "cases", "conditions": "cases"},
		prepare: prepareSwitch,
	}
}

func prepareSwitch(r *reader) attempt {
	on := r.text("on")
	if _, ok := r.get("on"); !ok {
		r.problem("", "missing", "switch: on is missing, such as on = \"{{ xcom_order.status }}\"")
	}
	v, ok := r.get("cases")
	cases, isTable := v.(*value.Map)
	switch {
	case !ok || isTable && cases.Len() == 0:
		r.problem("", "missing", "switch: cases is missing, such as cases = { paid = [\"ship\"], _ = [\"remind\"] }")
		return nil
	case !isTable:
		r.problem("cases", "wrong-type", "cases is %s, want a table such as { paid = [\"ship\"], _ = [\"remind\"] }", value.Kind(v))
		return nil
	}
	chosen := map[string][]engine.TaskID{}
	var all []engine.TaskID
	var shown []string
	for name, v := range cases.All() {
		tasks := r.branch(name, v)
		chosen[name] = tasks
		words := make([]string, len(tasks))
		for i, id := range tasks {
			words[i] = string(id)
			if !slices.Contains(all, id) {
				all = append(all, id)
			}
		}
		shown = append(shown, name+": "+strings.Join(words, ", "))
	}
	r.needs.Target = strings.Join(shown, "; ")
	return func(ctx context.Context, in *engine.TaskInput) (out engine.TaskOutput, err error) {
		got, err := on.Value(ctx, in)
		if err != nil {
			return out, err
		}
		name, err := caseName(got.Value)
		if err != nil {
			return out, err
		}
		follow, ok := chosen[name]
		if !ok {
			if follow, ok = chosen[otherwise]; !ok {
				if got.Origin.Secret() {
					name = "***"
				}
				return out, &stepError{"switch", fmt.Sprintf("switch: no case for %s and no \"_\"", value.Quoted(name))}
			}
			name = otherwise
		}
		for _, id := range all {
			if !slices.Contains(follow, id) {
				out.Skip = append(out.Skip, id)
			}
		}
		out.Value, err = value.JSON(name)
		return out, err
	}
}

// branch reads the tasks of a case.
func (r *reader) branch(name string, v any) (tasks []engine.TaskID) {
	path := []string{"properties", "cases", name}
	list, isList := v.([]any)
	if s, ok := v.(string); ok {
		list, isList = []any{s}, true
	}
	for i, e := range list {
		s, ok := e.(string)
		if isList = isList && ok; !ok {
			break
		}
		at := path
		if _, single := v.(string); !single {
			at = append(slices.Clone(path), fmt.Sprint(i))
		}
		tasks = append(tasks, engine.TaskID(s))
		r.needs.Branches = append(r.needs.Branches, engine.NameUse{Name: s, Path: at})
	}
	if !isList {
		r.problems = append(r.problems, engine.Problem{Task: r.task.ID, Path: path, Code: "wrong-type",
			Message: fmt.Sprintf("case %s is %s, want a list of tasks", value.Quoted(name), value.Kind(v))})
	}
	return tasks
}

// caseName is a value as cases name it.
func caseName(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case nil, bool, int64, float64:
		text, err := value.JSON(v)
		return string(text), err
	}
	return "", &stepError{"switch", fmt.Sprintf("switch: on is %s, want text, a number, true or false", value.Kind(v))}
}
