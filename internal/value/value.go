// Package value is the data that flows carry: what a TOML file, a JSON body,
// an XCom value and a template have in common.
//
// A value is one of nil, bool, int64, *big.Int, float64, Number, string, []any,
// *Map and *Bytes, and nothing else. Whole numbers and fractions stay apart, as
// in JSON text and in Python (1 and 1.0 are different values), numbers that
// were read keep their text, and maps the order of their keys. Bytes are what
// is no text; they are a value of their own and never a part of another. The
// package decides nothing about meaning; it only reads, writes and holds.
package value

import (
	"iter"
	"math/big"
	"slices"
)

// Map is a mapping from strings to values that keeps the order in which keys
// were first set. The zero Map is empty and ready for use. A Map is not safe
// for concurrent writes.
type Map struct {
	keys  []string
	vals  []any
	index map[string]int // built past smallMap keys; below it a scan is faster
}

const smallMap = 8

// NewMap returns an empty map with room for n keys.
func NewMap(n int) *Map {
	return &Map{keys: make([]string, 0, n), vals: make([]any, 0, n)}
}

// MapOf returns a map of alternating keys and values, for literals.
func MapOf(pairs ...any) *Map {
	m := NewMap(len(pairs) / 2)
	for i := 0; i+1 < len(pairs); i += 2 {
		m.Set(pairs[i].(string), pairs[i+1])
	}
	return m
}

// Len is the number of keys; a nil map has none.
func (m *Map) Len() int {
	if m == nil {
		return 0
	}
	return len(m.keys)
}

// Get returns the value of a key and whether the key is there.
func (m *Map) Get(key string) (any, bool) {
	if i := m.find(key); i >= 0 {
		return m.vals[i], true
	}
	return nil, false
}

// Set stores a value; a key that is there already keeps its place.
func (m *Map) Set(key string, v any) {
	if i := m.find(key); i >= 0 {
		m.vals[i] = v
		return
	}
	m.keys = append(m.keys, key)
	m.vals = append(m.vals, v)
	if m.index != nil {
		m.index[key] = len(m.keys) - 1
	} else if len(m.keys) > smallMap {
		m.reindex()
	}
}

// Delete removes a key; the order of the others stays.
func (m *Map) Delete(key string) {
	i := m.find(key)
	if i < 0 {
		return
	}
	m.keys = slices.Delete(m.keys, i, i+1)
	m.vals = slices.Delete(m.vals, i, i+1)
	if m.index != nil {
		m.reindex()
	}
}

// Keys returns the keys in order. The slice belongs to the map.
func (m *Map) Keys() []string {
	if m == nil {
		return nil
	}
	return m.keys
}

// All ranges over the pairs in order.
func (m *Map) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		if m == nil {
			return
		}
		for i, k := range m.keys {
			if !yield(k, m.vals[i]) {
				return
			}
		}
	}
}

func (m *Map) find(key string) int {
	if m == nil {
		return -1
	}
	if m.index != nil {
		if i, ok := m.index[key]; ok {
			return i
		}
		return -1
	}
	return slices.Index(m.keys, key)
}

func (m *Map) reindex() {
	m.index = make(map[string]int, 2*len(m.keys))
	for i, k := range m.keys {
		m.index[k] = i
	}
}

// Clone returns a deep copy: a change to one never shows in the other.
func Clone(v any) any {
	switch v := v.(type) {
	case []any:
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = Clone(e)
		}
		return c
	case *Map:
		if v == nil {
			return v
		}
		c := NewMap(v.Len())
		for k, e := range v.All() {
			c.Set(k, Clone(e))
		}
		return c
	}
	return v
}

// TypeName names a value's type in the words of the flow format: null, bool,
// int, float, str, list, dict or bytes.
func TypeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case []any:
		return "list"
	case *Map:
		return "dict"
	case *Bytes:
		return "bytes"
	case Number:
		if v.Whole() {
			return "int"
		}
		return "float"
	}
	return "unknown"
}
