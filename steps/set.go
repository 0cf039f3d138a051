package steps

import (
	"context"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// NewSet makes the type set: a value without a call.
func NewSet() *TaskType {
	return &TaskType{
		name: "set",
		properties: []Property{
			{"values", "dict", "required", "what the task leaves; a value that is exactly one `{{ ... }}` keeps its type"},
		},
		words:   map[string]string{"value": "values", "variables": "values", "vars": "values", "fields": "values", "assign": "values", "data": "values"},
		prepare: prepareSet,
	}
}

func prepareSet(r *reader) attempt {
	v, ok := r.get("values")
	m, isTable := v.(*value.Map)
	switch {
	case !ok:
		r.problem("", "missing", "set: values is missing, such as values = { total = \"{{ xcom_order.total }}\" }")
		return nil
	case !isTable:
		r.problem("values", "wrong-type", "values is %s, want a table", value.Kind(v))
		return nil
	}
	values := r.tree([]string{"properties", "values"}, m)
	return func(ctx context.Context, in *engine.TaskInput) (out engine.TaskOutput, err error) {
		var from value.Origin
		v, err := values.render(ctx, in, &from)
		if err != nil {
			return out, err
		}
		if from.Secret() && !in.Task.Sensitive {
			return out, &stepError{"secret", "values: there is a secret in them, which anybody could read: set sensitive = true"}
		}
		out.Value, err = value.JSON(v)
		return out, err
	}
}
