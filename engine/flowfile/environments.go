package flowfile

import (
	"bytes"
	"fmt"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// Environments reads the [environments.<name>.variables] of a configuration file,
// with the places of their values, as warnings that say nothing yet: name,
// variable -> place. Who calls it has checked the file's keys and syntax.
func Environments(name string, data []byte) (map[string]*engine.Environment, map[string]map[string]Error, error) {
	places := newPlaces(string(data))
	tree, err := parseTree(bytes.Clone(data), places, engine.MaxFlowNesting)
	if err == nil && len(tree.wrong) > 0 {
		err = tree.wrong[0]
	}
	if err != nil {
		return nil, nil, err
	}
	f := &file{name: name, places: places}
	place := func(s span) Error {
		e := Error{Severity: SeverityWarning, Code: "environment"}
		f.locate(s, &e)
		return e
	}
	at := func(s span) string {
		e := place(s)
		return fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
	}
	all := tree.root.table.vals["environments"]
	if all == nil || all.table == nil {
		return nil, nil, nil
	}
	out, where := map[string]*engine.Environment{}, map[string]map[string]Error{}
	for _, id := range all.table.keys {
		one := all.table.vals[id]
		if _, err := engine.ParseEnvironment(id); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", at(one.key), err)
		}
		env := &engine.Environment{Name: id, Values: new(value.Map)}
		out[id], where[id] = env, map[string]Error{}
		var vars *node
		if one.table != nil {
			vars = one.table.vals["variables"]
		}
		if vars == nil || vars.table == nil {
			continue
		}
		for _, key := range vars.table.keys {
			v := vars.table.vals[key]
			if engine.ReservedName(key) {
				return nil, nil, fmt.Errorf("%s: environment %s: the name %s is reserved", at(v.key), id, value.Quoted(key))
			}
			f.found = nil
			if !f.finite(v, key) {
				return nil, nil, fmt.Errorf("%s: environment %s: %s", at(v.place), id, f.found[0].Message)
			}
			env.Values.Set(key, v.plain())
			where[id][key] = place(v.key)
		}
	}
	return out, where, nil
}
