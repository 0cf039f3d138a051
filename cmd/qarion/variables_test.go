package main

import (
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/value"
)

func TestReadVariable(t *testing.T) {
	for _, c := range []struct{ text, types, want string }{
		// Not declared: JSON that prints as it was written, else text.
		{"7", "", `7`}, {"-1.50", "", `-1.50`}, {"12345678901234567890", "", `12345678901234567890`}, {"1e3", "", `1e3`},
		{"007", "", `"007"`}, {"true", "", `true`}, {"True", "", `"True"`}, {"null", "", `null`}, {"none", "", `"none"`},
		{"", "", `""`}, {"x y", "", `"x y"`}, {"[1, 2]", "", `[1,2]`}, {`{"a": "b c"}`, "", `{"a":"b c"}`}, {`"q"`, "", `"q"`},
		{"NaN", "", `"NaN"`}, {"+7", "", `"+7"`}, {"[1,", "", `"[1,"`}, {" 7", "", `7`}, {`"\u0041"`, "", `"\"\\u0041\""`},
		// Declared.
		{"01234", "str", `"01234"`}, {"true", "str", `"true"`}, {"[1]", "str", `"[1]"`}, {"", "str", `""`},
		{"007", "int", `7`}, {"+7", "int", `7`}, {"123456789012345678901", "int", `123456789012345678901`},
		{"2", "float", `2`}, {"2.50", "float", `2.50`}, {"2", "number", `2`}, {"2.5", "number", `2.5`},
		{"TRUE", "bool", `true`}, {"[1,2]", "list", `[1,2]`}, {`{"a":1}`, "dict", `{"a":1}`}, {"null", "null", `null`},
		{"7", "int str", `7`}, {"x", "int str", `"x"`}, {"null", "int null", `null`},
		// Declared, and something else.
		{"abc", "int", "want int (such as 7)"}, {"1.5", "int", "want int (such as 7)"}, {"", "int", "want int (such as 7)"},
		{"x", "float", "want float (such as 1.5)"}, {"yes", "bool", "want bool (true or false)"}, {"1", "bool", "want bool (true or false)"},
		{"1,2", "list", "want list (such as [1, 2])"}, {`{"a":1}`, "list", "want list (such as [1, 2])"},
		{"[1]", "dict", `want dict (such as {"a": 1})`}, {"x", "int null", "want int (such as 7) or null"},
	} {
		got := ""
		v, err := readVariable(c.text, strings.Fields(c.types))
		if err != nil {
			got = "want " + err.Error()
		} else if b, err := value.JSON(v); err != nil {
			t.Fatal(err)
		} else {
			got = string(b)
		}
		if got != c.want {
			t.Errorf("%.60s as %q: %.100s, want %s", c.text, c.types, got, c.want)
		}
	}
}

// FuzzReadVariable: whatever is given, it becomes a value that JSON can carry,
// and text that is declared as text stays as it is.
func FuzzReadVariable(f *testing.F) {
	for _, s := range []string{"7", "1.5", `{"a":[1,"\\"]}`, "\xff", "1e999", "-", "nul"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, _ := readVariable(s, []string{"str"}); v != s {
			t.Errorf("text became %v", v)
		}
		for _, types := range [][]string{nil, {"int"}, {"float", "null"}, {"bool"}, {"list", "dict"}} {
			v, err := readVariable(s, types)
			if err != nil {
				continue
			}
			if text, isText := v.(string); isText && (types != nil || text != s && !strings.HasPrefix(strings.TrimSpace(s), `"`)) {
				t.Errorf("%q as %v became %q", s, types, text)
			}
			if _, err := value.JSON(v); err != nil {
				t.Errorf("%q as %v: %v", s, types, err)
			}
		}
	})
}
