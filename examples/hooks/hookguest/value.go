package hookguest

import (
	"iter"
	"strconv"
)

// Kind is what a [Value] is.
type Kind uint8

// The kinds of a value. Missing is the kind of what is not there.
const (
	Missing Kind = iota
	Null
	Bool
	Number
	Text
	Array
	Object
)

// String names the kind as a person would.
func (k Kind) String() string {
	return [...]string{"nothing", "null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// Value is a JSON value, read where it lies: no copy, no tree. The zero Value
// is missing, and everything that is asked of a missing one is missing or zero,
// so a chain of steps needs one test at its end. A Value made of a body or a
// configuration is valid until the hook returns.
type Value struct {
	raw []byte // one value without space around it; empty: missing
}

// Parse checks a whole document (RFC 8259) and returns its value. Of members
// with the same name the last one counts. The error is a [*SyntaxError].
func Parse(doc []byte) (Value, error) {
	start, end, err := checkDocument(doc)
	if err != nil {
		return Value{}, err
	}
	return Value{doc[start:end]}, nil
}

// Kind says what the value is.
func (v Value) Kind() Kind {
	if len(v.raw) == 0 {
		return Missing
	}
	switch c := v.raw[0]; c {
	case 'n':
		return Null
	case 't', 'f':
		return Bool
	case '"':
		return Text
	case '[':
		return Array
	case '{':
		return Object
	}
	return Number
}

// Exists says whether there is a value; null is one.
func (v Value) Exists() bool { return len(v.raw) > 0 }

// Raw is the value as it was written. It must not be changed.
func (v Value) Raw() []byte { return v.raw }

// Get follows names of members.
func (v Value) Get(names ...string) Value {
	for _, name := range names {
		v = v.member(name)
	}
	return v
}

func (v Value) member(name string) (found Value) {
	if v.Kind() != Object {
		return found
	}
	for i := 1; ; {
		key, val, next := entryAt(v.raw, i)
		if next == 0 {
			return found
		}
		if key.is(name) {
			found = Value{val}
		}
		i = next
	}
}

// entryAt reads the member of an object that begins at i, and says where the next
// one does; 0 when there is none.
func entryAt(b []byte, i int) (key quoted, val []byte, next int) {
	i = skipSpace(b, i)
	if i >= len(b) || b[i] != '"' {
		return nil, nil, 0
	}
	end := skipString(b, i)
	key = quoted(b[i:end])
	i = skipSpace(b, skipSpace(b, end)+1) // the colon
	if i >= len(b) {
		return nil, nil, 0
	}
	end = skip(b, i)
	return key, b[i:end], skipSpace(b, end) + 1
}

// Index is the element i of an array.
func (v Value) Index(i int) Value {
	for n, item := range v.Items() {
		if n == i {
			return item
		}
	}
	return Value{}
}

// At follows a JSON Pointer (RFC 6901): "" is the value itself, "/items/0/sku"
// a member of an element. A pointer that does not start with a slash finds
// nothing.
func (v Value) At(pointer string) Value {
	for pointer != "" && v.Exists() {
		if pointer[0] != '/' {
			return Value{}
		}
		var token string
		token, pointer = cutToken(pointer[1:])
		if v.Kind() == Array {
			v = v.Index(arrayIndex(token))
		} else {
			v = v.member(unescapeToken(token))
		}
	}
	return v
}

// Len counts the elements of an array or the members of an object, a name that
// stands twice twice; 0 for anything else.
func (v Value) Len() int {
	n := 0
	switch v.Kind() {
	case Array:
		for range v.Items() {
			n++
		}
	case Object:
		for range v.entries() {
			n++
		}
	}
	return n
}

// Items goes through the elements of an array; through nothing otherwise.
func (v Value) Items() iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		if v.Kind() != Array {
			return
		}
		b := v.raw
		for i, n := 1, 0; ; n++ {
			i = skipSpace(b, i)
			if i >= len(b) || b[i] == ']' {
				return
			}
			end := skip(b, i)
			if !yield(n, Value{b[i:end]}) {
				return
			}
			i = skipSpace(b, end) + 1 // the comma, or the closing bracket
		}
	}
}

// Members goes through the members of an object in the order in which they
// were written; through nothing otherwise.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for key, val := range v.entries() {
			if !yield(key.text(), val) {
				return
			}
		}
	}
}

// entries goes through the members with their names as they were written.
func (v Value) entries() iter.Seq2[quoted, Value] {
	return func(yield func(quoted, Value) bool) {
		if v.Kind() != Object {
			return
		}
		for i := 1; ; {
			key, val, next := entryAt(v.raw, i)
			if next == 0 || !yield(key, Value{val}) {
				return
			}
			i = next
		}
	}
}

// String is the text of a string, and of anything else what was written; "" if
// it is missing.
func (v Value) String() string {
	if v.Kind() == Text {
		return quoted(v.raw).text()
	}
	return string(v.raw)
}

// Is says whether the value is this string, without copying either.
func (v Value) Is(s string) bool { return v.Kind() == Text && quoted(v.raw).is(s) }

// Text is the text of a string; false if it is none.
func (v Value) Text() (string, bool) {
	if v.Kind() != Text {
		return "", false
	}
	return quoted(v.raw).text(), true
}

// Int is a whole number within 64 bits, written without fraction or exponent;
// false if it is none.
func (v Value) Int() (int64, bool) {
	if v.Kind() != Number {
		return 0, false
	}
	n, err := strconv.ParseInt(string(v.raw), 10, 64)
	return n, err == nil
}

// Float is a number as near as a float64 comes; false if it is none, or beyond
// the largest one.
func (v Value) Float() (float64, bool) {
	if v.Kind() != Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v.raw), 64)
	return f, err == nil
}

// Bool is true or false; the second result is false if it is neither.
func (v Value) Bool() (b, ok bool) {
	if v.Kind() != Bool {
		return false, false
	}
	return v.raw[0] == 't', true
}
