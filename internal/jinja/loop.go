package jinja

// recurse is loop(items) in a recursive loop: its text.
func (l *loop) recurse(s *state, a *args) val {
	before := s.out
	s.out = &sink{}
	l.again(s, a)
	out := val{s.out.b.String(), s.out.o | a.o}
	s.out = before
	s.made(len(out.v.(string)))
	return out
}

// again runs the loop over other items, within itself.
func (l *loop) again(s *state, a *args) {
	if !l.stmt.recursive {
		s.fail("loop(...) needs a loop that is \"recursive\"")
	}
	if s.depth++; s.depth > maxMacros {
		s.fail("a recursive loop goes more than %d deep", maxMacros)
	}
	items := a.bind(s, 1, "iterable")[0]
	l.stmt.over(s, val{items, a.o}, l.depth+1)
	s.depth--
}

func (l *loop) attribute(s *state, name string) any {
	n := len(l.items)
	switch name {
	case "index":
		return int64(l.at + 1)
	case "index0":
		return int64(l.at)
	case "revindex":
		return int64(n - l.at)
	case "revindex0":
		return int64(n - l.at - 1)
	case "first":
		return l.at == 0
	case "last":
		return l.at == n-1
	case "length":
		return int64(n)
	case "depth":
		return int64(l.depth + 1)
	case "depth0":
		return int64(l.depth)
	case "previtem":
		if l.at > 0 {
			return l.items[l.at-1]
		}
		return &undefined{name: "loop.previtem"}
	case "nextitem":
		if l.at < n-1 {
			return l.items[l.at+1]
		}
		return &undefined{name: "loop.nextitem"}
	case "cycle":
		return &function{"cycle", func(s *state, a *args) any {
			if len(a.pos) == 0 {
				s.fail("loop.cycle needs values to cycle through")
			}
			return a.pos[l.at%len(a.pos)]
		}}
	case "changed":
		return &function{"changed", func(s *state, a *args) any {
			same := l.everCalled && s.equal([]any(l.last), a.pos)
			l.last, l.everCalled = append([]any{}, a.pos...), true
			return !same
		}}
	}
	return &undefined{name: "loop." + name, available: []string{"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "cycle", "changed", "depth", "depth0"}}
}

func (c *cycler) attribute(name string) any {
	switch name {
	case "next":
		return &function{"next", func(*state, *args) any {
			v := c.items[c.at]
			c.at = (c.at + 1) % len(c.items)
			return v
		}}
	case "reset":
		return &function{"reset", func(*state, *args) any {
			c.at = 0
			return nil
		}}
	case "current":
		return c.items[c.at]
	}
	return &undefined{name: "cycler." + name, available: []string{"next", "reset", "current"}}
}
