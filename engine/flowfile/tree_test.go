package flowfile

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"

	"github.com/qarion/qarion/internal/value"
)

// decoded is what the library makes of a document.
func decoded(data []byte) (map[string]any, error) {
	var into map[string]any
	err := toml.Unmarshal(data, &into)
	return into, err
}

// differs holds our reading of a document against the library's.
func differs(data []byte) string {
	want, wantErr := decoded(data)
	tree, err := parseTree([]byte(string(data)), newPlaces(string(data)), 1000)
	if err == nil && len(tree.wrong) > 0 {
		err = tree.wrong[0]
	}
	switch {
	case len(tree.colons) > 0:
		return ""
	case (err == nil) != (wantErr == nil):
		return fmt.Sprintf("we say %v, the library %v", err, wantErr)
	case err == nil && !same(tree.root.table.plain(), want):
		return fmt.Sprintf("we read %v, the library %v", tree.root.table.plain(), want)
	}
	return ""
}

// same compares a value of ours with one of the library's; of times only that
// there is one.
func same(ours, theirs any) bool {
	switch o := ours.(type) {
	case *value.Map:
		m, ok := theirs.(map[string]any)
		if !ok || len(m) != o.Len() {
			return false
		}
		for k, v := range o.All() {
			if w, has := m[k]; !has || !same(v, w) {
				return false
			}
		}
		return true
	case []any:
		list, ok := theirs.([]any)
		if !ok || len(list) != len(o) {
			return false
		}
		for i := range o {
			if !same(o[i], list[i]) {
				return false
			}
		}
		return true
	case float64:
		f, ok := theirs.(float64)
		return ok && (f == o || math.IsNaN(f) && math.IsNaN(o))
	case string:
		if _, text := theirs.(string); !text {
			return theirs != nil // a time
		}
	}
	return reflect.DeepEqual(ours, theirs)
}

// TestParseTree_AgreesWithTheDecoder: what TOML asks of keys and values is
// checked here as the library's decoder does it, on small documents made of
// pieces that meet each other often.
func TestParseTree_AgreesWithTheDecoder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	keys := []string{"a", "b", "a.b", "a.b.c", "b.a", "'a'", `"b"."a"`}
	values := []string{
		"1", "-0", "+7", "007", "1_000", "1__0", "0x1F", "0o17", "0b11", "9223372036854775807", "9223372036854775808", "1.5", "1.", ".5", "1e3", "1.5E-3", "03.1", "inf", "-nan",
		"true", "'x'", `"\u00e9"`, `"""` + "\n" + `x"""`, "[1, 'a', [2]]", "{a = 1}", "{a.b = 1, a.c = 2}", "{a = 1, a = 2}", "[{a = 1}, {a = 1, b = {}}]", "{a.b = 1, a = 2}",
		"2024-02-29", "2023-02-29", "10:20:30", "25:00:00", "2024-01-01T10:20:30Z", "2024-01-01 10:20:30.5+02:00", "2024-13-01T00:00:00",
	}
	valid := 0
	for range 60_000 {
		var b strings.Builder
		for range 1 + r.IntN(6) {
			k := keys[r.IntN(len(keys))]
			switch r.IntN(4) {
			case 0:
				fmt.Fprintf(&b, "[%s]\n", k)
			case 1:
				fmt.Fprintf(&b, "[[%s]]\n", k)
			default:
				fmt.Fprintf(&b, "%s = %s # c\n", k, values[r.IntN(len(values))])
			}
		}
		if d := differs([]byte(b.String())); d != "" {
			t.Fatalf("%s\n%s", b.String(), d)
		}
		if _, err := decoded([]byte(b.String())); err == nil {
			valid++
		}
	}
	if valid < 5_000 {
		t.Errorf("only %d documents were valid", valid)
	}
}

func FuzzParseTree(f *testing.F) {
	for _, s := range []string{
		"a = 1\n[b]\nc = [1, {d = 2}]\n[[e.f]]\ng.h = 1979-05-27T07:32:00Z\n", "a = {b = 1,\n c = 'x',}\r\n", "[a]\n[a.b]\n[[a.c]]\n", "x = 1e400\n\x00", "a = \"\\xe9\\e\"",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if utf8.Valid(data) { // Parse refuses others
			if d := differs(data); d != "" {
				t.Error(d)
			}
		}
	})
}

// TestPlaces: offsets become lines and characters, wherever they are.
func TestPlaces(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		var b strings.Builder
		for range r.IntN(900) {
			b.WriteString([]string{"a", "ä", "日", "\n", "\r\n", "\"", "x"}[r.IntN(7)])
		}
		text := b.String()
		p := newPlaces(text)
		for i := range text {
			before := text[:i]
			want := position{1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[strings.LastIndex(before, "\n")+1:])}
			if got := p.of(i); got != want {
				t.Fatalf("offset %d of %q: %v, want %v", i, text, got, want)
			}
		}
		for i, line := range strings.Split(text, "\n") {
			if got := p.line(i + 1); got != strings.TrimSuffix(line, "\r") {
				t.Fatalf("line %d of %q: %q", i+1, text, got)
			}
		}
	}
}
