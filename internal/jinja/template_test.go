package jinja_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

func parse(t testing.TB, source string) *jinja.Template {
	t.Helper()
	tpl, err := jinja.Parse("f", source)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return tpl
}

// context of one value per origin.
var origins = jinja.MapVars{
	"base":   {Value: "https://a.example", Origin: value.Variable},
	"given":  {Value: "g", Origin: value.Trigger},
	"xcom":   {Value: value.MapOf("id", int64(7), "list", []any{int64(1), 2.5, nil}, "big", big.NewInt(0).Lsh(big.NewInt(1), 70)), Origin: value.Response},
	"run_id": {Value: "R1", Origin: value.Engine},
	"pin":    {Value: "verysecret", Origin: value.Secret},
}

func TestNames_AreThoseTheContextMustHave(t *testing.T) {
	for source, want := range map[string]string{
		"plain":             "[]",
		"{{ a }}{{ b.c }}":  "[a b]",
		"{{ a.b(c, d=e) }}": "[a c e]",
		"{% for x in xs if x.ok and y %}{{ x }}{{ loop.index }}{% else %}{{ x }}{% endfor %}": "[x xs y]",
		"{% set a = b %}{{ a }}":                      "[b]",
		"{{ a }}{% set a = 1 %}":                      "[a]",
		"{% set a %}{{ b }}{% endset %}{{ a }}":       "[b]",
		"{% with a = b %}{{ a }}{% endwith %}{{ a }}": "[a b]",
		"{% macro m(a, b=c) %}{{ a }}{{ b }}{{ d }}{{ varargs }}{% endmacro %}{{ m(e) }}": "[c d e]",
		"{{ range(n) | map('upper') | join(sep) }}{{ dict(a=b) }}":                        "[b n sep]",
		"{{ x is defined and y is divisibleby z }}":                                       "[x y z]",
		"{{ 'in' in a }}{{ not b }}{{ c if d else e }}{{ [f, (g, h), {i: j}] }}":          "[a b c d e f g h i j]",
		"{% raw %}{{ a }}{% endraw %}{# {{ b }} #}":                                       "[]",
	} {
		if got := fmt.Sprint(parse(t, source).Names()); got != want {
			t.Errorf("%s: %s, want %s", source, got, want)
		}
	}
}

func TestTemplate_NeedsWhatItCannotDoWithout(t *testing.T) {
	for source, want := range map[string]string{
		"{{ a }}{{ b.c }}": "[a b]",
		"{{ a | default('x') }}{{ b.c['d'] | d(e) }}":                "[e]",
		"{{ a | default('x') }}{{ a }}":                              "[a]",
		"{{ a | upper | default('x') }}":                             "[a]",
		"{{ a if a is defined else b }}":                             "[b]",
		"{% if a is undefined %}x{% else %}{{ a.b }}{% endif %}":     "[]",
		"{% for a in b %}{{ a | default(1) }}{% endfor %}{{ a }}":    "[a b]",
		"{{ (a | default({})).b }}{{ c[d] | default(1) }}":           "[d]",
		"{% filter default('x') %}{{ a }}{% endfilter %}":            "[a]",
		"{% with a = b %}{{ a is defined }}{{ a }}{% endwith %}":     "[b]",
		"{{ a is not defined }}{{ a }}{{ b is none }}":               "[b]",
		"{{ [a, b] | map('default', 1) | list }}{{ dict(c=c) | d }}": "[a b c]",
	} {
		if got := fmt.Sprint(parse(t, source).Needs()); got != want {
			t.Errorf("%s: %s, want %s", source, got, want)
		}
	}
}

func TestValue_KeepsTypes(t *testing.T) {
	for source, want := range map[string]string{
		"{{ xcom.id }}":                       "7",
		" {{ xcom.id }}":                      `" 7"`,
		"{{ xcom.id }}{# note #}":             "7",
		"{{ xcom.list }}":                     "[1,2.5,null]",
		"{{ xcom }}":                          `{"id":7,"list":[1,2.5,null],"big":1180591620717411303424}`,
		"{{ xcom.big + 1 }}":                  "1180591620717411303425",
		"{{ xcom.id == 7 }}":                  "true",
		"{{ none }}":                          "null",
		"{{ 7 / 2 }}":                         "3.5",
		"{{ 6 / 2 }}":                         "3.0",
		"{{ (1, 2) }}":                        "[1,2]",
		"{{ xcom.list | map('int') | list }}": "[1,2,0]",
		"{{ xcom.list | select('number') }}":  "[1,2.5]",
		"{{ range(3) }}":                      "[0,1,2]",
		"{{ xcom.items() }}":                  `[["id",7],["list",[1,2.5,null]],["big",1180591620717411303424]]`,
		"{{ '<' | e }}":                       `"&lt;"`,
		"{{ {'b': 1, 'a': {'c': (1,)}} }}":    `{"b":1,"a":{"c":[1]}}`,
		"{{ xcom.nothing | default([]) }}":    "[]",
		"{{ 'a' if false }}":                  `""`,
		"{% if true %}{{ 1 }}{% endif %}":     `"1"`,
		"plain":                               `"plain"`,
	} {
		r, err := parse(t, source).Value(t.Context(), origins)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, err := value.JSON(r.Value); err != nil || string(got) != want {
			t.Errorf("%s: %s (%T), %v, want %s", source, got, r.Value, err, want)
		}
	}
	for _, source := range []string{"{{ range }}", "{{ namespace() }}", "{% macro m() %}{% endmacro %}{{ m }}", "{{ cycler(1) }}"} {
		if r, err := parse(t, source).Value(t.Context(), origins); err == nil {
			t.Errorf("%s: got %v, want an error", source, r.Value)
		}
	}
}

// TestOrigin_GoesThroughEverything holds what a value is made of through every
// kind of step.
func TestOrigin_GoesThroughEverything(t *testing.T) {
	const v, g, x, e, s = value.Variable, value.Trigger, value.Response, value.Engine, value.Secret
	for source, want := range map[string]value.Origin{
		"{{ 'text' }}":                            0,
		"{{ base }}":                              v,
		"{{ base | upper }}":                      v,
		"{{ base ~ given }}":                      v | g,
		"{{ base if given else run_id }}":         v | g,
		"{{ given and base }}":                    v | g,
		"{{ base or given }}":                     v,
		"{{ 'a' + pin }}":                         s,
		"{{ pin[0] }}":                            s,
		"{{ pin[1:3] }}":                          s,
		"{{ pin | length }}":                      s,
		"{{ pin == 'x' }}":                        s,
		"{{ pin in base }}":                       s | v,
		"{{ xcom.id + 1 }}":                       x,
		"{{ xcom.list[0] }}":                      x,
		"{{ [base, pin] | join }}":                v | s,
		"{{ [base, pin] | first }}":               v | s,
		"{{ {'a': pin}.a }}":                      s,
		"{{ 'x' | replace('x', pin) }}":           s,
		"{{ '%s' % pin }}":                        s,
		"{{ '{}'.format(pin) }}":                  s,
		"{{ 'a'.join([pin]) }}":                   s,
		"{{ xcom.nothing | default(pin) }}":       x | s,
		"{{ 5 is divisibleby xcom.id }}":          x,
		"{% set a = pin %}{{ a }}":                s,
		"{% set a %}{{ pin }}{% endset %}{{ a }}": s,
		"{% set ns = namespace(a=1) %}{% set ns.a = pin %}{{ ns.a }}":                                         s,
		"{% set ns = namespace(a=pin) %}{{ ns.a }}":                                                           s,
		"{% set ns = namespace() %}{% set ns.a = pin %}{{ ns['a'] }}":                                         s,
		"{% set ns = namespace() %}{% set l = [ns] %}{% set ns.a = pin %}{{ l | map(attribute='a') | list }}": s,
		"{% set f = pin.upper %}{{ f() }}":                                                                    s,
		"{% for i in xcom.list %}{{ i }}{% endfor %}":                                                         x,
		"{% for i in [1] %}{{ loop.index }}{% endfor %}":                                                      0,
		"{% with a = pin %}{{ a }}{% endwith %}":                                                              s,
		"{% filter upper %}{{ pin }}{% endfilter %}":                                                          s,
		"{% macro m(a) %}{{ a }}{% endmacro %}{{ m(pin) }}":                                                   s,
		"{% macro m() %}{{ pin }}{% endmacro %}{{ m() }}":                                                     s,
		"{% macro m(a=pin) %}{{ a }}{% endmacro %}{{ m() }}":                                                  s,
		"{% set c = cycler(pin, 1) %}{{ c.next() }}":                                                          s,
		"{{ run_id }}{{ given }}":                                                                             e | g,
		"{{ [{'a': pin}] | map(attribute='a') | list }}":                                                      s,
		"{% for i in [[1, [2]]] recursive %}{{ pin }}{% endfor %}":                                            s,
		"{{ xcom | tojson }}":                                                                                 x,
		"{{ dict(a=pin) | urlencode }}":                                                                       s,
		"{{ 'a' if base else pin }}":                                                                          v,
		"{% for k, w in {'a': pin}.items() %}{{ w }}{% endfor %}":                                             s,
		"{{ pin | trim | e | string | list | join | upper | truncate(3) }}":                                   s,
	} {
		r, err := parse(t, source).Text(t.Context(), origins)
		if err != nil || r.Origin != want {
			t.Errorf("%s: origin %b, %v, want %b", source, r.Origin, err, want)
		}
	}
}

// TestText_LargeValuesCanBeRead: the limits are for templates that do too much,
// not for large responses.
func TestText_LargeValuesCanBeRead(t *testing.T) {
	vars := jinja.MapVars{
		"ascii": {Value: strings.Repeat("abcdefghij", 1<<20)}, "other": {Value: strings.Repeat("é", 5<<20)},
		"rows": {Value: make([]any, 2_000_000)},
	}
	for source, want := range map[string]string{
		"{{ ascii[:5] }}{{ ascii[-3:] }}{{ ascii[10] }}{{ ascii | length }}":         "abcdehija10485760",
		"{{ other[:2] }}{{ other[-1] }}{{ 'x' in other }}{{ other[:6:2] | length }}": "éééFalse3",
		"{{ rows[0] }}{{ rows | length }}{{ rows[:2] }}":                             "None2000000[None, None]",
		"{{ ascii | upper | truncate(8, true, '') }}":                                "ABCDEFGH",
	} {
		if r, err := parse(t, source).Text(t.Context(), vars); err != nil || r.Value != want {
			t.Errorf("%s: %.80v, %v", source, r.Value, err)
		}
	}
	if r, err := parse(t, "{{ rows }}").Value(t.Context(), vars); err != nil || len(r.Value.([]any)) != 2_000_000 {
		t.Errorf("a large list: %v", err)
	}
}

func TestPieces_KeepLiteralTextApart(t *testing.T) {
	tpl := parse(t, "https://h/{{ xcom.id }}/{% if given %}a/b{% endif %}{% for i in xcom.list[:2] %}&i={{ i }}{% endfor %}{{ given | path }}")
	pieces, err := tpl.Pieces(t.Context(), origins)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range pieces {
		kind := "data"
		if p.Literal {
			kind = "text"
		}
		if p.Path {
			kind = "path"
		}
		got = append(got, fmt.Sprintf("%s %s %b", kind, p.Text, p.Origin))
	}
	want := "[text https://h/ 0 data 7 100 text / 0 text a/b 0 text &i= 0 data 1 100 text &i= 0 data 2.5 100 path g 10]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}

func TestTemplate_NewlineAtTheEndAndLiteral(t *testing.T) {
	for source, want := range map[string]string{"a\n": "a", "a\n\n": "a\n", "{{ 1 }}\n": "1", "{{ 1 }}\n\n": "1\n", "a\r\nb": "a\r\nb"} {
		if r, err := parse(t, source).Text(t.Context(), origins); err != nil || r.Value != want {
			t.Errorf("%q: %q, %v, want %q", source, r.Value, err, want)
		}
	}
	if s, ok := parse(t, "a b\n").Literal(); !ok || s != "a b\n" {
		t.Errorf("literal %q %v", s, ok)
	}
	if _, ok := parse(t, "{{ 1 }}").Literal(); ok {
		t.Error("an expression is no literal")
	}
}

// TestTemplate_DataIsNeverATemplate: what a value holds stays text.
func TestTemplate_DataIsNeverATemplate(t *testing.T) {
	vars := jinja.MapVars{"a": {Value: "{{ 1 + 1 }}{% raw %}{# x #}"}}
	if r, err := parse(t, "{{ a }}|{{ a | upper }}|{{ [a] }}").Text(t.Context(), vars); err != nil || r.Value != "{{ 1 + 1 }}{% raw %}{# x #}|{{ 1 + 1 }}{% RAW %}{# X #}|['{{ 1 + 1 }}{% raw %}{# x #}']" {
		t.Errorf("%v, %v", r.Value, err)
	}
}

// counting are Vars that count what they are asked for.
type counting map[string]int

func (c counting) Lookup(_ context.Context, name string) (jinja.Var, bool, error) {
	c[name]++
	return jinja.Var{Value: int64(1)}, name != "missing", nil
}

func (c counting) Names() []string { return nil }

func TestVars_AreAskedOnceAndOnlyForWhatIsRead(t *testing.T) {
	c := counting{}
	if _, err := parse(t, "{{ a + a }}{{ b if false else a }}{% for i in [1, 2] %}{{ a }}{% endfor %}{{ missing | default(a) }}").Text(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got, _ := json.Marshal(c); string(got) != `{"a":1,"missing":1}` {
		t.Errorf("asked for %s", got)
	}
}

// FuzzRender parses and renders anything: it must end within its limits,
// without a panic, and with the kinds of error that there are.
func FuzzRender(f *testing.F) {
	for _, c := range readCorpus(f, "testdata/cases.jsonl") {
		f.Add(c.Template)
	}
	for _, s := range []string{"{{ 0.日k }}", "{{ missing is not ", "{% for a, (b, c) in x recursive %}", "{{ '%*.*f'|format(1,2,3) }}", "{{ a[::-1] }}{% macro m(a, b=1) %}", "{%- raw -%} {{ {%- endraw -%}", "{{ '{:>{}}'.format(1, 2) }}"} {
		f.Add(s)
	}
	vars := jinja.MapVars{}
	for _, n := range strings.Fields("a b c x items user xcom_get_user n d l s") {
		vars[n] = jinja.Var{Value: value.MapOf("a", []any{int64(1), 2.5, "é", nil, true}, "id", "x"), Origin: value.Response}
	}
	f.Fuzz(func(t *testing.T, source string) {
		tpl, err := jinja.Parse("f", source)
		if err != nil {
			if strings.Contains(err.Error(), "\x00") {
				t.Errorf("%q", err)
			}
			return
		}
		r, err := tpl.Text(t.Context(), vars)
		if err == nil {
			if n := len(r.Value.(string)); n > 16<<20 {
				t.Errorf("%d bytes of output", n)
			}
			pieces, err := tpl.Pieces(t.Context(), vars)
			var b strings.Builder
			for _, p := range pieces {
				b.WriteString(p.Text)
			}
			if err != nil || b.String() != r.Value {
				t.Errorf("pieces give %q, %v; text %q", b.String(), err, r.Value)
			}
		}
		_, _ = tpl.Value(t.Context(), vars)
	})
}

func BenchmarkText_URLWithThreeExpressions(b *testing.B) {
	tpl := parse(b, "{{ base_url }}/users/{{ xcom_get_user.id }}/orders/{{ order_id }}")
	vars := jinja.MapVars{
		"base_url":      {Value: "https://api.example.com", Origin: value.Variable},
		"xcom_get_user": {Value: value.MapOf("id", int64(42), "name", "Ann"), Origin: value.Response},
		"order_id":      {Value: int64(8817), Origin: value.Trigger},
	}
	for _, way := range []struct {
		name string
		run  func() error
	}{
		{"text", func() error { _, err := tpl.Text(b.Context(), vars); return err }},
		{"pieces", func() error { _, err := tpl.Pieces(b.Context(), vars); return err }},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := way.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkText_WithoutExpressions(b *testing.B) {
	tpl := parse(b, "https://api.example.com/users")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := tpl.Literal(); !ok {
			b.Fatal("no literal")
		}
	}
}

func BenchmarkText_JSONBody(b *testing.B) {
	tpl := parse(b, `{"ids": [{% for r in rows %}{{ r.id }}{{ "," if not loop.last }}{% endfor %}], "rows": {{ rows | tojson }}}`)
	rows := make([]any, 100)
	for i := range rows {
		rows[i] = value.MapOf("id", int64(i), "name", "row", "amount", 12.5)
	}
	vars := jinja.MapVars{"rows": {Value: rows}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tpl.Text(b.Context(), vars); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jinja.Parse("f", "{{ base_url }}/users/{{ xcom_get_user.id }}/orders/{{ order_id | default(0) }}"); err != nil {
			b.Fatal(err)
		}
	}
}
