package hookguest

import (
	"reflect"
	"strconv"
	"strings"
)

// Decode fills what into points to: a struct, a map with string keys, a slice,
// a string, a number, a boolean, a [Value], or a pointer to one of these. A
// field of a struct is named by its json tag, or in snake_case as flows write
// it (MinItems is "min_items"). A missing value or null leaves things as they
// are, so defaults are set before.
//
// A key that the struct does not have, and a value of another kind, are
// errors: a [Failure] with code "config", which names the key and what there
// is. So a spelling mistake in a flow does not pass for the default.
func (v Value) Decode(into any) error {
	p := reflect.ValueOf(into)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return Fail("config", "Decode needs a pointer to what it fills")
	}
	return decode(v, p.Elem(), "config")
}

var (
	valueType  = reflect.TypeFor[Value]()
	stringType = reflect.TypeFor[string]()
)

func decode(v Value, to reflect.Value, at string) error {
	kind := v.Kind()
	if kind == Missing || kind == Null {
		return nil
	}
	if to.Type() == valueType {
		to.Set(reflect.ValueOf(Value{append([]byte(nil), v.raw...)}))
		return nil
	}
	switch to.Kind() {
	case reflect.Pointer:
		if to.IsNil() {
			to.Set(reflect.New(to.Type().Elem()))
		}
		return decode(v, to.Elem(), at)
	case reflect.Struct:
		return decodeStruct(v, to, at)
	case reflect.Map:
		return decodeMap(v, to, at)
	case reflect.Slice:
		return decodeSlice(v, to, at)
	case reflect.String:
		if s, ok := v.Text(); ok {
			to.SetString(s)
			return nil
		}
	case reflect.Bool:
		if b, ok := v.Bool(); ok {
			to.SetBool(b)
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n, ok := v.Int(); ok && !to.OverflowInt(n) {
			to.SetInt(n)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n, err := strconv.ParseUint(string(v.raw), 10, 64); err == nil && !to.OverflowUint(n) {
			to.SetUint(n)
			return nil
		}
	case reflect.Float32, reflect.Float64:
		if f, ok := v.Float(); ok && !to.OverflowFloat(f) {
			to.SetFloat(f)
			return nil
		}
	}
	return mismatch(v, to.Type(), at)
}

func decodeStruct(v Value, to reflect.Value, at string) error {
	if v.Kind() != Object {
		return mismatch(v, to.Type(), at)
	}
	for key, val := range v.Members() {
		field, ok := fieldOf(to, key)
		if !ok {
			return Fail("config", at+": unknown key "+key+"; known are "+strings.Join(keysOf(to.Type()), ", "))
		}
		if err := decode(val, field, at+"."+key); err != nil {
			return err
		}
	}
	return nil
}

func fieldOf(to reflect.Value, key string) (reflect.Value, bool) {
	for i := range to.NumField() {
		if k := keyOf(to.Type().Field(i)); k == key && k != "" {
			return to.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func keysOf(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		if key := keyOf(t.Field(i)); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// keyOf is the key of a field, "" when it has none.
func keyOf(f reflect.StructField) string {
	if !f.IsExported() {
		return ""
	}
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch name {
	case "-":
		return ""
	case "":
		return snake(f.Name)
	}
	return name
}

// snake writes MinItems as min_items and UserID as user_id.
func snake(name string) string {
	out := make([]byte, 0, len(name)+4)
	for i := range len(name) {
		c := name[i]
		if upper(c) {
			if i > 0 && (!upper(name[i-1]) || i+1 < len(name) && !upper(name[i+1])) {
				out = append(out, '_')
			}
			c |= 0x20
		}
		out = append(out, c)
	}
	return string(out)
}

func upper(c byte) bool { return c >= 'A' && c <= 'Z' }

func decodeMap(v Value, to reflect.Value, at string) error {
	t := to.Type()
	if v.Kind() != Object || t.Key() != stringType {
		return mismatch(v, t, at)
	}
	m := reflect.MakeMap(t)
	for key, val := range v.Members() {
		elem := reflect.New(t.Elem()).Elem()
		if err := decode(val, elem, at+"."+key); err != nil {
			return err
		}
		m.SetMapIndex(reflect.ValueOf(key), elem)
	}
	to.Set(m)
	return nil
}

func decodeSlice(v Value, to reflect.Value, at string) error {
	t := to.Type()
	if v.Kind() != Array {
		return mismatch(v, t, at)
	}
	list := reflect.MakeSlice(t, v.Len(), v.Len())
	for i, item := range v.Items() {
		if err := decode(item, list.Index(i), at+"."+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	to.Set(list)
	return nil
}

func mismatch(v Value, t reflect.Type, at string) error {
	have := v.Kind().String()
	if k := v.Kind(); k == Number || k == Bool {
		have = string(v.raw)
	}
	return Fail("config", at+": want "+want(t)+", have "+have)
}

func want(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	}
	return "something that a field of type " + t.String() + " can hold"
}
