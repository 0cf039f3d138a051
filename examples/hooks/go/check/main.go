// Command check is a hook that checks the list in a response: how long it is,
// which fields each element has, that no two are the same, and that a count
// elsewhere in the body agrees.
package main

import (
	"bytes"
	"strconv"

	"github.com/qarion/qarion/examples/hooks/hookguest"
	"github.com/qarion/qarion/examples/hooks/hookguest/validate"
)

func init() { validate.Response(check) }

func main() {}

// config is what a flow says under config.
type config struct {
	Items    string          // JSON Pointer to the array; the body itself by default
	MinItems int             // how many elements there have to be
	Fields   hookguest.Value // kinds by name, such as {"sku": "string"}
	Unique   string          // a field that no two elements share
	Count    string          // JSON Pointer to the number of elements

	fields []field // what Fields says
}

type field struct{ name, kind string }

func check(r *hookguest.Response) error {
	var c config
	if err := r.Config.Decode(&c); err != nil {
		return err
	}
	for name, kind := range c.Fields.Members() {
		if !known(kind) {
			return hookguest.Fail("config", "config.fields."+name+
				": want any, string, number, integer, boolean, array or object, have "+kind.String())
		}
		c.fields = append(c.fields, field{name, kind.String()})
	}
	if err := r.JSONError(); err != nil {
		return err
	}
	var v hookguest.Verdict
	items := r.JSON().At(c.Items)
	if items.Kind() != hookguest.Array {
		v.Add(c.Items, "no_items", "want an array, have "+items.Kind().String())
		return v.Err()
	}
	n := items.Len()
	if n < c.MinItems {
		v.Add(c.Items, "too_few_items", "need "+strconv.Itoa(c.MinItems)+", have "+strconv.Itoa(n))
	}
	seen := make(map[string]int, n)
	for i, item := range items.Items() {
		c.checkItem(&v, seen, i, item)
	}
	if c.Count != "" && string(r.JSON().At(c.Count).Raw()) != strconv.Itoa(n) {
		v.Add(c.Count, "wrong_count", "want "+strconv.Itoa(n)+", as many as there are elements")
	}
	return v.Err()
}

// checkItem looks at one element; seen has where each unique value stood first.
func (c *config) checkItem(v *hookguest.Verdict, seen map[string]int, i int, item hookguest.Value) {
	if item.Kind() != hookguest.Object {
		v.Add(c.path(i), "wrong_kind", "want an object, have "+item.Kind().String())
		return
	}
	for _, f := range c.fields {
		switch val := item.Get(f.name); {
		case !val.Exists():
			v.Add(c.path(i, f.name), "missing", "the field is not there")
		case !is(val, f.kind):
			v.Add(c.path(i, f.name), "wrong_kind", "want "+f.kind+", have "+val.Kind().String())
		}
	}
	if c.Unique == "" {
		return
	}
	key := item.Get(c.Unique)
	if first, twice := seen[string(key.Raw())]; twice {
		v.Add(c.path(i, c.Unique), "duplicate", "the same as in element "+strconv.Itoa(first))
	} else if key.Exists() {
		seen[string(key.Raw())] = i
	}
}

// path is the JSON Pointer to an element, or to a field of it.
func (c *config) path(i int, field ...string) string {
	at := c.Items + "/" + strconv.Itoa(i)
	for _, name := range field {
		at += "/" + hookguest.PointerToken(name)
	}
	return at
}

func known(kind hookguest.Value) bool {
	switch kind.String() {
	case "any", "string", "number", "integer", "boolean", "array", "object":
		return kind.Kind() == hookguest.Text
	}
	return false
}

// is says whether a value is of a kind, as fields in the configuration has it.
func is(val hookguest.Value, kind string) bool {
	switch kind {
	case "string":
		return val.Kind() == hookguest.Text
	case "number":
		return val.Kind() == hookguest.Number
	case "integer":
		return val.Kind() == hookguest.Number && !bytes.ContainsAny(val.Raw(), ".eE")
	case "boolean":
		return val.Kind() == hookguest.Bool
	case "array":
		return val.Kind() == hookguest.Array
	case "object":
		return val.Kind() == hookguest.Object
	}
	return true // any
}
