package jinja

import "github.com/qarion/qarion/internal/value"

// globalTable are the functions that every template knows.
func globalTable() map[string]any {
	return map[string]any{
		"range": &function{"range", rangeFunc}, "dict": &function{"dict", dictFunc}, "namespace": &function{"namespace", namespaceFunc},
		"cycler": &function{"cycler", cyclerFunc}, "joiner": &function{"joiner", joinerFunc},
	}
}

func rangeFunc(s *state, a *args) any {
	if len(a.names) > 0 || len(a.pos) < 1 || len(a.pos) > 3 {
		s.fail("range takes one to three whole numbers")
	}
	r := &span{step: 1}
	nums := make([]int64, len(a.pos))
	for i, v := range a.pos {
		nums[i] = int64(s.int("range", v))
	}
	switch len(nums) {
	case 1:
		r.to = nums[0]
	case 2:
		r.from, r.to = nums[0], nums[1]
	default:
		r.from, r.to, r.step = nums[0], nums[1], nums[2]
	}
	switch {
	case r.step == 0:
		s.fail("the step of range is zero")
	case r.step > 0 && r.to > r.from:
		r.n = (r.to - r.from + r.step - 1) / r.step
	case r.step < 0 && r.to < r.from:
		r.n = (r.from - r.to - r.step - 1) / -r.step
	}
	if r.n > maxRange {
		s.fail("range has more than %d numbers", maxRange)
	}
	return r
}

func dictFunc(s *state, a *args) any {
	m := value.NewMap(len(a.names))
	if len(a.pos) > 1 {
		s.fail("dict takes at most one mapping, and names")
	}
	for _, v := range a.pos {
		if from, ok := v.(*value.Map); ok {
			for k, e := range from.All() {
				m.Set(k, e)
			}
			continue
		}
		for _, pair := range s.iterate(v) {
			items := s.unpack(pair, 2)
			m.Set(s.wantText("dict", items[0]), items[1])
		}
	}
	for i, n := range a.names {
		m.Set(n, a.named[i])
	}
	return m
}

func namespaceFunc(s *state, a *args) any {
	ns := &namespace{vals: map[string]val{}}
	for k, v := range dictFunc(s, a).(*value.Map).All() {
		ns.names = append(ns.names, k)
		ns.vals[k] = val{v, a.o}
	}
	return ns
}

func cyclerFunc(s *state, a *args) any {
	if len(a.pos) == 0 {
		s.fail("cycler needs values to cycle through")
	}
	return &cycler{items: a.pos}
}

func joinerFunc(s *state, a *args) any {
	return &joiner{sep: s.str(or(a.bind(s, 0, "sep")[0], ", "))}
}
