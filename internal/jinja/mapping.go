package jinja

import (
	"iter"

	"github.com/qarion/qarion/internal/value"
)

// dict is a mapping with keys that are not all text. Data has none: JSON knows
// texts alone, so it lives only within an evaluation.
type dict struct{ keys, vals []any }

// mapping is what a template can do with either kind of mapping.
type mapping interface {
	Len() int
	get(s *state, key any) (any, bool)
	all() iter.Seq2[any, any]
}

// textMap is a mapping whose keys are texts.
type textMap struct{ *value.Map }

// asMapping reports a value as a mapping.
func asMapping(v any) (mapping, bool) {
	switch v := v.(type) {
	case *value.Map:
		return textMap{v}, true
	case *dict:
		return v, true
	}
	return nil, false
}

func (m textMap) get(_ *state, key any) (any, bool) {
	k, ok := asText(key)
	if !ok {
		return nil, false
	}
	return m.Get(k)
}

func (m textMap) all() iter.Seq2[any, any] {
	return func(yield func(any, any) bool) {
		for k, v := range m.All() {
			if !yield(k, v) {
				return
			}
		}
	}
}

// Len is the number of keys.
func (d *dict) Len() int { return len(d.keys) }

func (d *dict) get(s *state, key any) (any, bool) {
	for i, k := range d.keys {
		if s.equal(k, key) {
			return d.vals[i], true
		}
	}
	return nil, false
}

func (d *dict) all() iter.Seq2[any, any] {
	return func(yield func(any, any) bool) {
		for i, k := range d.keys {
			if !yield(k, d.vals[i]) {
				return
			}
		}
	}
}

// set stores a value; of keys that are equal, such as 1 and 1.0, the first one
// stays.
func (d *dict) set(s *state, key, v any) {
	for i, k := range d.keys {
		if s.equal(k, key) {
			d.vals[i] = v
			return
		}
	}
	d.keys, d.vals = append(d.keys, key), append(d.vals, v)
}

// hashable fails for what cannot be a key.
func (s *state) hashable(key any) {
	switch key.(type) {
	case []any, *value.Map, *dict:
		s.fail("a %s cannot be a key", typeName(key))
	}
}

// jsonKey is a key as JSON writes it; ok is false for what cannot be one.
func jsonKey(key any) (string, bool) {
	switch k := key.(type) {
	case nil:
		return "null", true
	case bool:
		if k {
			return "true", true
		}
		return "false", true
	}
	if _, isNumber := number(key); isNumber {
		return (&state{look: 1 << 30}).str(key), true
	}
	return asText(key)
}

// pairs are the items of a mapping.
func (s *state) pairs(m mapping) []any {
	s.step(m.Len())
	out := make([]any, 0, m.Len())
	for k, v := range m.all() {
		out = append(out, tuple{k, v})
	}
	return out
}

// mapKeys are the keys of a mapping.
func (s *state) mapKeys(m mapping) []any {
	s.step(m.Len())
	out := make([]any, 0, m.Len())
	for k := range m.all() {
		out = append(out, k)
	}
	return out
}
