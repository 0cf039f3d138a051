package jinja

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"unicode"

	"github.com/qarion/qarion/internal/value"
)

// method returns a method of a value, nil when it has none of that name.
func (s *state) method(v any, name string) any {
	if n, ok := v.(value.Number); ok {
		if plain, err := n.Plain(); err == nil {
			v = plain
		}
	}
	switch v := v.(type) {
	case string:
		if f := s.lang.textMethods[name]; f != nil {
			return &function{name, func(s *state, a *args) any { return f(s, v, a) }}
		}
	case markup:
		if f := s.lang.textMethods[name]; f != nil {
			return &function{name, func(s *state, a *args) any { return rewrap(f(s, string(v), a)) }}
		}
	case []any, *list:
		if f := s.changing(v, name); f != nil {
			return f
		}
		if f := s.lang.listMethods[name]; f != nil {
			return &function{name, func(s *state, a *args) any {
				items, _ := asList(v)
				return f(s, items, a)
			}}
		}
	case tuple:
		if f := s.lang.listMethods[name]; f != nil {
			return &function{name, func(s *state, a *args) any { return f(s, v, a) }}
		}
	case *value.Map, *dict:
		if f := s.changing(v, name); f != nil {
			return f
		}
		if f := s.lang.mapMethods[name]; f != nil {
			m, _ := asMapping(v)
			return &function{name, func(s *state, a *args) any { return f(s, m, a) }}
		}
	case int64, *big.Int:
		switch name {
		case "bit_length":
			return numberMethod(name, int64(toBig(v).BitLen()))
		case "is_integer":
			return numberMethod(name, true)
		}
	case float64:
		if name == "is_integer" {
			return numberMethod(name, v == math.Trunc(v))
		}
	case *span:
		if f := s.lang.listMethods[name]; f != nil {
			return &function{name, func(s *state, a *args) any { return f(s, v.list(), a) }}
		}
	}
	return nil
}

// numberMethod is a method without arguments whose result is known.
func numberMethod(name string, result any) *function {
	return &function{name, func(s *state, a *args) any {
		a.bind(s, 0)
		return result
	}}
}

// rewrap keeps text that was escaped marked as such.
func rewrap(v any) any {
	switch v := v.(type) {
	case string:
		return markup(v)
	case *list:
		for i, e := range v.items {
			v.items[i] = rewrap(e)
		}
	case tuple:
		for i, e := range v {
			v[i] = rewrap(e)
		}
	}
	return v
}

func listMethodTable() map[string]func(*state, []any, *args) any {
	return map[string]func(*state, []any, *args) any{
		"index": listIndex,
		"count": func(s *state, l []any, a *args) any {
			p, n := a.bind(s, 1, "value"), int64(0)
			for _, e := range l {
				if s.equal(e, p[0]) {
					n++
				}
			}
			return n
		},
		"copy": func(s *state, l []any, a *args) any {
			a.bind(s, 0)
			s.step(len(l) / 64)
			return &list{slices.Clone(l)}
		},
	}
}

func mapMethodTable() map[string]func(*state, mapping, *args) any {
	return map[string]func(*state, mapping, *args) any{
		"items": func(s *state, m mapping, a *args) any {
			a.bind(s, 0)
			return view{"dict_items", s.pairs(m)}
		},
		"keys": func(s *state, m mapping, a *args) any {
			a.bind(s, 0)
			return view{"dict_keys", s.mapKeys(m)}
		},
		"values": func(s *state, m mapping, a *args) any {
			a.bind(s, 0)
			s.step(m.Len())
			out := make([]any, 0, m.Len())
			for _, v := range m.all() {
				out = append(out, v)
			}
			return view{"dict_values", out}
		},
		"get": func(s *state, m mapping, a *args) any {
			p := a.bind(s, 1, "key", "default")
			s.hashable(p[0])
			if v, ok := m.get(s, p[0]); ok {
				return v
			}
			return or(p[1], nil)
		},
		"copy": func(s *state, m mapping, a *args) any {
			a.bind(s, 0)
			s.step(m.Len())
			d := &dict{}
			for k, v := range m.all() {
				d.set(s, k, v)
			}
			return d
		},
	}
}

func textMethodTable() map[string]func(*state, string, *args) any {
	simple := func(f func(string) any) func(*state, string, *args) any {
		return func(s *state, t string, a *args) any {
			a.bind(s, 0)
			s.made(len(t))
			return f(t)
		}
	}
	return map[string]func(*state, string, *args) any{
		"upper":      simple(func(t string) any { return upper(t) }),
		"lower":      simple(func(t string) any { return lower(t) }),
		"casefold":   simple(func(t string) any { return strings.ReplaceAll(lower(t), "ß", "ss") }),
		"title":      simple(func(t string) any { return titleWords(t) }),
		"capitalize": simple(func(t string) any { return capitalize(t) }),
		"swapcase":   simple(func(t string) any { return swapCase(t) }),
		"isdigit":    simple(func(t string) any { return every(t, unicode.IsDigit) }),
		"isnumeric":  simple(func(t string) any { return every(t, unicode.IsNumber) }),
		"isdecimal":  simple(func(t string) any { return every(t, func(r rune) bool { return unicode.Is(unicode.Nd, r) }) }),
		"isalpha":    simple(func(t string) any { return every(t, unicode.IsLetter) }),
		"isalnum": simple(func(t string) any {
			return every(t, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) })
		}),
		"isspace":      simple(func(t string) any { return every(t, unicode.IsSpace) }),
		"isupper":      simple(func(t string) any { return isCase(t, unicode.IsLower) }),
		"islower":      simple(func(t string) any { return isCase(t, unicode.IsUpper) }),
		"isascii":      simple(func(t string) any { return isASCII(t) }),
		"istitle":      simple(func(t string) any { return t != "" && titleWords(t) == t && strings.ToLower(t) != strings.ToUpper(t) }),
		"isidentifier": simple(func(t string) any { return isIdentifier(t) }),
		"isprintable":  simple(func(t string) any { return t == "" || every(t, unicode.IsPrint) }),
		"strip":        stripper(true, true),
		"lstrip":       stripper(true, false),
		"rstrip":       stripper(false, true),
		"split":        func(s *state, t string, a *args) any { return s.split(t, a, false) },
		"rsplit":       func(s *state, t string, a *args) any { return s.split(t, a, true) },
		"splitlines": func(s *state, t string, a *args) any {
			p := a.bind(s, 0, "keepends")
			s.made(len(t))
			return texts(splitLines(t, s.truth(or(p[0], false))))
		},
		"join":         func(s *state, t string, a *args) any { return s.joinTexts(t, a) },
		"replace":      func(s *state, t string, a *args) any { return s.replaceMethod(t, a) },
		"startswith":   affix(strings.HasPrefix),
		"endswith":     affix(strings.HasSuffix),
		"find":         finder(false, false),
		"rfind":        finder(true, false),
		"index":        finder(false, true),
		"rindex":       finder(true, true),
		"count":        countText,
		"format":       func(s *state, t string, a *args) any { return s.formatMethod(t, a) },
		"zfill":        zfill,
		"ljust":        justify('<'),
		"rjust":        justify('>'),
		"center":       justify('^'),
		"partition":    partition(strings.Index),
		"rpartition":   partition(strings.LastIndex),
		"removeprefix": remover(strings.TrimPrefix),
		"removesuffix": remover(strings.TrimSuffix),
		"expandtabs":   expandTabs,
	}
}

func listIndex(s *state, l []any, a *args) any {
	p := a.bind(s, 1, "value", "start", "stop")
	from, to := s.part(len(l), p[1], p[2])
	for i := from; i < to; i++ {
		if s.equal(l[i], p[0]) {
			return int64(i)
		}
	}
	s.fail("index: the list does not contain the value")
	return nil
}

// part are the bounds of a part, from optional arguments that may be negative.
func (s *state) part(n int, from, to any) (int, int) {
	bound := func(v any, def int) int {
		if !given(v) || v == nil {
			return def
		}
		i := s.int("a position", v)
		if i < 0 {
			i += n
		}
		return max(0, min(i, n))
	}
	return bound(from, 0), bound(to, n)
}
