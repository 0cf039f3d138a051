package jinja

import (
	"iter"
	"slices"

	"github.com/qarion/qarion/internal/value"
)

// dict is a mapping that the template has made. Its keys need not be texts, as
// those of data are.
type dict struct {
	keys, vals []any
	texts      map[string]int // where the keys are that are texts, past smallDict keys
}

// smallDict is how many keys are looked through without an index.
const smallDict = 8

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
	if i := d.find(s, key); i >= 0 {
		return d.vals[i], true
	}
	return nil, false
}

// find is where a key is, or -1.
func (d *dict) find(s *state, key any) int {
	text, isText := asText(key)
	if !isText {
		return slices.IndexFunc(d.keys, func(k any) bool {
			_, other := asText(k)
			return !other && s.equal(k, key)
		})
	}
	if d.texts == nil {
		return slices.IndexFunc(d.keys, func(k any) bool {
			t, ok := asText(k)
			return ok && t == text
		})
	}
	if i, ok := d.texts[text]; ok {
		return i
	}
	return -1
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
	if i := d.find(s, key); i >= 0 {
		d.vals[i] = v
		return
	}
	d.keys, d.vals = append(d.keys, key), append(d.vals, v)
	if text, ok := asText(key); ok && d.texts != nil {
		d.texts[text] = len(d.keys) - 1
	} else if len(d.keys) == smallDict+1 {
		d.reindex()
	}
}

// remove takes a key out.
func (d *dict) remove(s *state, key any) {
	i := d.find(s, key)
	if i < 0 {
		return
	}
	s.step((len(d.keys) - i) / 16)
	last := i == len(d.keys)-1
	d.keys, d.vals = slices.Delete(d.keys, i, i+1), slices.Delete(d.vals, i, i+1)
	switch text, ok := asText(key); {
	case d.texts == nil:
	case last && ok:
		delete(d.texts, text)
	case !last:
		d.reindex()
	}
}

func (d *dict) reindex() {
	d.texts = make(map[string]int, 2*len(d.keys))
	for i, k := range d.keys {
		if text, ok := asText(k); ok {
			d.texts[text] = i
		}
	}
}

// textKeys are the keys of a mapping that are texts, for messages.
func textKeys(v any) (keys []string) {
	m, ok := asMapping(v)
	if !ok {
		return nil
	}
	for k := range m.all() {
		if t, ok := asText(k); ok {
			keys = append(keys, t)
		}
	}
	return keys
}

// hashable fails for what cannot be a key.
func (s *state) hashable(key any) {
	switch key.(type) {
	case []any, *list, *value.Map, *dict:
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
