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
		name      string   // as written: xcom_get_user.id
		available []string // what there is instead
		why       string   // why what is there must not be read
		empty     bool     // the value of an "if" without "else": prints as nothing
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
	}
	return value.TypeName(v)
}

// plain turns what lives within an evaluation into data. ok is false for what
// is none: functions, macros, namespaces.
func plain(v any) (out any, ok bool) {
	switch v := v.(type) {
	case *undefined:
		return "", v.empty
	case markup:
		return string(v), true
	case tuple:
		return plainList(v)
	case gen:
		return plainList(v)
	case view:
		return plainList(v.items)
	case *span:
		return v.list(), true
	case []any:
		return plainList(v)
	case *dict:
		m := value.NewMap(v.Len())
		for k, e := range v.all() {
			key, isKey := jsonKey(k)
			p, ok := plain(e)
			if !ok || !isKey {
				return nil, false
			}
			m.Set(key, p)
		}
		return m, true
	case *value.Map:
		m := value.NewMap(v.Len())
		for k, e := range v.All() {
			p, ok := plain(e)
			if !ok {
				return nil, false
			}
			m.Set(k, p)
		}
		return m, true
	case nil, bool, int64, *big.Int, float64, value.Number, string, *value.Bytes:
		return v, true
	}
	return nil, false
}

func plainList(items []any) (any, bool) {
	out := make([]any, len(items))
	for i, e := range items {
		p, ok := plain(e)
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
