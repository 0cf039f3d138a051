package jinja_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// deep is n lists within each other, as data.
func deep(n int) any {
	var v any = int64(1)
	for range n {
		v = []any{v}
	}
	return v
}

// TestLimits_AttacksAreErrors holds every known way to stop a process by a
// template against the limits: each is an error that says so, soon.
func TestLimits_AttacksAreErrors(t *testing.T) {
	doubling := "{% set a = 'aaaaaaaaaaaaaaaa' %}" + strings.Repeat("{% set a = a ~ a %}", 40) + "{{ a }}"
	for name, c := range map[string]struct{ source, want string }{
		"parentheses":       {"{{ " + strings.Repeat("(", 30000) + "1" + strings.Repeat(")", 30000) + " }}", "nests deeper than 100 levels"},
		"brackets":          {"{{ " + strings.Repeat("[", 60000), "[ is not closed|is not closed|nests deeper"},
		"lists":             {"{{ " + strings.Repeat("[", 500) + strings.Repeat("]", 500) + " }}", "nests deeper than 100 levels"},
		"not":               {"{{ " + strings.Repeat("not ", 10000) + "1 }}", "nests deeper than 100 levels"},
		"minus":             {"{{ " + strings.Repeat("-", 30000) + "1 }}", "nests deeper than 100 levels|is not closed"},
		"inline if":         {"{{ " + strings.Repeat("1 if 1 else ", 5000) + "1 }}", "nests deeper than 100 levels"},
		"blocks":            {strings.Repeat("{% if 1 %}", 5000) + strings.Repeat("{% endif %}", 5000), "at most 65536 are read|nests deeper than 100 levels"},
		"long source":       {"{{ 1 }}" + strings.Repeat("x", jinja.MaxSource), "at most 65536 are read"},
		"recursive macro":   {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "macros call each other more than 50 deep"},
		"mutual macros":     {"{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{{ a() }}{% endmacro %}{{ a() }}", "more than 50 deep"},
		"recursive loop":    {"{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", "a recursive loop goes more than 50 deep"},
		"range":             {"{{ range(1000000000) | length }}", "range has more than 1000000 numbers"},
		"negative range":    {"{{ range(0, -1000000000, -1) | list }}", "range has more than 1000000 numbers"},
		"overflowing range": {"{{ range(-9223372036854775807, 9223372036854775807) | length }}", "range has more than 1000000 numbers"},
		"nested loops":      {"{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}", "more than 1000000 steps"},
		"doubling text":     {doubling, "a text of more than 16 MiB"},
		"doubling list":     {"{% set a = [1] %}" + strings.Repeat("{% set a = a + a %}", 60), "more than 1000000 steps"},
		"repeated text":     {"{{ 'x' * 1000000000000 }}", "a text of more than 16 MiB"},
		"repeated list":     {"{{ [1] * 1000000000000 }}", "more than 1000000 steps"},
		"repeated by big":   {"{{ 'x' * 10 ** 30 }}", "a repetition is too long"},
		"many texts":        {"{% for i in range(100000) %}{% set a = 'x' * 1000000 %}{% endfor %}", "of text on its way"},
		"power":             {"{{ (9 ** 999) ** 999 }}", "more than 4300 digits"},
		"power of two":      {"{{ 2 ** 100000 }}", "more than 4300 digits"},
		"product":           {"{% set a = 10 ** 4000 %}{{ a * a }}", "more than 4300 digits"},
		"digits":            {"{{ " + strings.Repeat("9", 5000) + " }}", "more than 4300 digits"},
		"center":            {"{{ 'x' | center(100000000000) }}", "a text of more than 16 MiB"},
		"ljust":             {"{{ 'x'.ljust(1000000000) }}", "a text of more than 16 MiB"},
		"zfill":             {"{{ 'x'.zfill(1000000000) }}", "a text of more than 16 MiB"},
		"indent":            {"{{ ('a\\n' * 100000) | indent(100000) }}", "a text of more than 16 MiB"},
		"format width":      {"{{ '%1000000000d' % 1 }}", "wider than 100000 characters"},
		"format precision":  {"{{ '%.1000000000f' % 1 }}", "wider than 100000 characters"},
		"format star":       {"{{ '%*d' % (1000000000, 1) }}", "wider than 100000 characters"},
		"str.format width":  {"{{ '{:1000000000}'.format(1) }}", "wider than 100000 characters"},
		"replace":           {"{{ ('a' * 1000000) | replace('a', 'b' * 1000) }}", "a text of more than 16 MiB"},
		"replace nothing":   {"{{ ('a' * 1000000) | replace('', 'b' * 1000) }}", "a text of more than 16 MiB"},
		"join":              {"{{ range(1000) | join('x' * 1000000) }}", "a text of more than 16 MiB"},
		"batch":             {"{{ [1] | batch(1000000000, 'x') | list }}", "more than 1000000 steps"},
		"slice":             {"{{ [1] | slice(1000000000) | list }}", "more than 1000000 steps"},
		"tojson indent":     {"{{ [1] | tojson(indent=1000000000) }}", "a text of more than 16 MiB"},
		"tojson depth":      {"{{ [[[[data]]]] | tojson }}", "nests deeper than 200 levels"},
		"print depth":       {"{{ [data] }}", "nests deeper than 200 levels"},
		"compare depth":     {"{{ [data] == [data] }}", "nests deeper than 200 levels"},
		"cyclic namespace":  {"{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns.a }}", "a namespace cannot be printed"},
		"namespace loop":    {"{% set ns = namespace(a=1) %}{% set ns.a = ns %}{{ ns == ns.a.a }}{{ ns.a.a.a | tojson }}", "cannot be written as JSON"},
		"expandtabs":        {"{{ ('\\t' * 100000).expandtabs(100000) }}", "a text of more than 16 MiB"},
		"round":             {"{{ 1 | round(1000000000) }}", "to 400 digits"},
		"wordwrap":          {"{{ ('a ' * 700000) | wordwrap(2) }}", "more than 1000000 steps"},
		"filter in map":     {"{{ range(1000) | map('center', 100000000) | list }}", "a text of more than 16 MiB"},
		"length of texts":   {"{% set x = 'x' * 16000000 %}{% for i in range(1000) %}{{ x | length }}{% endfor %}", "more than 1000000 steps"},
		"characters":        {"{% set x = 'é' * 8000000 %}{% for i in range(1000) %}{{ x[-1] }}{% endfor %}", "more than 1000000 steps"},
		"parts of texts":    {"{% set x = 'é' * 8000000 %}{% for i in range(1000) %}{{ x[1:2] }}{% endfor %}", "more than 1000000 steps"},
		"searches":          {"{% set x = 'x' * 16000000 %}{% for i in range(1000) %}{{ 'z' in x }}{{ x.find('z') }}{% endfor %}", "more than 1000000 steps"},
		"panic of lexer":    {"{{ 0.日k }}", "unexpected|cannot be read|not a number|expected"},
		"endless lexer":     {"{{0!0.日}}", "unexpected"},
		"endless number":    {"{{ 1.é + x0.é }}", "unexpected"},
		"unfinished test":   {"{{ missing is not ", "is not closed"},
	} {
		began := time.Now()
		_, err := render(c.source, jinja.MapVars{"data": {Value: deep(300)}})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		ok := false
		for want := range strings.SplitSeq(c.want, "|") {
			ok = ok || strings.Contains(err.Error(), want)
		}
		if !ok {
			t.Errorf("%s: got %.200s\nwant %s", name, err, c.want)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func TestLimits_ContextEndsTheEvaluation(t *testing.T) {
	tpl, err := jinja.Parse("f", "{% for a in range(900000) %}{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := tpl.Text(ctx, jinja.MapVars{}); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

// TestRefused holds what templates must not be able to do, at load where it
// can be seen there.
func TestRefused(t *testing.T) {
	atLoad := map[string]string{
		"{% include '/etc/passwd' %}":              `f: the tag "include" is not available in flow files`,
		"{% import 'x' as y %}":                    `f: the tag "import" is not available in flow files`,
		"{% from 'x' import y %}":                  `f: the tag "from" is not available in flow files`,
		"{% extends 'x' %}":                        `f: the tag "extends" is not available in flow files`,
		"{% block x %}{% endblock %}":              `f: the tag "block" is not available in flow files`,
		"{% call m %}{% endcall %}":                `f: expected the call of a macro in the tag "call"`,
		"{% for a in b %}{% break %}{% endfor %}":  `f: the tag "break" is not available in flow files`,
		"{% fro a in b %}{% endfor %}":             `f: unknown tag "fro" (did you mean "for"?)`,
		"{{ a | uper }}":                           `f: unknown filter "uper" (did you mean "upper"?)`,
		"{{ a is evn }}":                           `f: unknown test "evn" (did you mean "even"?)`,
		"{{ a | random }}":                         `f: unknown filter "random"`,
		"{{ a.append(1) }}":                        `f: the method "append" changes a value, but a is data; change a copy: (... | list) or dict(...)`,
		"{{ a.pop() }}":                            `f: the method "pop" changes a value, but a is data; change a copy: (... | list) or dict(...)`,
		"{{ a.b.update(c) }}":                      `f: the method "update" changes a value, but a is data; change a copy: (... | list) or dict(...)`,
		"{{ }}":                                    "f: expected an expression, got the end of the tag",
		"{{ a":                                     "f: {{ is not closed by }}",
		"{{ 'a }}":                                 "f: a text is not closed by '",
		"{% if a %}":                               `f: the tag "if" is not ended by "endif"`,
		"{% if a %}{% endfor %}":                   `f: the tag "endfor" has nothing to end`,
		"{% endif %}":                              `f: the tag "endif" has nothing to end`,
		"{# a":                                     "f: a comment {# is not closed by #}",
		"one\n{{ a b }}":                           `f: line 2: expected the end of the tag, got "b"`,
		"{{ a; b }}":                               `f: unexpected ';' in an expression`,
		"{{ a $ b }}":                              `f: unexpected '$' in an expression`,
		"{{ 'a' 1 }}":                              `f: expected the end of the tag, got "1"`,
		"{{ [1, }}":                                `f: {{ is not closed by }}`,
		"{% raw %}{{ a }}":                         `f: the tag "raw" is not ended by "endraw"`,
		"{{ 1 is defined is defined }}":            `f: tests cannot be chained with "is"; use "and"`,
		"{% macro m(a=1, b) %}{% endmacro %}":      "f: a parameter without default follows one with a default",
		"{{ f(a=1, 2) }}":                          "f: an argument without name follows one with a name",
		"{{ '\\ud800' }}":                          "f: a text has an escape \\u that is not complete",
		"{% set a.b.c = 1 %}":                      `f: expected the end of the tag, got "."`,
		"{% for loop in a %}{% endfor %}":          `f: "loop" cannot be the variable of a loop`,
		"{% with a = 1, %}{% endwith %}":           `f: expected a name, got the end of the tag`,
		"{{ " + strings.Repeat("a.", 20) + " }}":   `f: expected a name after ".", got the end of the tag`,
		"{{ a | map('upper' }}":                    `f: {{ is not closed by }}`,
		"{{ a ? b : c }}":                          `f: unexpected '?' in an expression`,
		"{{ not }}":                                "f: expected an expression, got the end of the tag",
		"{{ a ! b }}":                              `f: unexpected '!' in an expression`,
		"{{ 1. }}":                                 `f: "1." is not a number`,
		"{{ 012 }}":                                `f: "012" is not a number`,
		"{% filter upper %}a{% endfilter upper %}": `f: expected the end of the tag, got "upper"`,
	}
	for source, want := range atLoad {
		if _, err := jinja.Parse("f", source); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", source, err, want)
		}
	}
	data := jinja.MapVars{"a": {Value: value.MapOf("b", "verysecret", "list", []any{int64(1)})}, "s": {Value: "verysecret"}}
	whenRendered := map[string]string{
		"{{ a.__class__ }}":                  "f: a.__class__ is undefined",
		"{{ s.__class__.__mro__ }}":          "f: s.__class__ is undefined",
		"{{ ''.__class__.__base__ }}":        "f: __class__ is undefined",
		"{{ a | attr('__class__') }}":        "f: the attribute __class__ is undefined",
		"{{ s.format.__globals__ }}":         "f: s.format.__globals__ is undefined",
		"{{ '{0.__class__}'.format(s) }}":    "f: [...] is undefined",
		"{{ a.Get }}":                        "f: a.Get is undefined",
		"{{ a.keys.x }}":                     "f: a.keys.x is undefined",
		"{{ self }}":                         "f: self is undefined",
		"{{ request }}":                      "f: request is undefined",
		"{{ config.items() }}":               "f: config is undefined",
		"{{ open('/etc/passwd') }}":          "f: open is undefined",
		"{{ lipsum() }}":                     "f: lipsum is undefined",
		"{% set a.b = 1 %}":                  "f: a.b cannot be set: only a namespace() can be changed",
		"{{ a.nothing.deeper }}":             "f: a.nothing is undefined",
		"{{ a.list[3] }}":                    "f: a.list: list of 1 has no [3]",
		"{{ a.list[-4] }}":                   "f: a.list: list of 1 has no [-4]",
		"{{ (a.list | list)[9] }}":           "f: list of 1 has no [9]",
		"{{ s[99] }}":                        "f: s: a text has no [99]",
		"{{ a['other'] }}":                   "f: a.other is undefined",
		"{{ a[s] }}":                         "f: a.[...] is undefined",
		"{{ s + 1 }}":                        `f: "+" does not work with str and int`,
		"{{ s < 1 }}":                        `f: str and int cannot be compared with "<"`,
		"{{ 1 / 0 }}":                        "f: division by zero",
		"{{ a.b() }}":                        `f: the method "b" cannot be called: it is a str`,
		"{{ s | tojson(nope=1) }}":           `f: the filter "tojson" has no argument "nope"`,
		"{{ s | replace('a') }}":             `f: the filter "replace" needs the argument "new"`,
		"{{ [1] | map('nope') | list }}":     `f: unknown filter "nope"`,
		"{{ [1] | select('nope') | list }}":  `f: unknown test "nope" (did you mean "none"?)`,
		"{{ [] | first }}":                   "f: the first item of an empty sequence is undefined",
		"{{ [nothing] }}":                    "f: nothing is undefined",
		"{% for x in nothing %}{% endfor %}": "f: nothing is undefined",
		"{% if nothing %}{% endif %}":        "f: nothing is undefined",
		"{{ ('a' if false) + 'b' }}":         `f: "+" does not work with undefined and str`,
		"{{ [1] | map('upper') }}":           `f: a sequence that a filter gives must go through "list" or "join" before it is printed`,
		"{{ range }}":                        "f: a function cannot be printed",
		"{{ nothing.x | upper }}":            "f: nothing is undefined",
		"{% set x = nothing %}{{ x.a }}":     "f: nothing is undefined",
	}
	for source, want := range whenRendered {
		tpl, err := jinja.Parse("f", source)
		if err == nil {
			_, err = tpl.Text(t.Context(), data)
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", source, err, want)
		}
	}
}

func TestUndefined_NamesWhatThereIs(t *testing.T) {
	user := value.MapOf("name", "Ann", "email", "a@b", "address", value.MapOf("city", "Oslo"))
	vars := jinja.MapVars{"xcom_get_user": {Value: user}, "batch_id": {Value: int64(1)}}
	for source, want := range map[string]string{
		"{{ xcom_get_user.id }}":              "xcom_get_user.id [name email address]",
		"{{ xcom_get_user['id'] | upper }}":   "xcom_get_user.id [name email address]",
		"{{ xcom_get_user.address.zip }}":     "xcom_get_user.address.zip [city]",
		"{{ xcom_get_usr.id }}":               "xcom_get_usr [batch_id xcom_get_user]",
		"{{ 1 + xcom_get_user.address.zip }}": "xcom_get_user.address.zip [city]",
	} {
		_, err := render(source, vars)
		var u *jinja.UndefinedError
		if !errors.As(err, &u) || fmt.Sprint(u.Name, " ", u.Available) != want {
			t.Errorf("%s: %v (%+v), want %s", source, err, u, want)
		}
	}
}
