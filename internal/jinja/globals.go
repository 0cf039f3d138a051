package jinja

// globalTable are the functions that every template knows.
func globalTable() map[string]any {
	return map[string]any{
		"range": &function{"range", rangeFunc}, "dict": &function{"dict", dictFunc}, "namespace": &function{"namespace", namespaceFunc},
		"cycler": &function{"cycler", cyclerFunc}, "joiner": &function{"joiner", joinerFunc},
		"now": &function{"now", nowFunc}, "timedelta": &function{"timedelta", timedeltaFunc}, "uuid5": &function{"uuid5", uuid5Func},
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
	d := &dict{}
	if len(a.pos) > 1 {
		s.fail("dict takes at most one mapping, and names")
	}
	s.fillDict(d, a)
	return d
}

// fillDict sets the keys of a mapping, or of pairs, and names.
func (s *state) fillDict(d *dict, a *args) {
	for _, v := range a.pos {
		if from, ok := asMapping(v); ok {
			s.step(from.Len())
			for k, e := range from.all() {
				d.set(s, k, e)
			}
			continue
		}
		for _, pair := range s.iterate(v) {
			items := s.unpack(pair, 2)
			s.hashable(items[0])
			d.set(s, items[0], s.wantValue(items[1]))
		}
	}
	for i, n := range a.names {
		d.set(s, n, s.wantValue(a.named[i]))
	}
}

func namespaceFunc(s *state, a *args) any {
	ns := &namespace{vals: map[string]val{}}
	for key, v := range dictFunc(s, a).(*dict).all() {
		k := s.wantText("namespace", key)
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
