package jinja

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

func (a *attr) eval(s *state) val {
	x := a.x.eval(s)
	s.step(1)
	if u, ok := x.v.(*undefined); ok && u.within != nil {
		return u.secret(a.name, x.o)
	}
	if ns, ok := x.v.(*namespace); ok {
		if v, ok := ns.vals[a.name]; ok {
			v.o |= x.o
			return v
		}
	}
	return val{s.attribute(a.x, x.v, a.name), x.o}
}

// secret is one of a mapping of secrets.
func (u *undefined) secret(key string, o value.Origin) val {
	if v, ok := u.within.Get(key); ok {
		return val{v, o | value.Secret}
	}
	return val{&undefined{name: u.name + "." + key, available: u.within.Keys()}, o}
}

// attribute is x.name: a key of a mapping, else a method.
func (s *state) attribute(written expr, x any, name string) any {
	switch x := x.(type) {
	case *undefined:
		return x // default may still catch it; anything else names what is missing
	case *value.Map:
		if v, ok := x.Get(name); ok {
			return v
		}
	case *dict:
		if v, ok := x.get(s, name); ok {
			return v
		}
	case *namespace:
		return &undefined{name: path(written, name), available: x.names}
	case *value.Bytes:
		return bytesAttribute(written, x, name)
	case tuple: // what groupby gives
		if at := slices.Index([]string{"grouper", "list"}, name); at >= 0 && len(x) == 2 {
			return x[at]
		}
	case *loop:
		return x.attribute(s, name)
	case *cycler:
		return x.attribute(name)
	case moment, timedelta:
		if v := s.timeAttribute(x, name); v != nil {
			return v
		}
	}
	if m := s.method(x, name); m != nil {
		return m
	}
	return &undefined{name: path(written, name), available: textKeys(x)}
}

// bytesAttribute is what can be read of bytes without looking into them.
func bytesAttribute(written expr, b *value.Bytes, name string) any {
	switch name {
	case "size":
		return b.Size
	case "content_type":
		return b.ContentType
	case "sha256":
		return b.SHA256
	}
	return &undefined{name: path(written, name), available: []string{"content_type", "sha256", "size"}}
}

// path is how an attribute was written: get_user.address.city.
func path(x expr, last string) string {
	switch x := x.(type) {
	case *name:
		return x.id + "." + last
	case *attr:
		return path(x.x, x.name) + "." + last
	case *index:
		if l, ok := x.key.(*literal); ok {
			switch k := l.v.(type) {
			case string:
				return path(x.x, k) + "." + last
			case int64:
				return path(x.x, (&state{}).str(k)) + "." + last
			}
		}
		return path(x.x, "[...]") + "." + last
	}
	return last
}

func (i *index) eval(s *state) val {
	x, k := i.x.eval(s), s.defined(i.key)
	s.step(1)
	_, shown := i.key.(*literal)
	if u, ok := x.v.(*undefined); ok && u.within != nil {
		if key, isText := asText(k.v); isText {
			return u.secret(key, x.o|k.o)
		}
	}
	return val{s.item(i.x, x.v, k.v, shown), x.o | k.o}
}

// item is x[k]. shown says whether k stands in the template and may be quoted.
func (s *state) item(written expr, x, k any, shown bool) any {
	if u, ok := x.(*undefined); ok {
		return u
	}
	key, isText := asText(k)
	if m, ok := x.(*value.Map); ok {
		if v, found := m.Get(key); isText && found {
			return v
		}
		if isText {
			if f := s.method(x, key); f != nil {
				return f
			}
		}
		return &undefined{name: path(written, s.short(k, shown)), available: m.Keys()}
	}
	if d, ok := x.(*dict); ok {
		s.hashable(k)
		if v, found := d.get(s, k); found {
			return v
		}
		if !isText || s.method(x, key) == nil {
			return &undefined{name: path(written, s.short(k, shown)), available: textKeys(x)}
		}
	}
	if b, ok := x.(*value.Bytes); ok && isText {
		return bytesAttribute(written, b, key)
	}
	if isText {
		if ns, ok := x.(*namespace); ok {
			if v, ok := ns.vals[key]; ok {
				s.spilled |= v.o
				return v.v
			}
		}
		if t, ok := x.(tuple); ok {
			return s.attribute(written, t, key)
		}
		if m := s.method(x, key); m != nil {
			return m
		}
		return &undefined{name: path(written, s.short(k, shown))}
	}
	n, isNumber := number(k)
	at, ok := n.(int64)
	if _, fraction := k.(float64); !isNumber || !ok || fraction {
		return &undefined{name: path(written, s.short(k, shown))}
	}
	var v any
	var found bool
	short := ""
	if text, ok := asText(x); ok {
		s.scan(len(text))
		if v, found = charAt(text, at); !found {
			short = "a text has no [" + s.short(k, shown) + "]"
		}
	} else if r, ok := x.(*span); ok {
		if at < 0 {
			at += r.n
		}
		v, found = r.at(at), at >= 0 && at < r.n
	} else if items, ok := asItems(x); ok {
		short = fmt.Sprintf("list of %d has no [%s]", len(items), s.short(k, shown))
		if at < 0 {
			at += int64(len(items))
		}
		if found = at >= 0 && at < int64(len(items)); found {
			v = items[at]
		}
	}
	if !found {
		return &undefined{name: path(written, s.short(k, shown)), short: short}
	}
	return v
}

// short is a key as messages show it: numbers, and names from the template;
// never data.
func (s *state) short(k any, shown bool) string {
	if t, ok := asText(k); ok {
		if shown && len(t) <= 64 && strings.Trim(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == "" {
			return t
		}
		return "[...]"
	}
	if _, ok := number(k); ok {
		return s.str(k)
	}
	return "[...]"
}

func charAt(text string, at int64) (string, bool) {
	if at >= 0 && at < int64(len(text)) && isASCII(text[:at+1]) {
		return text[at : at+1], true
	}
	runes := []rune(text)
	if at < 0 {
		at += int64(len(runes))
	}
	if at < 0 || at >= int64(len(runes)) {
		return "", false
	}
	return string(runes[at]), true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func (sl *slice) eval(s *state) val {
	x := s.defined(sl.x)
	o := x.o
	bound := func(e expr) any {
		if e == nil {
			return nil
		}
		v := s.defined(e)
		o |= v.o
		return v.v
	}
	from, to, step := bound(sl.from), bound(sl.to), bound(sl.step)
	return val{s.slice(x.v, from, to, step), o}
}

// slice is x[from:to:step], with Python's meaning of what is left out and of
// negative numbers.
func (s *state) slice(x, from, to, step any) any {
	if text, ok := asText(x); ok {
		return s.sliceText(text, x, from, to, step)
	}
	items, ok := asItems(x)
	if r, isSpan := x.(*span); isSpan {
		items, ok = s.iterate(r), true
	}
	if !ok {
		s.fail("a %s has no parts: [from:to] needs text or a list", typeName(x))
	}
	start, end, by := s.bounds(len(items), from, to, step)
	var out []any
	for i := start; by > 0 && i < end || by < 0 && i > end; i += by {
		s.step(1)
		out = append(out, items[i])
	}
	if _, ok := x.(tuple); ok {
		return tuple(out)
	}
	return &list{out}
}

// sliceText is a part of a text, by characters.
func (s *state) sliceText(text string, x, from, to, step any) any {
	s.scan(len(text))
	out := ""
	if isASCII(text) && step == nil {
		start, end, _ := s.bounds(len(text), from, to, step)
		out = text[start:max(start, end)]
	} else {
		runes := []rune(text)
		start, end, by := s.bounds(len(runes), from, to, step)
		var b strings.Builder
		for i := start; by > 0 && i < end || by < 0 && i > end; i += by {
			b.WriteRune(runes[i])
		}
		out = b.String()
		s.made(len(out))
	}
	if _, safe := x.(markup); safe {
		return markup(out)
	}
	return out
}

// bounds are where a slice of n items starts, where it ends, and its step.
func (s *state) bounds(n int, from, to, step any) (start, end, by int) {
	by = 1
	if step != nil {
		by = s.int("a slice", step)
	}
	if by == 0 {
		s.fail("the step of a slice is zero")
	}
	start, end = 0, n
	if by < 0 {
		start, end = n-1, -1
	}
	clamp := func(v any, def int) int {
		if v == nil {
			return def
		}
		i := s.int("a slice", v)
		if i < 0 {
			i += n
		}
		if by < 0 {
			return max(-1, min(i, n-1))
		}
		return max(0, min(i, n))
	}
	return clamp(from, start), clamp(to, end), by
}
