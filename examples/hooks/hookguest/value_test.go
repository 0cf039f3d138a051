package hookguest

import (
	"encoding/json"
	"strings"
	"testing"
)

func parse(t *testing.T, doc string) Value {
	t.Helper()
	v, err := Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestValue_StepsAndKinds(t *testing.T) {
	v := parse(t, ` {"a":{"b":[10,"x",null,true,{"c/d":{"~":1.5}}]},"a b":{},"twice":1,"twice":2,"":3} `)
	for _, c := range []struct {
		name string
		have Value
		kind Kind
		raw  string
	}{
		{"a member", v.Get("a", "b").Index(0), Number, "10"},
		{"a string", v.At("/a/b/1"), Text, `"x"`},
		{"null", v.At("/a/b/2"), Null, "null"},
		{"true", v.At("/a/b/3"), Bool, "true"},
		{"escaped pointer", v.At("/a/b/4/c~1d/~0"), Number, "1.5"},
		{"empty name", v.At("/"), Number, "3"},
		{"the last of two", v.Get("twice"), Number, "2"},
		{"an empty object", v.Get("a b"), Object, "{}"},
		{"nothing", v.Get("b", "c").Index(3).At("/x"), Missing, ""},
		{"an index of an object", v.Index(0), Missing, ""},
		{"a name of an array", v.At("/a/b/x"), Missing, ""},
	} {
		if c.have.Kind() != c.kind || string(c.have.Raw()) != c.raw {
			t.Errorf("%s: have %v %s", c.name, c.have.Kind(), c.have.Raw())
		}
	}
	if n := v.At("/a/b").Len(); n != 5 {
		t.Errorf("5 elements, have %d", n)
	}
	if n := v.Len(); n != 5 {
		t.Errorf("5 members, have %d", n)
	}
}

func TestValue_Scalars(t *testing.T) {
	v := parse(t, `[-7, 1.5, 9223372036854775808, 1e400, "é\ud83d\ude00\ud800\n", false]`)
	if n, ok := v.Index(0).Int(); n != -7 || !ok {
		t.Error("-7", n, ok)
	}
	for _, i := range []int{1, 2, 4} {
		if n, ok := v.Index(i).Int(); ok {
			t.Errorf("%s passes for the whole number %d", v.Index(i).Raw(), n)
		}
	}
	if f, ok := v.Index(1).Float(); f != 1.5 || !ok {
		t.Error("1.5", f, ok)
	}
	if f, ok := v.Index(3).Float(); ok {
		t.Error("1e400 passes for", f)
	}
	if s, ok := v.Index(4).Text(); s != "é😀\ufffd\n" || !ok {
		t.Errorf("%q %v", s, ok)
	}
	if !v.Index(4).Is("é😀\ufffd\n") || v.Index(0).Is("-7") {
		t.Error("Is")
	}
	if b, ok := v.Index(5).Bool(); b || !ok {
		t.Error("false", b, ok)
	}
	if s := v.Index(0).String(); s != "-7" {
		t.Error(s)
	}
}

func TestValue_LoopsEndEarly(t *testing.T) {
	v := parse(t, `{"a":[1,2,3],"b":0}`)
	for range v.Members() {
		break
	}
	n := 0
	for range v.Get("a").Items() {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Error(n)
	}
}

// FuzzParse: what encoding/json takes is taken, and nothing else; what is read
// is the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":"\u00e9"}]}`, `[]`, `01`, `"\ud800"`, `[1,]`, `{"":{}}`, " 1e5 ", `tru`, strings.Repeat("[", 1001)} {
		f.Add([]byte(s), "/a/1/b")
	}
	f.Fuzz(func(t *testing.T, doc []byte, pointer string) {
		v, err := Parse(doc)
		if valid := json.Valid(doc); valid != (err == nil) && (err == nil || !strings.Contains(err.Error(), "deep")) {
			t.Fatalf("%q: %v, encoding/json says %v", doc, err, valid)
		}
		if err != nil {
			return
		}
		_ = v.At(pointer).String()
		compare(t, v)
	})
}

// compare reads v in both ways.
func compare(t *testing.T, v Value) {
	switch v.Kind() {
	case Text:
		var want string
		if json.Unmarshal(v.Raw(), &want) == nil && strings.ToValidUTF8(v.String(), "\ufffd") != strings.ToValidUTF8(want, "\ufffd") &&
			!strings.Contains(want, "\ufffd") {
			t.Fatalf("%s: have %q, want %q", v.Raw(), v.String(), want)
		}
	case Array:
		var want []json.RawMessage
		if err := json.Unmarshal(v.Raw(), &want); err != nil || len(want) != v.Len() {
			t.Fatalf("%s: %d elements, want %d, %v", v.Raw(), v.Len(), len(want), err)
		}
		for i, item := range v.Items() {
			if string(item.Raw()) != string(want[i]) {
				t.Fatalf("element %d: %s, want %s", i, item.Raw(), want[i])
			}
			compare(t, item)
		}
	case Object:
		for _, member := range v.Members() {
			compare(t, member)
		}
	}
}

// FuzzRead: reading stays within the bytes even of what was never checked.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"config":{"a":[1,2`))
	f.Add([]byte(`{"a"`))
	f.Add([]byte(`["\`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		r := &Response{}
		r.Reset(doc, doc)
		for _, v := range r.Config.Members() {
			_ = v.String()
		}
		for _, v := range r.Meta().Items() {
			_, _ = v.Float()
		}
		_ = r.Header("content-type")
		_, _ = r.Secret("a")
	})
}
