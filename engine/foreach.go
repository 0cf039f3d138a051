package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// itemNames are the names that the templates of a task with for_each have besides.
var itemNames = []string{"item", "index", "items_total"}

// forEach checks for_each and what belongs to it, and makes what it reads a
// dependency.
func (c *compilation) forEach(t *Task, r *taskReads, needs *Needs) {
	if t.ForEach == "" {
		return
	}
	tpl, err := jinja.Parse("for_each", t.ForEach)
	switch {
	case err != nil:
		c.add(Problem{Path: []string{"for_each"}, Code: "template", Message: err.Error(), Value: jinja.PieceOf(err)})
		return
	case !tpl.Single():
		c.add(Problem{Path: []string{"for_each"}, Code: "no-list", Message: "for_each must be exactly one {{ ... }}, such as \"{{ xcom_list }}\""})
		return
	case len(needs.Branches) > 0, t.Type == "approval":
		c.add(Problem{Path: []string{"for_each"}, Code: "unused", Message: fmt.Sprintf("a task of type %s is not done for each item", t.Type)})
		return
	}
	for _, name := range tpl.Names() {
		if slices.Contains(itemNames, name) {
			c.add(Problem{Path: []string{"for_each"}, Code: "not-declared", Value: name, Message: name + " is not known before there is a list"})
			continue
		}
		r.name(NameUse{Name: name, Path: []string{"for_each"}, Optional: !slices.Contains(tpl.Needs(), name)})
	}
	for _, name := range itemNames {
		if c.flow.declares(name) && !c.missing[" "+name] {
			c.missing[" "+name] = true
			path := []string{"variables", name}
			if _, ok := c.flow.Input.Get(name); ok {
				path[0] = "input"
			}
			at := c.at
			c.at = 0
			c.add(Problem{Path: path, Code: "reserved", Message: fmt.Sprintf("variable %q: tasks with for_each read %s under this name", name, itemMeaning[name])})
			c.at = at
		}
	}
}

var itemMeaning = map[string]string{"item": "their item", "index": "the number of their item", "items_total": "the number of items"}

// ItemInput is the item that a task works on.
type ItemInput struct {
	Value  any
	Origin value.Origin
	Index  int // from 1
	Total  int
}

// SetItem gives the input the item that it is of.
func (in *TaskInput) SetItem(it ItemInput) { in.values.more().item = &it }

// itemName looks up a name that only items have.
func (in *TaskInput) itemName(name string) (jinja.Var, bool) {
	if in.values.rare == nil || in.values.rare.item == nil {
		return jinja.Var{}, false
	}
	it := in.values.rare.item
	switch name {
	case "item":
		return jinja.Var{Value: it.Value, Origin: it.Origin}, true
	case "index":
		return jinja.Var{Value: int64(it.Index), Origin: value.Engine}, true
	case "items_total":
		return jinja.Var{Value: int64(it.Total), Origin: value.Engine}, true
	}
	return jinja.Var{}, false
}

// ItemList is what a for_each expression gives, one by one.
type ItemList struct {
	items  []any // or
	object *value.Map
	Origin value.Origin
}

// EachItem evaluates a for_each expression. The error is one line for people.
func EachItem(ctx context.Context, tpl *jinja.Template, in *TaskInput) (*ItemList, error) {
	r, err := tpl.Value(ctx, in)
	if err != nil {
		return nil, err
	}
	name, bare := tpl.Bare()
	switch v := r.Value.(type) {
	case []any:
		return &ItemList{items: v, Origin: r.Origin}, nil
	case *value.Map:
		for key, of := range v.All() {
			if _, list := of.([]any); list && bare {
				return nil, fmt.Errorf("for_each: %s is an object (keys: %s): did you mean %s.%s?", name, keysOf(v), name, key)
			}
		}
		return &ItemList{object: v, Origin: r.Origin}, nil
	}
	what := "the expression"
	if bare {
		what = name
	}
	return nil, fmt.Errorf("for_each: %s is %s, want a list or an object", what, value.Kind(r.Value))
}

// keysOf names the first keys of an object.
func keysOf(m *value.Map) string {
	keys := m.Keys()
	if len(keys) > 8 {
		keys = append(slices.Clone(keys[:8]), "...")
	}
	return strings.Join(keys, ", ")
}

// Len is how many there are, before they are put together to batches.
func (l *ItemList) Len() int {
	if l.object != nil {
		return l.object.Len()
	}
	return len(l.items)
}

// At is an item by its number from 0.
func (l *ItemList) at(i int) any {
	if l.object == nil {
		return l.items[i]
	}
	key := l.object.Keys()[i]
	v, _ := l.object.Get(key)
	return value.MapOf("key", key, "value", v)
}

// Item is an item by its number from 0, or with batch so many of them as a list.
// ok is false where there is none.
func (l *ItemList) Item(i, batch int) (v any, ok bool) {
	if batch <= 0 {
		if i < 0 || i >= l.Len() {
			return nil, false
		}
		return l.at(i), true
	}
	from := i * batch
	if i < 0 || from >= l.Len() {
		return nil, false
	}
	list := make([]any, 0, min(batch, l.Len()-from))
	for n := from; n < min(from+batch, l.Len()); n++ {
		list = append(list, l.at(n))
	}
	return list, true
}

// CheckItemCount says what is wrong with a number of items; nil: nothing is.
func CheckItemCount(n int) error {
	if n > MaxItems {
		return fmt.Errorf("for_each: %d items, at most %d: use batch", n, MaxItems)
	}
	return nil
}

// Batches is how many items a list of n makes.
func (t *Task) Batches(n int) int {
	if t.Batch > 0 {
		return (n + t.Batch - 1) / t.Batch
	}
	return n
}
