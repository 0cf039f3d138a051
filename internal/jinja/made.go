package jinja

import (
	"math/big"
	"slices"

	"github.com/qarion/qarion/internal/value"
)

// What a template makes itself it may change; what it was given it may not.
// The types say which is which: []any and *value.Map are data, *list and *dict
// were made by this evaluation. So neither a second name nor a loop, an
// argument or a place within another value makes data changeable; a copy does.

// list is a list that the template has made. All names of it see a change.
type list struct{ items []any }

// texts is a list of texts.
func texts(of []string) *list {
	out := make([]any, len(of))
	for i, t := range of {
		out[i] = t
	}
	return &list{out}
}

// asList are the items of a list, made or given.
func asList(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case *list:
		return v.items, true
	}
	return nil, false
}

// reaches reports whether a value leads to something that can change, so that
// what is read of it later may come from anywhere.
func reaches(v any) bool {
	switch v.(type) {
	case nil, bool, int64, *big.Int, float64, value.Number, string, markup, []any, *value.Map, *value.Bytes, *undefined, *span, moment, timedelta:
		return false
	}
	return true
}

// value evaluates what a statement works with. When that has read something
// that can change, it may hold anything that was put into such a thing, so it
// has the origins of all that was.
func (s *state) value(x expr) val {
	before := s.touched
	s.touched = false
	v := x.eval(s)
	if s.touched {
		v.o |= s.mutated
	}
	s.touched = s.touched || before
	return v
}

// quotable reports whether what an argument says stands in the template, so
// that a message may show it.
func (s *state) quotable(o value.Origin) bool { return o|s.mutated|s.spilled == 0 }

// changes are the methods that change a value. Of data they are errors.
var changes = map[string]bool{
	"append": true, "extend": true, "insert": true, "remove": true, "pop": true, "popitem": true, "clear": true,
	"sort": true, "reverse": true, "update": true, "setdefault": true,
}

// changing returns a method that changes a value; nil when the value has none
// of that name.
func (s *state) changing(v any, name string) *function {
	var do func(a *args) any
	switch v := v.(type) {
	case *list:
		if f := s.lang.listChanges[name]; f != nil {
			do = func(a *args) any { return f(s, v, a) }
		}
	case *dict:
		if f := s.lang.mapChanges[name]; f != nil {
			do = func(a *args) any { return f(s, v, a) }
		}
	case []any:
		if s.lang.listChanges[name] != nil {
			do = func(*args) any {
				s.fail("the method %q changes a list of the data; change a copy: (... | list)", name)
				return nil
			}
		}
	case *value.Map:
		if s.lang.mapChanges[name] != nil {
			do = func(*args) any {
				s.fail("the method %q changes a mapping of the data; change a copy: dict(...)", name)
				return nil
			}
		}
	}
	if do == nil {
		return nil
	}
	return &function{name, func(s *state, a *args) any {
		s.mutated |= a.o
		return do(a)
	}}
}

func listChangeTable() map[string]func(*state, *list, *args) any {
	return map[string]func(*state, *list, *args) any{
		"append": func(s *state, l *list, a *args) any {
			l.items = append(l.items, s.wantValue(a.bind(s, 1, "object")[0]))
			return nil
		},
		"extend": func(s *state, l *list, a *args) any {
			l.items = append(l.items, s.iterate(a.bind(s, 1, "iterable")[0])...)
			return nil
		},
		"insert": func(s *state, l *list, a *args) any {
			p := a.bind(s, 2, "index", "object")
			at, _ := s.part(len(l.items), p[0], nil)
			s.step(len(l.items) / 64)
			l.items = slices.Insert(l.items, at, s.wantValue(p[1]))
			return nil
		},
		"remove": func(s *state, l *list, a *args) any {
			v := a.bind(s, 1, "value")[0]
			at := slices.IndexFunc(l.items, func(e any) bool { return s.equal(e, v) })
			if at < 0 {
				s.fail("remove: the list does not contain the value")
			}
			l.items = slices.Delete(l.items, at, at+1)
			return nil
		},
		"pop": popItem,
		"clear": func(s *state, l *list, a *args) any {
			a.bind(s, 0)
			l.items = nil
			return nil
		},
		"reverse": func(s *state, l *list, a *args) any {
			a.bind(s, 0)
			s.step(len(l.items) / 64)
			slices.Reverse(l.items)
			return nil
		},
		"sort": sortItems,
	}
}

func popItem(s *state, l *list, a *args) any {
	n := len(l.items)
	at := n - 1
	if p := a.bind(s, 0, "index")[0]; given(p) {
		if at = s.int("pop", p); at < 0 {
			at += n
		}
	}
	if at < 0 || at >= n {
		s.fail("pop: the list has no item there")
	}
	v := l.items[at]
	s.step((n - at) / 64)
	l.items = slices.Delete(l.items, at, at+1)
	return v
}

// sortItems sorts a list in place: unlike the filter it tells "B" from "b".
func sortItems(s *state, l *list, a *args) any {
	p := a.bind(s, 0, "reverse", "key")
	if given(p[1]) && p[1] != nil {
		s.fail("sort takes no key here; the filter sort(attribute=...) sorts by one")
	}
	keys := make([][]any, len(l.items))
	for i, item := range l.items {
		s.step(1)
		keys[i] = []any{item}
	}
	l.items = s.sorted(l.items, keys, s.truth(or(p[0], false)))
	return nil
}

func mapChangeTable() map[string]func(*state, *dict, *args) any {
	return map[string]func(*state, *dict, *args) any{
		"update": func(s *state, d *dict, a *args) any {
			if len(a.pos) > 1 {
				s.fail("update takes at most one mapping, and names")
			}
			s.fillDict(d, a)
			return nil
		},
		"setdefault": func(s *state, d *dict, a *args) any {
			p := a.bind(s, 1, "key", "default")
			s.hashable(p[0])
			if v, ok := d.get(s, p[0]); ok {
				return v
			}
			v := s.wantValue(or(p[1], nil))
			d.set(s, p[0], v)
			return v
		},
		"pop": func(s *state, d *dict, a *args) any {
			p := a.bind(s, 1, "key", "default")
			s.hashable(p[0])
			v, ok := d.get(s, p[0])
			switch {
			case ok:
				d.remove(s, p[0])
				return v
			case given(p[1]):
				return p[1]
			}
			s.fail("pop: the mapping does not have the key")
			return nil
		},
		"popitem": func(s *state, d *dict, a *args) any {
			a.bind(s, 0)
			n := d.Len()
			if n == 0 {
				s.fail("popitem: the mapping is empty")
			}
			last := tuple{d.keys[n-1], d.vals[n-1]}
			d.remove(s, last[0])
			return last
		},
		"clear": func(s *state, d *dict, a *args) any {
			a.bind(s, 0)
			*d = dict{}
			return nil
		},
	}
}

// wantValue is an argument that must be something.
func (s *state) wantValue(v any) any {
	if u, ok := v.(*undefined); ok {
		s.undefined(u)
	}
	return v
}
