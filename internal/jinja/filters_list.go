package jinja

import (
	"slices"
	"strconv"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

// getter reads an attribute of an item: "address.city", "0", or a number.
type getter struct {
	parts   []any
	missing any // what stands for what is not there; absent{}: undefined
	fold    bool
	shown   bool // the attribute stands in the template
}

// getter makes one from an argument; without argument it gives the item itself.
func (s *state) getter(a *args, attribute, missing any, fold bool) *getter {
	g := &getter{missing: missing, fold: fold, shown: s.quotable(a.o)}
	switch at := attribute.(type) {
	case absent, nil:
	case int64:
		g.parts = []any{at}
	default:
		for part := range strings.SplitSeq(s.wantText("attribute", at), ".") {
			if n, err := strconv.ParseInt(part, 10, 64); err == nil && n >= 0 {
				g.parts = append(g.parts, n)
			} else {
				g.parts = append(g.parts, part)
			}
		}
	}
	return g
}

func (g *getter) get(s *state, item any) any {
	s.step(1)
	for _, p := range g.parts {
		item = s.item(&name{id: "item"}, item, p, g.shown)
		if _, no := item.(*undefined); no && given(g.missing) && g.missing != nil {
			item = g.missing
		}
	}
	if t, ok := asText(item); ok && g.fold {
		return lower(t)
	}
	return item
}

func lengthFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	n, ok := s.length(v)
	if !ok {
		s.fail("a %s has no length", typeName(v))
	}
	return int64(n)
}

func listFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	return &list{slices.Clone(s.iterate(v))}
}

func itemsFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	m, ok := asMapping(v)
	if !ok {
		s.fail("the filter \"items\" wants a mapping, got %s", typeName(v))
	}
	return gen(s.pairs(m))
}

func firstFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	items := s.iterate(v)
	if len(items) == 0 {
		return &undefined{name: "the first item of an empty sequence"}
	}
	return items[0]
}

func lastFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	if _, ok := v.(gen); ok {
		s.fail("a %s cannot be read backwards; use \"list\" before", typeName(v))
	}
	items := s.iterate(v)
	if len(items) == 0 {
		return &undefined{name: "the last item of an empty sequence"}
	}
	return items[len(items)-1]
}

func reverseFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	if t, ok := asText(v); ok {
		s.made(len(t))
		runes := []rune(t)
		slices.Reverse(runes)
		return string(runes)
	}
	out := slices.Clone(s.iterate(v))
	slices.Reverse(out)
	return gen(out)
}

func joinFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "d", "attribute")
	sep := s.str(or(p[0], ""))
	g := s.getter(a, p[1], absent{}, false)
	var b strings.Builder
	for i, item := range s.iterate(v) {
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(s.str(g.get(s, item)))
		s.room(b.Len())
	}
	s.made(b.Len())
	return b.String()
}

func mapFilter(s *state, v any, a *args) any {
	if !s.truth(v) { // nothing at all is an empty sequence here, as in Jinja2
		return gen{}
	}
	items := s.iterate(v)
	out := make(gen, len(items))
	if len(a.pos) == 0 && slices.Contains(a.names, "attribute") {
		p := a.bind(s, 0, "attribute", "default")
		g := s.getter(a, p[0], p[1], false)
		for i, item := range items {
			out[i] = g.get(s, item)
		}
		return out
	}
	if len(a.pos) == 0 {
		s.fail("the filter \"map\" wants the name of a filter, or attribute=")
	}
	f := s.filter(a)
	for i, item := range items {
		s.step(1)
		out[i] = f(s, item, a.rest(1))
	}
	return out
}

// rest are the arguments that go on to a filter or test named by the first.
func (a *args) rest(n int) *args {
	return &args{what: a.what, pos: a.pos[n:], names: a.names, named: a.named, o: a.o}
}

// filter finds the filter that the first argument names.
func (s *state) filter(a *args) filterFunc {
	name := s.wantText("the name of a filter", a.pos[0])
	f, ok := s.lang.filters[name]
	if !ok {
		s.fail("unknown filter %q%s", s.short(name, s.quotable(a.o)), orNearest(name, s.lang.filterNames()))
	}
	return func(s *state, v any, a *args) any {
		if u, no := v.(*undefined); no && !takesUndefined[name] {
			s.undefined(u)
		}
		return f(s, v, a)
	}
}

// selectFilter keeps the items for which a test is true, or those for which it
// is not. Without test it is whether the item is true.
func selectFilter(keep, byAttribute bool) filterFunc {
	return func(s *state, v any, a *args) any {
		pos := a
		g := &getter{}
		if byAttribute {
			if len(a.pos) == 0 {
				s.fail("%s wants the name of an attribute", a.what)
			}
			g = s.getter(a, a.pos[0], absent{}, false)
			pos = a.rest(1)
		}
		check := func(s *state, v any, _ *args) bool { return s.truth(v) }
		if len(pos.pos) > 0 {
			name := s.wantText("the name of a test", pos.pos[0])
			f, ok := s.lang.tests[name]
			if !ok {
				s.fail("unknown test %q%s", s.short(name, s.quotable(a.o)), orNearest(name, s.lang.testNames()))
			}
			check, pos = f, pos.rest(1)
		}
		out := gen{}
		if !s.truth(v) {
			return out
		}
		for _, item := range s.iterate(v) {
			if check(s, g.get(s, item), pos) == keep {
				out = append(out, item)
			}
		}
		return out
	}
}

// sorted sorts a copy of items by keys, stably.
func (s *state) sorted(items []any, keys [][]any, reverse bool) []any {
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		c := 0
		for k := range keys[i] {
			if s.equal(keys[i][k], keys[j][k]) {
				continue
			}
			c = s.compare("<", keys[i][k], keys[j][k])
			break
		}
		if reverse {
			return -c
		}
		return c
	})
	out := make([]any, len(items))
	for i, at := range order {
		out[i] = items[at]
	}
	return out
}

func sortFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "reverse", "case_sensitive", "attribute")
	fold := !s.truth(or(p[1], false))
	getters := []*getter{s.getter(a, absent{}, absent{}, fold)}
	if t, ok := asText(p[2]); ok && strings.Contains(t, ",") {
		getters = nil
		for part := range strings.SplitSeq(t, ",") {
			getters = append(getters, s.getter(a, part, absent{}, fold))
		}
	} else if given(p[2]) {
		getters[0] = s.getter(a, p[2], absent{}, fold)
	}
	items := s.iterate(v)
	keys := make([][]any, len(items))
	for i, item := range items {
		for _, g := range getters {
			keys[i] = append(keys[i], g.get(s, item))
		}
	}
	return &list{s.sorted(items, keys, s.truth(or(p[0], false)))}
}

func dictsortFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "case_sensitive", "by", "reverse")
	m, ok := asMapping(v)
	if !ok {
		s.fail("the filter \"dictsort\" wants a mapping, got %s", typeName(v))
	}
	at := slices.Index([]string{"key", "value"}, s.str(or(p[1], "key")))
	if at < 0 {
		s.fail("dictsort sorts by \"key\" or \"value\"")
	}
	pairs := s.pairs(m)
	keys := make([][]any, len(pairs))
	for i, pair := range pairs {
		k := pair.(tuple)[at]
		if t, ok := asText(k); ok && !s.truth(or(p[0], false)) {
			k = lower(t)
		}
		keys[i] = []any{k}
	}
	return &list{s.sorted(pairs, keys, s.truth(or(p[2], false)))}
}

func groupbyFilter(s *state, v any, a *args) any {
	p := a.bind(s, 1, "attribute", "default", "case_sensitive")
	fold := !s.truth(or(p[2], false))
	g, plainly := s.getter(a, p[0], p[1], fold), s.getter(a, p[0], p[1], false)
	items := s.iterate(v)
	keys := make([][]any, len(items))
	for i, item := range items {
		keys[i] = []any{g.get(s, item)}
	}
	var out []any
	var last any
	for _, item := range s.sorted(items, keys, false) {
		k := g.get(s, item)
		if n := len(out); n > 0 && s.equal(last, k) {
			group := out[n-1].(tuple)
			rows := group[1].(*list)
			rows.items = append(rows.items, item)
			continue
		}
		last = k
		out = append(out, tuple{plainly.get(s, item), &list{[]any{item}}})
	}
	return &list{out}
}

func uniqueFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "case_sensitive", "attribute")
	g := s.getter(a, p[1], absent{}, !s.truth(or(p[0], false)))
	var seen []any
	known := map[string]bool{} // texts, which are most of what there is
	out := gen{}
	for _, item := range s.iterate(v) {
		k := g.get(s, item)
		switch k := k.(type) {
		case []any, *list, *value.Map, *dict:
			s.fail("a %s cannot be made unique", typeName(k))
		case *undefined:
			s.undefined(k)
		}
		if t, ok := asText(k); ok {
			if known[t] {
				continue
			}
			known[t] = true
		} else if slices.ContainsFunc(seen, func(e any) bool { return s.equal(e, k) }) {
			continue
		} else {
			seen = append(seen, k)
		}
		out = append(out, item)
	}
	return out
}

// extremeFilter is max (1) or min (-1).
func extremeFilter(sign int) filterFunc {
	return func(s *state, v any, a *args) any {
		p := a.bind(s, 0, "case_sensitive", "attribute")
		g := s.getter(a, p[1], absent{}, !s.truth(or(p[0], false)))
		items := s.iterate(v)
		if len(items) == 0 {
			return &undefined{name: "the extreme of an empty sequence"}
		}
		best, key := items[0], g.get(s, items[0])
		for _, item := range items[1:] {
			if k := g.get(s, item); s.compare("<", k, key)*sign > 0 {
				best, key = item, k
			}
		}
		return best
	}
}

func sumFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "attribute", "start")
	g := s.getter(a, p[0], absent{}, false)
	total := or(p[1], int64(0))
	if _, isText := asText(total); isText {
		s.fail("the filter \"sum\" does not add texts; use \"join\"")
	}
	for _, item := range s.iterate(v) {
		e := g.get(s, item)
		if u, no := e.(*undefined); no {
			s.undefined(u)
		}
		total = s.compute("+", total, e)
	}
	return total
}

func batchFilter(s *state, v any, a *args) any {
	p := a.bind(s, 1, "linecount", "fill_with")
	n := s.int(a.what, p[0])
	out := gen{}
	var row []any
	for _, item := range s.iterate(v) {
		if len(row) == n && row != nil {
			out = append(out, &list{row})
			row = nil
		}
		row = append(row, item)
	}
	if len(row) > 0 {
		if fill := or(p[1], nil); fill != nil {
			for len(row) < n {
				s.step(1)
				row = append(row, fill)
			}
		}
		out = append(out, &list{row})
	}
	return out
}

func sliceFilter(s *state, v any, a *args) any {
	p := a.bind(s, 1, "slices", "fill_with")
	n := s.int(a.what, p[0])
	if n == 0 {
		s.fail("%s: there must be at least one slice", a.what)
	}
	items := s.iterate(v)
	s.step(max(0, n))
	out := gen{}
	if n < 0 {
		return out
	}
	each, extra, at := len(items)/n, len(items)%n, 0
	for i := range n {
		end := at + each
		if i < extra {
			end++
		}
		part := slices.Clone(items[at:end])
		if fill := or(p[1], nil); fill != nil && i >= extra {
			part = append(part, fill)
		}
		out = append(out, &list{part})
		at = end
	}
	return out
}

// attrFilter reads an attribute and never a key, so of data it finds methods
// at most.
func attrFilter(s *state, v any, a *args) any {
	n := s.wantText(a.what, a.bind(s, 1, "name")[0])
	if m := s.method(v, n); m != nil {
		return m
	}
	return &undefined{name: "the attribute " + s.short(n, s.quotable(a.o))}
}
