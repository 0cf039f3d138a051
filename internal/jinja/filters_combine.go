package jinja

// Filters that people know from Ansible, with its meaning
// (docs.ansible.com, "Using filters to manipulate data").

// combineFilter merges mappings into a new one; the later one wins. With
// recursive=true mappings within are merged too.
func combineFilter(s *state, v any, a *args) any {
	others := a.pos
	a.pos = nil
	deep := s.truth(or(a.bind(s, 0, "recursive")[0], false))
	out := s.copyOf(a.what, v)
	for _, o := range others {
		s.mergeInto(a.what, out, o, deep, 0)
	}
	return out
}

func (s *state) copyOf(what string, v any) *dict {
	m, ok := asMapping(v)
	if !ok {
		s.fail("%s takes mappings, got a %s", what, typeName(v))
	}
	s.step(m.Len())
	d := &dict{}
	for k, e := range m.all() {
		d.set(s, k, e)
	}
	return d
}

func (s *state) mergeInto(what string, d *dict, from any, deep bool, depth int) {
	m, ok := asMapping(from)
	if !ok {
		s.fail("%s takes mappings, got a %s", what, typeName(from))
	}
	if depth > maxRepr {
		s.fail("%s: a value nests deeper than %d levels", what, maxRepr)
	}
	s.step(m.Len())
	for k, e := range m.all() {
		if deep {
			if old, has := d.get(s, k); has {
				_, oldMap := asMapping(old)
				if _, newMap := asMapping(e); oldMap && newMap {
					inner := s.copyOf(what, old)
					s.mergeInto(what, inner, e, true, depth+1)
					e = inner
				}
			}
		}
		d.set(s, k, e)
	}
}

// dict2itemsFilter makes a list of mappings with key and value of a mapping.
func dict2itemsFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "key_name", "value_name")
	m, ok := asMapping(v)
	if !ok {
		s.fail("%s takes a mapping, got a %s", a.what, typeName(v))
	}
	s.step(m.Len())
	out := &list{}
	for k, e := range m.all() {
		d := &dict{}
		d.set(s, s.str(or(p[0], "key")), k)
		d.set(s, s.str(or(p[1], "value")), e)
		out.items = append(out.items, d)
	}
	return out
}

// items2dictFilter is the inverse of dict2items.
func items2dictFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "key_name", "value_name")
	key, val := s.str(or(p[0], "key")), s.str(or(p[1], "value"))
	out := &dict{}
	for _, item := range s.iterate(v) {
		s.step(1)
		m, ok := asMapping(item)
		if !ok {
			s.fail("%s takes a list of mappings, got a %s in it", a.what, typeName(item))
		}
		k, hasKey := m.get(s, key)
		e, hasValue := m.get(s, val)
		if !hasKey || !hasValue {
			s.fail("%s: an item has no %q or no %q", a.what, key, val)
		}
		s.hashable(k)
		out.set(s, k, e)
	}
	return out
}

// zipFilter pairs the items of lists, as far as the shortest goes.
func zipFilter(s *state, v any, a *args) any {
	lists := [][]any{s.iterate(v)}
	n := len(lists[0])
	for _, o := range a.pos {
		items := s.iterate(o)
		lists, n = append(lists, items), min(n, len(items))
	}
	a.pos = nil
	a.bind(s, 0)
	out := &list{}
	for i := range n {
		s.step(len(lists))
		row := make(tuple, len(lists))
		for j := range lists {
			row[j] = lists[j][i]
		}
		out.items = append(out.items, row)
	}
	return out
}

// flattenFilter takes lists within a list apart, all or as many levels as are
// said.
func flattenFilter(s *state, v any, a *args) any {
	levels := maxRepr
	if p := a.bind(s, 0, "levels")[0]; given(p) && p != nil {
		levels = s.int(a.what, p)
	}
	out := &list{}
	s.flatten(out, s.iterate(v), levels)
	return out
}

func (s *state) flatten(out *list, items []any, levels int) {
	for _, e := range items {
		s.step(1)
		if inner, ok := asItems(e); ok && levels > 0 {
			s.flatten(out, inner, levels-1)
		} else {
			out.items = append(out.items, e)
		}
	}
}

// ternaryFilter chooses by the truth of the value.
func ternaryFilter(s *state, v any, a *args) any {
	p := a.bind(s, 2, "true_val", "false_val", "none_val")
	switch {
	case v == nil && given(p[2]):
		return p[2]
	case s.truth(v):
		return p[0]
	}
	return p[1]
}
