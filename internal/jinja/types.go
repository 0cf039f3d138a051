package jinja

import (
	"math/big"

	"github.com/qarion/qarion/internal/value"
)

// Beside the types of package value, an evaluation knows those that only live
// within it.
type (
	// undefined stands for what is not there, until it is used.
	undefined struct {
		name      string     // as written: xcom_get_user.id
		available []string   // what there is instead
		why       string     // why what is there must not be read
		empty     bool       // the value of an "if" without "else": prints as nothing
		within    *value.Map // secrets that can be read one by one
		short     string     // what has no such item: "list of 9 has no [9]"
	}

	tuple  []any  // (1, 2)
	gen    []any  // what filters such as map give: to iterate over, without length
	markup string // text that is escaped already
	view   struct {
		name  string // dict_items, dict_keys, dict_values
		items []any
	}
	span struct{ from, to, step, n int64 } // range(from, to, step)

	// function is a global function, or a method bound to its value.
	function struct {
		name string
		call func(s *state, a *args) any
	}

	namespace struct {
		names []string
		vals  map[string]val
	}
	cycler struct {
		items []any
		at    int
	}
	joiner struct {
		sep  string
		used bool
	}
	macro struct {
		def   *macroStmt
		scope *scope // where it was defined
	}
	loop struct {
		items      []any
		at, depth  int
		stmt       *forStmt
		last       []any // the arguments of the last call of changed
		everCalled bool
	}
)

// normal is a whole number in its smallest type.
func normal(n *big.Int) any {
	if n.IsInt64() {
		return n.Int64()
	}
	return n
}

// typeName is what messages call a value.
func typeName(v any) string {
	switch v := v.(type) {
	case *undefined:
		return "undefined"
	case *list:
		return "list"
	case *dict:
		return "dict"
	case tuple:
		return "tuple"
	case gen:
		return "generator"
	case markup:
		return "str"
	case view:
		return v.name
	case *span:
		return "range"
	case *function:
		return "function"
	case *namespace:
		return "namespace"
	case *macro:
		return "macro"
	case *loop:
		return "loop"
	case *cycler:
		return "cycler"
	case *joiner:
		return "joiner"
	case moment:
		return "datetime"
	case timedelta:
		return "timedelta"
	}
	return value.TypeName(v)
}

// plain turns what lives within an evaluation into data. ok is false for what
// is none: functions, macros, namespaces. Data is data already: only what the
// template has made is gone through, and counted.
func (s *state) plain(v any) (out any, ok bool) { return s.plainAt(v, 0) }

func (s *state) plainAt(v any, depth int) (out any, ok bool) {
	if depth > maxRepr {
		s.fail("a value nests deeper than %d levels", maxRepr)
	}
	switch v := v.(type) {
	case *undefined:
		return "", v.empty
	case markup:
		return string(v), true
	case moment:
		return v.String(), true
	case *list:
		return s.plainList(v.items, depth)
	case tuple:
		return s.plainList(v, depth)
	case gen:
		return s.plainList(v, depth)
	case view:
		return s.plainList(v.items, depth)
	case *span:
		s.step(int(v.n))
		return v.list(), true
	case *dict:
		s.step(v.Len())
		m := value.NewMap(v.Len())
		for k, e := range v.all() {
			key, isKey := jsonKey(k)
			p, ok := s.plainAt(e, depth+1)
			if !ok || !isKey {
				return nil, false
			}
			m.Set(key, p)
		}
		return m, true
	case nil, bool, int64, *big.Int, float64, value.Number, string, []any, *value.Map, *value.Bytes:
		return v, true
	}
	return nil, false
}

func (s *state) plainList(items []any, depth int) (any, bool) {
	s.step(len(items))
	out := make([]any, len(items))
	for i, e := range items {
		p, ok := s.plainAt(e, depth+1)
		if !ok {
			return nil, false
		}
		out[i] = p
	}
	return out, true
}

// asText is a text, escaped or not.
func asText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case markup:
		return string(v), true
	}
	return "", false
}

// asItems are the items of a list or tuple.
func asItems(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case *list:
		return v.items, true
	case tuple:
		return v, true
	}
	return nil, false
}

func (r *span) at(i int64) int64 { return r.from + i*r.step }

func (r *span) list() []any {
	out := make([]any, r.n)
	for i := range out {
		out[i] = r.at(int64(i))
	}
	return out
}
