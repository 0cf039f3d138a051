package jinja_test

import (
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

func made(t *testing.T, source string) (jinja.Result, error) {
	t.Helper()
	tpl, err := jinja.Parse("f", source)
	if err != nil {
		return jinja.Result{}, err
	}
	data := value.MapOf("a", []any{int64(1)})
	return tpl.Text(t.Context(), jinja.MapVars{
		"ids":    {Value: []any{int64(3), int64(1), int64(2)}, Origin: value.Response},
		"d":      {Value: data, Origin: value.Response},
		"secret": {Value: "hush", Origin: value.Secret},
	})
}

// What a template has made it may change. The outputs are those of Jinja2 3.1
// with its extension "do".
func TestMade_CanBeChanged(t *testing.T) {
	for source, want := range map[string]string{
		"{% set l = [] %}{% for i in ids %}{% set _ = l.append(i) %}{% endfor %}{{ l }}":                "[3, 1, 2]",
		"{% set l = [] %}{% for i in ids %}{% do l.append(i) %}{% endfor %}{{ l | tojson }}":            "[3, 1, 2]",
		"{% set l = [1] %}{% set m = l %}{% do m.append(2) %}{{ l }}":                                   "[1, 2]",
		"{% set l = [1, 2] %}{% do l.extend([3]) %}{% do l.insert(0, 9) %}{{ l }}":                      "[9, 1, 2, 3]",
		"{% set l = [3, 1, 2] %}{% do l.sort() %}{{ l }}{% do l.sort(reverse=true) %}{{ l }}":           "[1, 2, 3][3, 2, 1]",
		"{% set l = [1, 2, 3] %}{{ l.pop() }}{{ l.pop(0) }}{{ l }}":                                     "31[2]",
		"{% set l = [1, 2, 1] %}{% do l.remove(1) %}{{ l }}{% do l.reverse() %}{{ l }}":                 "[2, 1][1, 2]",
		"{% set l = [1] %}{% do l.clear() %}{{ l }}":                                                    "[]",
		"{% set m = {} %}{% do m.update(a=1) %}{% do m.update({'b': 2}) %}{{ m }}":                      "{'a': 1, 'b': 2}",
		"{% set m = {'a': []} %}{% do m.a.append(1) %}{{ m }}":                                          "{'a': [1]}",
		"{% set m = {'a': 1} %}{{ m.setdefault('a', 2) }}{{ m.setdefault('b', 2) }}{{ m.pop('a') }}":    "121",
		"{% set m = {} %}{% for i in ids %}{% do m.setdefault('x', []).append(i) %}{% endfor %}{{ m }}": "{'x': [3, 1, 2]}",
		"{% set l = ids | list %}{% do l.append(4) %}{{ l }}{{ ids }}":                                  "[3, 1, 2, 4][3, 1, 2]",
		"{% set l = ids[:] %}{% do l.append(4) %}{{ l }}{{ ids }}":                                      "[3, 1, 2, 4][3, 1, 2]",
		"{% set m = dict(d) %}{% do m.update(b=2) %}{{ m }}{{ d }}":                                     "{'a': [1], 'b': 2}{'a': [1]}",
		"{% set n = namespace(l=[]) %}{% for i in ids %}{% do n.l.append(i) %}{% endfor %}{{ n.l }}":    "[3, 1, 2]",
		"{% macro f(l) %}{% do l.append(1) %}{% endmacro %}{% set x = [] %}{{ f(x) }}{{ x }}":           "[1]",
		"{% set l = [1, 2] %}{% for i in l %}{% do l.append(i) %}{% endfor %}{{ l }}":                   "[1, 2, 1, 2]", // Python would never end
		"{% set l = [1, 2, 3] %}{% for i in l %}{% do l.clear() %}{{ i }}{% endfor %}{{ l }}":           "123[]",
	} {
		r, err := made(t, source)
		if err != nil || r.Value != want {
			t.Errorf("%s: %v, %v, want %s", source, r.Value, err, want)
		}
	}
}

// Data is never changed, by whatever name or way it is reached.
func TestMade_DataIsNeverChanged(t *testing.T) {
	for _, source := range []string{
		"{% do ids.append(1) %}", "{% set l = ids %}{% do l.append(1) %}", "{% set m = {'x': d} %}{% do m.x.a.append(2) %}",
		"{% set m = {'x': d} %}{% do m['x'].update(b=1) %}", "{% macro f(x) %}{% do x.append(9) %}{% endmacro %}{{ f(ids) }}",
		"{% for x in [ids] %}{% do x.append(1) %}{% endfor %}", "{% set m = dict(d) %}{% do m.a.append(1) %}",
		"{% set n = namespace(v=ids) %}{% do n.v.sort() %}", "{% do [d].pop().a.append(3) %}", "{% do (d.values() | first).append(3) %}",
		"{% do (d.items() | list)[0][1].append(1) %}", "{% do d.setdefault('q', 1) %}", "{% do d.pop('a') %}", "{% do (ids if true else []).reverse() %}",
		"{% with x = ids %}{% do x.clear() %}{% endwith %}", "{% do ([ids] | first).append(1) %}", "{% do (d | dictsort)[0][1].append(1) %}",
		"{% set f = ids.append %}{% do f(1) %}", "{% do ids | attr('append') %}{% do (ids | attr('append'))(1) %}",
	} {
		if _, err := made(t, source); err == nil || !strings.Contains(err.Error(), "data") && !strings.Contains(err.Error(), "append") {
			t.Errorf("%s: %v, want an error", source, err)
		}
	}
	r, err := made(t, "{{ ids }}{{ d }}")
	if err != nil || r.Value != "[3, 1, 2]{'a': [1]}" {
		t.Errorf("the data is %v, %v", r.Value, err)
	}
}

// What was put into something that the template has made keeps its origin.
func TestMade_KeepsOrigins(t *testing.T) {
	for _, source := range []string{
		"{% set l = [] %}{% do l.append(secret) %}{{ l[0] }}", "{% set l = [] %}{% do l.append(secret) %}{{ l | join }}",
		"{% set m = {} %}{% do m.update(k=secret) %}{{ m.k }}", "{% set l = [[]] %}{% do l[0].append(secret) %}{% for x in l[0] %}{{ x }}{% endfor %}",
		"{% set l = [] %}{% set x = l %}{% do x.append(secret) %}{{ l.pop() }}", "{% set n = namespace(l=[]) %}{% do n.l.append(secret) %}{{ n.l[0] }}",
	} {
		r, err := made(t, source)
		if err != nil || r.Value != "hush" || r.Origin&value.Secret == 0 {
			t.Errorf("%s: %v of origin %b, %v: the secret's mark was lost", source, r.Value, r.Origin, err)
		}
	}
}

func TestMade_IsBounded(t *testing.T) {
	for _, source := range []string{
		"{% set l = [1] %}{% for i in range(40) %}{% do l.extend(l) %}{% endfor %}",
		"{% set l = [] %}{% do l.append(l) %}{{ l }}",
		"{% set l = [] %}{% for i in range(900000) %}{% do l.insert(0, i) %}{% endfor %}",
		"{% set m = {} %}{% for i in range(900000) %}{% do m.update({i: m}) %}{% endfor %}",
		"{% set n = namespace(l=[]) %}{% for i in range(100) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l | tojson }}",
		"{% set l = ['x' * 1000000] %}{% for i in range(30) %}{% do l.extend(l) %}{% endfor %}{{ l | join }}",
	} {
		if r, err := made(t, source); err == nil {
			t.Errorf("%s: %.40v, want an error", source, r.Value)
		}
	}
}
