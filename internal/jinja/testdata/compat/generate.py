#!/usr/bin/env python3
"""Write cases.jsonl, the comparison corpus for the templates package.

Each case is rendered by Jinja2 3.1 with StrictUndefined and otherwise default
settings.  The output is the same on every run.  See README.md.
"""

import collections
import json
import os
import warnings

import jinja2

ENV = jinja2.Environment(undefined=jinja2.StrictUndefined)

# Output that holds an address or names a Python object cannot be compared.
UNSTABLE = (" at 0x", "<generator", "<function", "<built-in", "<jinja2", "<class",
            "<bound method", "<method")

CASES = []


def add(group, template, **context):
    """Add one case."""
    CASES.append((group, template, context))


def each(group, templates, **context):
    """Add one case per template, all with the same context."""
    for template in templates:
        add(group, template, **context)


def grid(group, templates, inputs):
    """Add one case for each pair of template and value of x."""
    for template in templates:
        for value in inputs:
            add(group, template, x=value)


def exprs(group, expressions, **context):
    """Add one case per expression; the template prints the expression."""
    for expression in expressions:
        add(group, "{{ " + expression + " }}", **context)


def lines(text):
    """Split a block of text into its non-empty lines."""
    return [line for line in text.split("\n") if line.strip()]


# Values of every type, for filters and tests that take anything.
ANY = [42, -7, 0, 3.75, "Hello World", "", "caf\u00e9 \u2603", None, True, False,
       [3, 1, 2], [], {"b": 1, "a": 2}, {}, 2 ** 70]

USERS = [
    {"name": "Ann", "age": 31, "active": True, "city": "Oslo", "tags": ["a", "b"]},
    {"name": "bob", "age": 25, "active": False, "city": "rome", "tags": []},
    {"name": "Cy", "age": 31, "active": True, "city": "Rome", "tags": ["c"]},
    {"name": "dee", "age": 7, "active": False, "city": "Oslo", "tags": ["a"]},
]


# --- literals and printing ---------------------------------------------------

exprs("literals", lines(r"""
0
7
-7
007
1_000_000
0x1f
0XFF
0b101
0o17
0x_1f
1_0.5
12345678901234567890123
-9223372036854775808
9223372036854775807 + 1
1.0
1.5e-3
1e3
1E+3
1e16
1e15
1e-5
0.0001
1e22
1e300
1e400
-1e400
0.1 + 0.2
1 / 3
-0.0
0.0
100.0
123456789.125
1.
.5
1e
2.5e+2
true
false
none
True
False
None
TRUE
''
""
'a'
"a'b"
'a"b'
[]
[1]
[1,]
[1, 2.0, 'x', true, none]
[[1, [2, [3]]], {}]
()
(1,)
(1, 2)
(1)
1, 2
1,
((1, 2), (3,))
{}
{'a': 1}
{'a': 1,}
{1: 'x', 'y': [1, 2], none: true}
{'a': {'b': {'c': (1, 2)}}}
{1.5: 1, true: 2}
{'a': 1, 'a': 2}
['it\'s']
["say \"hi\""]
['both \' and "']
['tab\t nl\n back\\ cr\r']
['caf\u00e9 \u2603']
['\x00\x1f\x7f\x80']
['\u200b\u00a0\u2028']
['\U0001f600']
[1e16, 1e-5, 0.1, -0.0, 1e22]
[none, true, false]
{'k': "it's"}
'a' 'b'
"a" "b" 'c'
"a\nb"
"""))

grid("literals.context", ["{{ x }}", "{{ [x] }}", "{{ {'k': x} }}"], [
    0, 1, 1.0, -0.0, 1e16, 123456789012345680.0, 1e22, 1e-7, 0.00012, 5e-324,
    1.7976931348623157e308, 0.1, 2 / 3, 2 ** 64, -2 ** 70, None, True, "plain",
    "it's", 'a "q"', "both ' \"", "a\nb\t\\", "\u00e9\u4e2d\U0001f600", "\u0007\u001b\u007f\u00a0\u00ad",
    ["a", ["b", None]], {"a": {"b": [1, 2.5]}, "c d": "'"}, {"": ""},
])

# --- string escapes ----------------------------------------------------------

exprs("escapes", lines(r"""
'\n'
'a\tb'
'\x41'
'\u00e9'
'\U0001F600'
'\''
"\""
"\\"
'\\n'
'\a\b\f\v' | list
'\101'
'\0'|list
'\q'
'\d+\.\w'
'\N{BULLET}'
"\x4"
"\u12"
"it's"
'{{ x }}'
'{% if %}'
'}}'
"%}"
'#}'
"é"
"中文 \u4e2d"
['\\', '\'', "\""]
'C:\\temp\\new'
'"quoted"'
'\r\n' | list
"""))
each("escapes", [
    "{{ 'a\nb' }}", "{{ 'a\\\nb' }}", "{{\n1\n+\n2\n}}", "{%\nif true\n%}y{%\nendif\n%}",
    "{{ [\n1,\n2\n] }}", "{{\t'tab'\t}}", "{{'x'}}", "{{ 'a\r\nb' }}", "a\r\nb", "a\rb",
    "{{ \"multi\nline\" | upper }}", "\u00e9 {{ '\u00e9' }}", "{{ {\n 'a': 1,\n 'b': 2\n} }}",
])

# --- operators ---------------------------------------------------------------

exprs("operators.arithmetic", lines(r"""
1 + 2
1 - 2
3 * 4
7 / 2
6 / 2
7 // 2
-7 // 2
7 // -2
7.5 // 2
-7.5 // 2
7 % 3
-7 % 3
7 % -3
7.5 % 2
-7.5 % 2
2 ** 10
2 ** -1
2 ** 0.5
2 ** 3 ** 2
-2 ** 2
(-2) ** 2
2 ** 100
2 ** 64 - 1
2 ** 64 // 3
2 ** 64 % 1000
-(2 ** 65)
2 ** 70 / 2 ** 68
99999999999 * 99999999999
9223372036854775807 + 1
-9223372036854775808 - 1
9223372036854775807 * -1
-9223372036854775808 // -1
1 + 2.0
2 * 1.5
1.0 * 3
0.1 * 3
1e308 * 10
10 - 2 - 3
2 + 3 * 4
(2 + 3) * 4
2 * 3 % 4
100 / 10 / 2
8 // 3 * 3
+5
--5
- -5
-+5
+-+5
-x
+x
x - -x
true + true
true * 3
-true
false / 1
1 / 0
1 // 0
1 % 0
1.0 / 0
0.0 // 0
0 ** -1
1 + 'a'
'a' + 1
'a' - 'b'
none + 1
[] + 1
[1] + (2,)
{} + {}
-'a'
+[]
+none
'a' ** 2
[1] * 1.5
(1, 2) + (3,)
(1,) * 3
[1, 2] + [3]
[0] * 3
3 * [1, 2]
[] * 5
[1] * -1
'ab' * 3
3 * 'ab'
'ab' * 0
'ab' * -1
'ab' * true
'a' * 'b'
'a' + 'b' + 'c'
1 + 2 ~ 3 + 4
1 ~ 2 * 3
-1 ** 2
-x ** 2
2 ** -x
not 1 + 1
10 - 3 | abs
-3 | abs
-3.5 | abs | int
1 + 2 | string + '3'
"""), x=3)

exprs("operators.concat", lines(r"""
'a' ~ 'b'
'a' ~ 1 ~ 2.0
1 ~ 2
none ~ true
[1] ~ {'a': 'b'}
'' ~ ''
x ~ y
x ~ '-' ~ y
'a' ~ missing
1.0 ~ ''
(1, 2) ~ 'x'
'a' ~ ('b' | upper)
'a' ~ 'b' | upper
('a' ~ 'b') | upper
'n=' ~ 1 + 1
'x' ~ 2 ** 3
'<' ~ ('<' | e)
('<' | e) + '<'
('<b>' | e) ~ '<b>'
"""), x="left", y=5)

exprs("operators.compare", lines(r"""
1 == 1
1 == 1.0
1 == true
0 == false
0 == none
'' == none
'1' == 1
'a' == 'a'
1 != 2
1 != 1.0
none == none
none != none
1 < 2
2 < 1
2 <= 2
3 >= 4
3 > 2.5
'a' < 'b'
'B' < 'a'
'a' < 'ab'
'10' < '9'
'\u00e9' > 'z'
[1, 2] == [1, 2]
[1, 2] == (1, 2)
(1, 2) == (1, 2)
[1, 2] < [1, 3]
[1, 2] < [1, 2, 0]
[] < [0]
[2] > [1, 9]
(1, 'a') < (1, 'b')
[1, 'a'] < [1, 2]
['a'] < ['b', 1]
{'a': 1} == {'a': 1.0}
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
{'a': 1} != {'a': 2}
{'a': 1} < {'a': 2}
1 < 'a'
'a' > 1
none < 1
[] < 1
true < 2
1 < 2 < 3
1 < 2 > 1
3 > 2 > 1 > 0
1 < 3 < 2
1 == 1 == 1
1 == 1.0 == true
2 == 2 == 1
1 < 2 == 2
2 ** 64 == 2.0 ** 64
2 ** 64 > 1e19
2 ** 70 < 2 ** 71
9007199254740993 == 9007199254740992.0
0.1 + 0.2 == 0.3
-0.0 == 0
1e400 > 2 ** 100
(1 < 2) == true
1 < 2 and 2 < 3
not 1 == 2
1 + 1 == 2
'a' ~ 'b' == 'ab'
1 <> 2
1 === 1
"""))

exprs("operators.in", lines(r"""
1 in [1, 2]
3 in [1, 2]
1.0 in [1, 2]
true in [1]
'1' in [1]
1 not in [1, 2]
3 not in [1, 2]
not 3 in [1]
'a' in 'abc'
'ac' in 'abc'
'' in 'abc'
'' in ''
1 in 'abc'
none in 'a'
none in [none]
'a' in {'a': 1}
1 in {'a': 1}
'b' not in {'a': 1}
[1] in [[1], 2]
(1,) in [[1]]
[1] in {'a': 1}
1 in 5
1 in none
'a' in none
2 in range(3)
2.5 in range(3)
1 in (1, 2)
'x' in x
'z' in x
x in ['xyz', 'b']
1 in [1] in [[1]]
1 in [1] == true
not 'x' in x
'x' in x and 'q' not in x
'a' in 'a' ~ 'b'
1 + 1 in [2]
"""), x="xyz")

exprs("operators.logic", lines(r"""
1 and 2
0 and 2
'' and 1
[] and 1
1 or 2
0 or 2
'' or 'b'
none or false
none or 0
false and none
{} or []
0.0 or 'z'
-0.0 or 'z'
'0' and 'yes'
not 0
not 1
not ''
not 'a'
not []
not [0]
not {}
not none
not not 1
not not ''
1 and not 0
not 1 or 1
1 or 0 and 0
(1 or 0) and 0
0 or 0 or 3
1 and 2 and 3
1 and 0 or 5
true or missing
false and missing
false or missing
true and missing
x or 'dflt'
y or 'dflt'
x and y
y and x
not x and not y
(x or y) ~ '!'
x or y | upper
not x == 'v'
1 && 2
!1
1 || 2
"""), x="v", y="")

exprs("operators.percent", lines(r"""
'%s' % 'a'
'%s-%s' % (1, 'b')
'%d' % 3.7
'%5d|' % 42
'%-5d|' % 42
'%05d' % -42
'%+d' % 5
'%x %X %o' % (255, 255, 8)
'%#x' % 255
'%.2f' % 3.14159
'%8.3f|' % 2.5
'%e' % 12345.678
'%g' % 0.00001
'%g' % 123456789
'%%' % ()
'100%%' % ()
'%s%%' % 5
'%r' % 'a'
'%r' % [['x', 1]]
'%c' % 65
'%c' % 'z'
'%(a)s-%(b)d' % {'a': 'x', 'b': 2}
'%s' % none
'%s' % [[1, 2]]
'%s' % true
'%10s|' % 'ab'
'%-10s|' % 'ab'
'%.1s' % 'abc'
'%*d' % (5, 42)
'%d' % 'a'
'%s %s' % 'a'
'%s' % (1, 2)
'%q' % 1
'%' % 1
'abc' % 1
'%d' % (2 ** 70)
'%i' % 7
"""))

# --- inline if ---------------------------------------------------------------

exprs("conditional", lines(r"""
'a' if true else 'b'
'a' if false else 'b'
'a' if x > 3 else 'b'
'a' if x > 30 else 'b'
'a' if false
'a' if true
('a' if false) | default('d')
'a' if 0 else 'b' if 0 else 'c'
'a' if 0 else 'b' if 1 else 'c'
('a' if 1 else 'b') if 0 else 'c'
1 if [] else 2
1 if {} else 2
1 if [0] else 2
1 if none else 2
1 if '' else 2
1 if 0.0 else 2
1 if missing else 2
1 if missing is defined else 2
missing if missing is defined else 'none'
missing if false else 'ok'
[1 if true else 2, 3 if false else 4]
{'k': 'y' if x else 'n'}
'%s' | format('y' if x else 'n')
range(3 if x else 5) | list
'a' ~ 'b' if x else 'c'
'a' ~ ('b' if x == 1 else 'c')
'a' if x else 'b' | upper
('a' if x else 'b') | upper
1 + 2 if x else 3
(1 if x else 2) + 10
'neg' if x < 0 else 'zero' if x == 0 else 'pos'
'y' if x is odd else 'n'
'y' if x is even and x > 3 else 'n'
'y' if x in [1, 5] else 'n'
x if x else
if x else 1
'a' if x else 'b', 'c'
(x if x != 5 else none) is none
none if x else 1
[x if x > 9] | length
"""), x=5)

# --- access ------------------------------------------------------------------

ACCESS = {
    "a": {"b": {"c": "deep"}, "n": None, "items": "shadow", "0": "zero", "x y": "sp",
          "l": [10, 20, [30, 31]]},
    "l": ["p", "q", "r"],
    "s": "h\u00e9llo",
    "k": "b",
    "i": 1,
    "n": None,
    "num": 12,
}
exprs("access", lines(r"""
a.b.c
a['b']['c']
a.b['c']
a['b'].c
a[k].c
a[k]['c']
a['x y']
a['0']
a.0
a[0]
a.n
a.n.x
a.n['x']
a.items
a['items']
a.l.0
a.l.2.1
a.l[2][0]
a.l[-1][-1]
a.l[-1].0
a['l'][i]
a.l[i + 1][0]
l[0]
l.0
l.1
l[-1]
l[-3]
l[-4]
l[3]
l[3] is defined
l['0']
l['x']
l[1.0]
l[true]
l[none]
l.x
l[i]
s[0]
s[1]
s[-1]
s[99]
s.0
s.upper()
s['upper']()
n.x
n[0]
num.x
num[0]
num['real']
num.real
missing.x
missing['x']
a.missing
a.missing.x
a['missing']['x']
a.b.missing
a.b.missing is defined
a.missing is undefined
a.missing.x is undefined
missing is undefined
'abc'[1]
'abc'.0
[1, 2, 3][1]
(4, 5, 6)[-1]
{'a': 5}.a
{'a': 5}['a']
{'a': {'b': 6}}.a.b
{1: 'one'}[1]
{1: 'one'}[1.0]
{1: 'one'}['1']
{none: 1}[none]
{'a': 1}[[1]]
[[1, 2], [3, 4]][1][0]
('a' ~ 'b')[1]
('x y' | upper)[0]
a.b.c | upper
a.b.c.upper()
a.b.c[0]
a.b.c[1:3]
a . b . c
a [ 'b' ] . c
a.l|length
a.l.2|sum
"""), **ACCESS)

# --- slices ------------------------------------------------------------------

grid("slices", ["{{ x[1:3] }}", "{{ x[:2] }}", "{{ x[2:] }}", "{{ x[:] }}", "{{ x[-2:] }}", "{{ x[:-1] }}",
                "{{ x[::2] }}", "{{ x[::-1] }}", "{{ x[4:1:-1] }}", "{{ x[1:-1:2] }}", "{{ x[10:] }}",
                "{{ x[-100:2] }}", "{{ x[3:1] }}"],
     ["abcdef", "h\u00e9\u4e2d\U0001f600o", [0, 1, 2, 3, 4, 5]])
exprs("slices", lines(r"""
x[::0]
x['a':]
x[1.0:2]
x[none:2]
x[n:]
x[:n + 1]
x[n:n]
x[-n:]
x[::n]
x[:][0]
x[1:][0]
x[1:][1:][1:]
x[true:]
x[100:200]
x[-1:-3:-1]
x[1:2, 2]
5[1:]
none[:1]
{'a': 1}[0:1]
(1, 2, 3)[1:]
(1, 2, 3)[::-1]
range(10)[2:5] | list
range(10)[::-3] | list
''[1:]
[][::-1]
missing[1:]
x[:2] + x[-2:]
x[:3] ~ '...'
x[1:3] | join('-')
x[ 1 : 3 ]
x[:2] | upper
"""), x="abcdef", n=2)

# --- undefined ---------------------------------------------------------------

exprs("undefined", lines(r"""
missing
missing.a
missing.a.b
missing['a']
missing()
missing + 1
1 + missing
missing ~ 'a'
missing == 1
missing == missing
missing != 1
missing < 1
missing in [1]
1 in missing
not missing
missing and 1
missing or 1
-missing
[missing]
[missing] | length
{'a': missing}
(missing,) | length
missing | default('d')
missing | default
missing | d('d')
missing | d
missing | default(0)
missing | default(none)
missing | default([])
missing | default(value)
missing | default(other)
missing | default(default_value='k')
missing | default('d', true)
missing | default('d', boolean=true)
missing.a | default('d')
missing.a.b | default('d')
obj.a | default('d')
obj.a.b | default('d')
obj.x | default('d')
obj.x.y | default('d')
obj.none | default('d')
obj.none | default('d', true)
obj.none.x | default('d')
obj.none.x.y | default('d')
(missing | default({})).a
(missing | default({})).a | default('inner')
(obj.a | default({})).get('x', 'y')
(missing.a) | default('d')
missing[0] | default('d')
lst[9] | default('d')
lst[9].x | default('d')
lst[0] | default('d')
lst[0].x | default('d')
empty | default('d')
empty | default('d', true)
empty | default('d', false)
zero | default('d')
zero | default('d', true)
false | default('d', true)
none | default('d')
none | d('d', true)
[] | d('d', true)
{} | d('d', true)
'x' | d('d', true)
missing is defined
missing is not defined
missing is undefined
missing is not undefined
obj is defined
obj.a is defined
obj.x is defined
obj.none is defined
obj.a.b is defined
missing.a is defined
missing.a.b is defined
lst[0] is defined
lst[5] is defined
none is defined
missing is none
missing is string
missing is number
missing is iterable
missing is mapping
missing is sequence
missing is callable
missing | upper
missing | length
missing | list
missing | join
missing | string
missing | int
missing | e
missing | tojson
missing | first
[] | first
[] | first | default('d')
'' | last | default('none')
[] | max | default('m')
obj.x | default(missing)
missing | default(missing2) | default('z')
missing is defined and missing.x
missing is defined and missing.x or 'alt'
'a' if missing is defined else 'b'
missing | default(obj.x)
missing | default('a' ~ obj.x)
missing | default('a') | upper
value ~ missing | default('')
value | default('d') ~ '!'
(missing | d(5)) + 1
missing | d(5) + 1
"""), obj={"x": "X", "none": None}, lst=[1], empty="", zero=0, value="val", other=[1, 2])
each("undefined", lines(r"""
{% if missing %}a{% else %}b{% endif %}
{% if missing is defined %}a{% else %}b{% endif %}
{% if not missing %}a{% endif %}
{% for i in missing %}x{% endfor %}
{% for i in missing | default([]) %}x{% else %}none{% endfor %}
{% set a = missing %}ok
{% set a = missing %}{{ a is defined }}
{% set a = missing %}{{ a }}
{% if false %}{{ missing }}{% endif %}ok
{% set a = missing.b %}x
{% with a = missing %}{{ a | d('w') }}{% endwith %}
{% macro m(a) %}{{ a | d('none') }}{% endmacro %}{{ m() }}{{ m(missing) }}{{ m(1) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m() }}
{% for i in [1] %}{% endfor %}{{ i }}
{% for i in [1] %}{% endfor %}{{ loop }}
{{ missing.a.b.c | default('d') }}
"""))

# --- filters -----------------------------------------------------------------

NUMERIC = [0, -5, 7, -2.5, 2 ** 70, -2 ** 70, True, "a", None, [1]]
grid("filter.abs", ["{{ x | abs }}"], NUMERIC)

exprs("filter.attr", lines(r"""
('abc' | attr('upper'))()
d | attr('a')
d | attr('a') is defined
d | attr('a') | default('no')
('a,b' | attr('split'))(',')
5 | attr('real')
5 | attr
5 | attr(1)
missing | attr('a')
(d | attr('get'))('a')
"""), d={"a": 1})

grid("filter.batch", ["{{ x | batch(2) | list }}", "{{ x | batch(3, '-') | list }}",
                      "{% for r in x | batch(2, fill_with=0) %}[{{ r | join(',') }}]{% endfor %}"],
     [[1, 2, 3, 4, 5], [], "abcd", {"a": 1, "b": 2, "c": 3}, 5])
exprs("filter.batch", ["[1,2,3] | batch | list", "[1,2,3] | batch(1) | list", "[1,2,3] | batch(linecount=2) | list",
                       "[1,2] | batch(5, 'x') | list", "[1,2] | batch(5) | list", "none | batch(2) | list"])

grid("filter.case", ["{{ x | upper }}", "{{ x | lower }}", "{{ x | capitalize }}", "{{ x | title }}"],
     ["hello WORLD", "", "it's o'neil-smith (foo) [bar] {baz} <qux>", "stra\u00dfe \u00c9T\u00c9", "1st 2nd\tthird\nx",
      42, None, True, ["Ab", 1], {"K": "v"}, 1.5e22])

grid("filter.center", ["{{ x | center(11) }}|"], ["abc", "ab", "", "longer than eleven", 5, None, "\u00e9"])
exprs("filter.center", ["'a' | center", "'a' | center(width=4)", "'a' | center(0)", "'a' | center(-1)", "'a' | center('x')",
                        "'ab' | center(5) | length", "['x' | center(3)]"])

grid("filter.length", ["{{ x | length }}", "{{ x | count }}"], ANY + ["\U0001f600\u00e9"])

grid("filter.default", ["{{ x | default('D') }}", "{{ x | default('D', true) }}"],
     [None, "", 0, 0.0, False, [], {}, "v", [0]])

grid("filter.dictsort", ["{{ x | dictsort }}", "{{ x | dictsort(true) }}", "{{ x | dictsort(false, 'value') }}",
                         "{{ x | dictsort(reverse=true) }}", "{{ x | dictsort(by='value', reverse=true) }}"],
     [{"b": 1, "a": 2, "C": 0}, {"B": "x", "b": "Y", "A": "z"}, {}, {"a": 1, "b": "s"}])
exprs("filter.dictsort", ["{1: 'b', 2: 'a'} | dictsort(by='value')", "{'a': 1, 2: 3} | dictsort", "{'a': 1} | dictsort(by='x')",
                          "[1] | dictsort", "none | dictsort", "'a' | dictsort", "{'b': 1, 'a': 2} | dictsort | map('first') | join",
                          "{'b': none, 'a': 2} | dictsort(by='value')", "{'b': none, 'a': 2} | dictsort"])
each("filter.dictsort", ["{% for k, v in x | dictsort %}{{ k }}={{ v }};{% endfor %}",
                         "{% for k, v in x | dictsort(by='value') %}{{ k }}={{ v }};{% endfor %}"], x={"z": 1, "Y": 2, "x": 0})

grid("filter.escape", ["{{ x | e }}", "{{ x | escape }}", "{{ x | forceescape }}", "{{ x | e | e }}", "{{ x | safe | e }}"],
     ["<a href=\"x\">it's & co</a>", "", "plain", "&amp;", 5, None, ["<"]])
exprs("filter.escape", lines(r"""
'<' | e | forceescape
'<' | safe | forceescape
'<' | safe
'<' | e | upper
'<a>' | e | length
['<' | e]
['<' | safe]
('<' | safe) + '<'
'<' + ('<' | safe)
('<' | safe) ~ '<'
['<', '<' | safe] | join
['<', '<' | safe] | join('<')
('<' | e) * 2
('<%s>' | safe) % '<'
('<%s>' | safe) | format('<')
('a' | e) == 'a'
'<' | e | replace('&', '<')
('<' | e)[0]
('a b' | e).split()
'<' | e | string | e
'<' | e | lower | e
'<' | e | trim | e
'<' | e is escaped
'<' | e | tojson
'x<y' | e | capitalize
"""))

grid("filter.filesizeformat", ["{{ x | filesizeformat }}", "{{ x | filesizeformat(true) }}"],
     [0, 1, 2, 999, 1000, 1023, 1024, 1500, 1000000, 1048576, 123456789, 1000000000000, 1e15, 2 ** 80, 10 ** 27, -5, 0.5, "1024", "x", None])
exprs("filter.filesizeformat", ["1024 | filesizeformat(binary=true)", "[] | filesizeformat"])

grid("filter.first", ["{{ x | first }}", "{{ x | last }}"],
     [[1, 2, 3], ["a"], [], "xyz", "", {"k": 1, "l": 2}, 5, None, [[1, 2], [3]], "\u00e9\U0001f600"])

grid("filter.float", ["{{ x | float }}"],
     [1, 1.5, "2.5", "  3 ", "1e3", "-0", "abc", "", None, True, [1], {"a": 1}, 2 ** 70, "1_000", "1,5", "inf", "nan", ".5", "5.", "0x10"])
exprs("filter.float", ["'x' | float(9)", "'x' | float(default=1.5)", "'x' | float(none)", "'x' | float('d')", "none | float(2)",
                       "'1.50' | float ~ ''", "'3.7' | float | int", "1e16 | float", "missing | float"])

grid("filter.int", ["{{ x | int }}"],
     [1, 3.99, -3.99, "42", " 42 ", "4.7", "-4.7", "1e3", "abc", "", None, True, [1], {"a": 1}, 2 ** 70, 1e20, "1_000",
      "12345678901234567890123", "0x1f", "0b11", "+5", "1 2", "\u0665"])
exprs("filter.int", ["'x' | int(9)", "'x' | int(default=-1)", "'x' | int('d')", "'0x1f' | int(base=16)", "'ff' | int(0, 16)",
                     "'0b11' | int(0, 2)", "'101' | int(base=2)", "'0o17' | int(base=8)", "'17' | int(0, 8)", "'zz' | int(5, 16)",
                     "'0x1f' | int(0, 0)", "5 | int(0, 16)", "none | int(3)", "'z' | int(0, 36)", "'12' | int(base=99)",
                     "1e400 | int", "1e400 | int(7)", "('5' | int) + 1", "'5' | int + 1", "missing | int(3)", "'4.5' | int(base=16)"])

exprs("filter.format", lines(r"""
'%s, %s!' | format('hi', 'you')
'%d items' | format(3)
'%05.2f' | format(3.14159)
'%s' | format([1, 'a'])
'%s' | format(none)
'%(a)s %(b)s' | format(a=1, b='x')
'%s' | format(1, a=2)
'%s %s' | format(1)
'%s' | format(1, 2)
'%d' | format('x')
'100%%' | format
'100%%' | format()
'plain' | format
'plain' | format('x')
'%r' | format("it's")
'%08b' | format(5)
'%x' | format(255)
'%-6s|%6s' | format('a', 'b')
'%s' | format('<' | e)
'%.3s' | format('abcdef')
'%s/%s' | format(*['a', 'b'])
'%(k)s' | format(**{'k': 'v'})
'%c%c' | format('a', 98)
5 | format(1)
'%.0f %.0f %.0f' | format(0.5, 1.5, 2.5)
'%.2e' | format(12345)
'%.10g' | format(1e10)
'%G' | format(1e-10)
'%o' | format(-8)
'% d' | format(42)
'%+.1f' | format(0.05)
'%x' | format(3.5)
'%5s' | format('é')
'%i%%' | format(50)
'{}' | format('x')
"""))

exprs("filter.groupby", lines(r"""
users | groupby('city') | length
users | groupby('city') | map('first') | list
users | groupby('age') | map(attribute='grouper') | join(',')
users | groupby('age') | map(attribute=0) | list
users | groupby('age') | map(attribute='1') | map('length') | list
users | groupby('missing')
users | groupby('missing', default='none') | map('first') | list
users | groupby('missing', 'none') | map(attribute='list') | map('length') | list
users | groupby('city', case_sensitive=true) | map('first') | list
users | groupby('city', case_sensitive=false) | map('first') | list
users | groupby(attribute='age') | map('first') | list
users | groupby('active') | map('first') | list
users | groupby('tags.0', default='-') | map('first') | list
[{'a': 1, 'b': 2}, {'a': 1, 'b': 3}] | groupby('a')
[{'a': {'b': 2}}, {'a': {'b': 1}}] | groupby('a.b')
[[1, 'x'], [2, 'y'], [1, 'z']] | groupby(0)
[{'a': 1}, {'a': 'x'}] | groupby('a')
[{'a': none}, {'a': 1}] | groupby('a')
[] | groupby('a')
users | groupby
5 | groupby('a')
[1, 2] | groupby('a')
"""), users=USERS)
each("filter.groupby", lines(r"""
{% for city, list in users | groupby('city') %}{{ city }}: {{ list | map(attribute='name') | join(', ') }}; {% endfor %}
{% for g in users | groupby('age') %}{{ g.grouper }}={{ g.list | length }} {% endfor %}
{% for g in users | groupby('age') %}{{ g[0] }}={{ g[1] | length }} {% endfor %}
{% for k, v in users | groupby('active') %}{{ k }}{% for u in v %}-{{ u.name }}{% endfor %};{% endfor %}
{% for k, v in users | groupby('city') | reverse %}{{ k }};{% endfor %}
"""), users=USERS)

grid("filter.indent", ["{{ x | indent }}|", "{{ x | indent(2, true) }}|", "{{ x | indent(width='> ') }}|",
                       "{{ x | indent(2, blank=true) }}|", "{{ x | indent(2, first=true, blank=true) }}|"],
     ["one", "a\nb\nc", "a\n\nb\n", "", "\n", "  x\n y", "a\r\nb"])
exprs("filter.indent", ["5 | indent", "none | indent", "'a\\nb' | indent(0)", "'a\\nb' | indent(-1)", "'a\\nb' | indent(1.5)",
                        "'a\\nb' | indent('--', true)", "['a\\nb' | indent(1)]"])

exprs("filter.items", lines(r"""
{'b': 1, 'a': 2} | items | list
{} | items | list
missing | items | list
[1] | items | list
none | items | list
'ab' | items | list
{'a': {'b': 1}} | items | first
{'a': 1} | items | map('last') | sum
"""))
add("filter.items", "{% for k, v in x | items %}{{ k }}={{ v }} {% endfor %}", x={"z": 1, "a": [2]})

grid("filter.join", ["{{ x | join }}", "{{ x | join(', ') }}", "{{ x | join(d='-') }}"],
     [[1, 2, 3], ["a", None, True, 2.5], [], "abc", {"k": 1, "l": 2}, [[1], {"a": 2}], 5, None, ["one"]])
exprs("filter.join", ["u | join(', ', attribute='name')", "u | join('/', 'age')", "u | join(attribute='city')",
                      "u | join(', ', 'tags.0')", "u | join(',', 'nope')", "[[1,2],[3,4]] | join(';', 1)", "[1,2] | join(0)",
                      "[1,2] | join(none)", "range(4) | join('+')", "(1,2) | join('\\n')", "['a','b'] | join(', ') | upper",
                      "['<', 'b' | e] | join('&')", "[1, missing] | join"], u=USERS)

grid("filter.list", ["{{ x | list }}"], ["abc", "", [1], {"a": 1, "b": 2}, {}, 5, None, "\u00e9\U0001f600"])
exprs("filter.list", ["(1, 2) | list", "range(3) | list", "{'a': 1}.items() | list", "{'a': 1}.values() | list", "'ab' | list | list"])

exprs("filter.map", lines(r"""
['a', 'b'] | map('upper') | list
['a', 'b'] | map('upper') | join
[1, 2] | map('string') | list
['1', 'x'] | map('int') | list
['1', 'x'] | map('int', default=7) | list
['1', 'x'] | map('int', 7) | list
[[1, 2], [3]] | map('join', '-') | list
[[1, 2], [3]] | map('sum') | list
[1.25, 2.5] | map('round', 1) | list
['a'] | map('replace', 'a', 'b') | list
['x'] | map('nope') | list
['x'] | map | list
['x'] | map('upper', foo=1) | list
[1] | map('upper') | list
[] | map('upper') | list
'abc' | map('upper') | list
5 | map('abs') | list
none | map('abs') | list
{'a': 1} | map('upper') | list
u | map(attribute='name') | list
u | map(attribute='name') | map('lower') | join(', ')
u | map(attribute='name') | map('length') | sum
u | map(attribute='nope') | list | length
u | map(attribute='nope') | join
u | map(attribute='nope', default='?') | join
u | map(attribute='tags.0', default='-') | list
u | map(attribute='tags') | map('length') | list
u | map(attribute='tags') | sum(start=[])
u | map('attr', 'name') | list | length
[[1, 2], [3, 4]] | map(attribute=0) | list
[[1, 2], [3, 4]] | map(attribute='1') | list
[[1, [2]], [3, [4]]] | map(attribute='1.0') | list
[{'a': {'b': 1}}] | map(attribute='a.b') | list
[{'a': {}}] | map(attribute='a.b', default=none) | list
u | map(attribute='name', foo=1) | list
[3, -1] | map('abs') | sort
['b', 'a'] | map('upper') | sort | join
[1, 2] | map('format', 'x') | list
['%s'] | map('format', 'x') | list
['<a>', '&'] | map('e') | join
['a b', 'c&d'] | map('urlencode') | join(';')
[[3, 1], [2]] | map('sort') | list
['ab', 'cd'] | map('first') | join
['ab', 'cd'] | map('last') | join
[none, 1] | map('default', 0, true) | list
['abc'] | map('upper', none) | list
"""), u=USERS)

grid("filter.maxmin", ["{{ x | max }}", "{{ x | min }}"],
     [[3, 1, 2], ["b", "A", "C"], [1.5, 1, 2], [], "hello", {"z": 1, "a": 2}, [1, "a"], [[2, 1], [1, 9]], 5, None, [True, 0]])
exprs("filter.maxmin", ["['b','A','C'] | max(case_sensitive=true)", "['b','A','C'] | min(true)", "u | max(attribute='age')",
                        "(u | max(attribute='age')).name", "(u | min(attribute='age')).name", "(u | max(attribute='name')).name",
                        "(u | min('true', 'name')).name", "u | map(attribute='age') | max", "[] | min(attribute='a')", "[1, none] | max"], u=USERS)

grid("filter.pprint", ["{{ x | pprint }}"],
     [1, "it's", [1, 2, 3], {"b": 1, "a": {"d": 1, "c": 2}}, None, 1.5, [], ["x" * 30, "y" * 30, "z" * 30],
      {"key_number_one": "v" * 30, "key_number_two": "w" * 30, "a": [1, 2]}, list(range(40)), "a\nb"])

REJ = lines(r"""
[1, 2, 3, 4] | FILTER('odd') | list
[1, 2, 3, 4] | FILTER('even') | list
[1, 2, 3, 4] | FILTER('divisibleby', 3) | list
[1, 2, 3, 4] | FILTER('gt', 2) | list
[1, 2, 3, 4] | FILTER('>', 2) | list
[1, 2, 3, 4] | FILTER('in', [1, 4]) | list
[1, 'a', none, 2.5, [], true] | FILTER('string') | list
[1, 'a', none, 2.5, [], true] | FILTER('number') | list
[1, 'a', none, 2.5, [], true] | FILTER('none') | list
[0, 1, '', 'a', none, [], [0]] | FILTER | list
['a', 'b'] | FILTER('equalto', 'a') | list
['a', 'b'] | FILTER('==', 'a') | join
['a', 'b'] | FILTER('nope') | list
['a', 'b'] | FILTER('eq') | list
['a', 1] | FILTER('gt', 0) | list
[] | FILTER('odd') | list
'aBc' | FILTER('upper') | list
{'a': 1, 'B': 2} | FILTER('lower') | list
5 | FILTER('odd') | list
[1, 2, 3] | FILTER('odd') | map('string') | join('+')
[1, 2, 3] | FILTER('odd') | first
""")
for name in ("select", "reject"):
    exprs("filter." + name, [e.replace("FILTER", name) for e in REJ])
REJATTR = lines(r"""
u | FILTER('active') | map(attribute='name') | list
u | FILTER('tags') | map(attribute='name') | list
u | FILTER('age', 'gt', 25) | map(attribute='name') | list
u | FILTER('age', '>=', 31) | map(attribute='name') | join(', ')
u | FILTER('age', 'odd') | list | length
u | FILTER('city', 'equalto', 'Oslo') | map(attribute='name') | list
u | FILTER('city', '==', 'Rome') | map(attribute='age') | sum
u | FILTER('city', 'in', ['Rome', 'rome']) | map(attribute='name') | list
u | FILTER('nope', 'defined') | list | length
u | FILTER('nope', 'undefined') | list | length
u | FILTER('nope') | list
u | FILTER('tags.0', 'eq', 'a') | list | length
u | FILTER('name', 'lower') | map(attribute='name') | list
u | FILTER('age', 'nope') | list
u | FILTER('age', 'lt', 'x') | list
u | FILTER | list
[[0, 'a'], [1, 'b']] | FILTER(0) | list
[{'a': {'b': 0}}, {'a': {'b': 1}}] | FILTER('a.b') | list
u | FILTER('active', 'true') | map(attribute='name') | first
u | FILTER('active') | FILTER('age', 'gt', 30) | list | count
""")
for name in ("selectattr", "rejectattr"):
    exprs("filter." + name, [e.replace("FILTER", name) for e in REJATTR], u=USERS)

exprs("filter.replace", lines(r"""
'hello' | replace('l', 'L')
'hello' | replace('l', 'L', 1)
'hello' | replace('l', '')
'hello' | replace('', '-')
'hello' | replace('x', 'y')
'hello' | replace(old='l', new='r', count=1)
'aaa' | replace('aa', 'b')
'a.b.c' | replace('.', '/')
'a b' | replace(' ', '%20')
5 | replace('5', '6')
5 | replace(5, 6)
none | replace('None', 'x')
[1, 2] | replace('1', '9')
'a' | replace('a')
'a' | replace(1, 2)
'hello' | replace('l', 'L', 0)
'hello' | replace('l', 'L', -1)
'<a>' | e | replace('&lt;', '<')
'<a>' | safe | replace('a', '<')
'é' | replace('é', 'e')
'a\nb' | replace('\n', ' ')
'x' | replace('x', 5)
"""))

grid("filter.reverse", ["{{ x | reverse | list }}"], [[1, 2, 3], [], "abc", {"a": 1, "b": 2}, 5, None])
exprs("filter.reverse", ["'abc' | reverse", "'' | reverse", "'é中😀' | reverse", "[1,2] | reverse | join", "range(3) | reverse | list",
                         "(1,2) | reverse | first", "'<' | e | reverse", "'abc' | reverse | upper"])

grid("filter.round", ["{{ x | round }}", "{{ x | round(1) }}", "{{ x | round(2, 'floor') }}", "{{ x | round(1, method='ceil') }}"],
     [42.55, 2.5, 3.5, -2.5, 0.125, 2.675, 7, 1e20, 0, "x", None])
exprs("filter.round", ["42.55 | round | int", "1234.5 | round(-2)", "1250 | round(-2)", "1250 | round(-2, 'ceil')", "42 | round(precision=0)",
                       "2.5 | round(method='floor')", "2.5 | round(0, 'ceil')", "2.5 | round(0, 'x')", "2.5 | round(method='common')",
                       "-2.1 | round(0, 'floor')", "true | round", "2.5 | round('1')", "0.05 | round(1)", "1.005 | round(2)", "2.345 | round(2)",
                       "5.015 | round(2)", "1e300 | round(2)", "-0.4 | round", "12345678901234567890 | round", "3 | round(2)"])

grid("filter.slice", ["{{ x | slice(2) | list }}", "{{ x | slice(3) | list }}", "{{ x | slice(3, '-') | list }}"],
     [[1, 2, 3, 4, 5, 6, 7], [1, 2], [], "abcde", {"a": 1, "b": 2}, 5])
exprs("filter.slice", ["[1,2,3] | slice | list", "[1,2,3] | slice(0) | list", "[1,2,3,4] | slice(slices=2, fill_with=0) | list"])

grid("filter.sort", ["{{ x | sort }}", "{{ x | sort(true) }}", "{{ x | sort(reverse=true) }}", "{{ x | sort(case_sensitive=true) }}"],
     [[3, 1, 2], ["b", "A", "a", "B"], [], "heLlo", {"b": 1, "a": 2}, [1, "a"], [[2, 1], [1, 5], [1]], [1.5, 1, True], None, ["\u00e9", "z", "e"]])
exprs("filter.sort", lines(r"""
u | sort(attribute='name') | map(attribute='name') | list
u | sort(attribute='age') | map(attribute='name') | list
u | sort(attribute='age,name') | map(attribute='name') | list
u | sort(attribute='age,name', reverse=true) | map(attribute='name') | list
u | sort(attribute='name', case_sensitive=true) | map(attribute='name') | list
u | sort(true, true, 'city') | map(attribute='city') | list
u | sort(reverse=true, attribute='age') | map(attribute='name') | list
u | sort(attribute='nope')
u | sort(attribute='tags') | map(attribute='name') | list
[[1, 'b'], [0, 'a']] | sort(attribute=1)
[[1, 'b'], [0, 'a']] | sort(attribute='1')
[{'a': {'b': 2}}, {'a': {'b': 1}}] | sort(attribute='a.b')
u | sort
[none, 1] | sort
(3, 1) | sort
range(3) | sort(reverse=true)
5 | sort
"""), u=USERS)

grid("filter.string", ["{{ x | string }}", "{{ [x | string] }}"], [1, 1.0, "a", None, True, [1, "a"], {"a": None}, 2 ** 70, 1e16])

grid("filter.striptags", ["{{ x | striptags }}"],
     ["<p>Hello <b>World</b></p>", "a  \n  b", "<!-- c -->x", "1 &lt; 2 &amp; 3", "a < b", "", 5, None, "<br/>a<br>b", " pad ",
      "<a href='>'>x</a>", "&eacute;&#233;&nbsp;x", "<!-- <b> -->y<i", ["<b>"]])

grid("filter.sum", ["{{ x | sum }}", "{{ x | sum(start=10) }}"],
     [[1, 2, 3], [], [1.5, 2], [0.5, 0.25, 0.125], ["a"], [True, 1], [2 ** 63, 2 ** 63], 5, None, {"a": 1}])
exprs("filter.sum", ["u | sum(attribute='age')", "u | sum('age', 100)", "u | sum(attribute='nope')", "u | sum(attribute='name')",
                     "[[1],[2]] | sum(start=[])", "[[1, 2], [3, 4]] | sum(attribute=1)", "[{'a': {'b': 2}}] | sum('a.b')", "range(101) | sum",
                     "(1, 2) | sum", "[1, none] | sum", "['a', 'b'] | sum(start='')"], u=USERS)

grid("filter.tojson", ["{{ x | tojson }}", "{{ x | tojson(2) }}"],
     [None, True, 1, 1.0, -0.0, 1e16, 1e22, 0.1, 2 ** 70, "a\"b\\c/\n\t", "<script>alert('x & y')</script>", "\u00e9\u2603\U0001f600\u2028",
      [], {}, [1, [2, {"a": None}]], {"b": 1, "a": [True, {}]}, {"B": 1, "a": 2, "A": 3}, [[], {}]])
exprs("filter.tojson", lines(r"""
{'b': 1, 'a': 2} | tojson
{'b': 1, 'a': 2} | tojson(indent=2)
{'b': 1, 'a': 2} | tojson(indent=4)
{'b': [1, 2]} | tojson(indent=0)
(1, 2) | tojson
{1: 'a', 2: 'b'} | tojson
{1: 'a', 'b': 2} | tojson
{none: 1} | tojson
{true: 1} | tojson
{1.5: 1} | tojson
{(1, 2): 1} | tojson
range(3) | tojson
range(3) | list | tojson
'é' | tojson
'\x00\x1f\x7f' | tojson
"it's" | tojson
'a' | tojson | tojson
'<' | e | tojson
('a' | tojson) ~ '<'
('a' | tojson) is escaped
missing | tojson
[missing] | tojson
1e400 | tojson
{'a': 1} | tojson | length
[1, 2] | map('tojson') | join
{'a': 'x'} | tojson | replace('"', "'")
[1] | tojson(indent='--')
"""))

grid("filter.trim", ["{{ x | trim }}|", "{{ x | trim('x-') }}|"],
     ["  a b  ", "\t\n a \r\n", "x-a-x", "", "\u00a0a\u2003", 5, None, [" a "], "xxx"])
exprs("filter.trim", ["'  a ' | trim(chars=none)", "' a ' | trim('')", "'abc' | trim(1)", "' <b> ' | e | trim", "[' a ' | trim]", "'##a#' | trim(chars='#')"])

LONG = "The quick brown fox jumps over the lazy dog"
grid("filter.truncate", ["{{ x | truncate(15) }}", "{{ x | truncate(15, true) }}", "{{ x | truncate(15, false, '..') }}",
                         "{{ x | truncate(15, leeway=0) }}", "{{ x | truncate(15, end='\u2026', leeway=0) }}"],
     [LONG, "short", "exactly fifteen", "just over fifteen!", "averyveryverylongwordwithoutspace", "", "caf\u00e9 caf\u00e9 caf\u00e9 caf\u00e9 caf\u00e9"])
exprs("filter.truncate", ["x | truncate", "x * 10 | truncate", "(x * 10) | truncate", "(x * 10) | truncate | length", "5 | truncate(1)",
                          "none | truncate(3)", "x | truncate(2)", "x | truncate(3)", "x | truncate(3, true, '', 0)", "x | truncate(length=10, killwords=true)",
                          "x | truncate(9, true, '...', 0)", "x | truncate('9')", "x | truncate(0, end='')", "x | truncate(-1)", "[1,2,3] | truncate(1)"], x=LONG)

grid("filter.unique", ["{{ x | unique | list }}", "{{ x | unique(true) | list }}"],
     [[1, 2, 1, 3, 2], ["a", "A", "b", "B", "a"], [1, 1.0, True], [], "hello", {"a": 1}, [None, None], [[1], [1]], 5])
exprs("filter.unique", ["u | unique(attribute='age') | map(attribute='name') | list", "u | unique(attribute='city') | map(attribute='city') | list",
                        "u | unique(case_sensitive=true, attribute='city') | map(attribute='city') | list", "u | unique(attribute='nope') | list | length",
                        "u | map(attribute='city') | unique | join(',')", "[1, '1'] | unique | list"], u=USERS)

grid("filter.urlencode", ["{{ x | urlencode }}"],
     ["a b&c=d/e?f", "caf\u00e9 \u2603", "", "~-._!*'()", "+%#@:;,$", 5, None, 1.5, True, {"a": 1, "b c": "x y&z"}, {"q": "\u00e9/\u00e9", "n": None},
      {}, [["a", 1], ["b", "2 3"]], [], ["ab"], [1], "a\nb", "<\"'>[]{}|\\^`"])
exprs("filter.urlencode", ["[('a', '1 2'), ('b', '/')] | urlencode", "{'a': [1, 2]} | urlencode", "'a/b' | urlencode | replace('/', '%2F')",
                           "'a b' | urlencode | urlencode", "(1, 2) | urlencode", "[(1, 2)] | urlencode", "missing | urlencode"])

grid("filter.urlize", ["{{ x | urlize }}"],
     ["see http://example.com/a?b=1&c=2 now", "www.example.com", "mail me@example.com.", "(https://example.com/x)", "no links <here>",
      "example.com example.org/x", "http://example.com/very/long/path/that/goes/on", "", "mailto:a@example.com", "http://a.example.com, http://b.example.com.",
      "ftp://example.com", "<http://example.com>", "https://example.com/a_(b)", 5])
exprs("filter.urlize", ["x | urlize(20)", "x | urlize(10, true)", "x | urlize(nofollow=true)", "x | urlize(target='_blank')",
                        "x | urlize(rel='me')", "x | urlize(rel='')", "'a tel:123 b' | urlize(extra_schemes=['tel:'])",
                        "x | urlize(trim_url_limit=15, target='_top', rel='nofollow')"], x="go http://example.com/some/path/here ok")

grid("filter.wordcount", ["{{ x | wordcount }}"],
     ["hello big world", "", "  ", "it's a-b c_d", "one\ntwo\tthree", "caf\u00e9 \u4e2d\u6587", 5, None, "...", ["a", "b"], 1.5])

grid("filter.wordwrap", ["{{ x | wordwrap(20) }}", "{{ x | wordwrap(10, false) }}", "{{ x | wordwrap(12, wrapstring='|') }}"],
     [LONG, "averyveryverylongwordwithoutspaces end", "line one\nline two is longer than that\n\nend", "", "well-known hyphen-ated words-here",
      "a  b   c     double   spaces here"])
exprs("filter.wordwrap", ["x | wordwrap", "(x ~ ' ' ~ x) | wordwrap", "x | wordwrap(width=15, break_long_words=true)", "x | wordwrap(0)",
                          "'well-known-thing' | wordwrap(6, break_on_hyphens=false)", "'well-known-thing' | wordwrap(6)", "5 | wordwrap(3)",
                          "'well-known-thing' | wordwrap(6, false, '/', false)", "none | wordwrap", "'\\n\\na' | wordwrap(5)"], x=LONG)

grid("filter.xmlattr", ["<a{{ x | xmlattr }}>", "<a{{ x | xmlattr(false) }}>", "<a{{ x | xmlattr(autospace=true) }}>"],
     [{"class": "b c", "id": None, "n": 5}, {}, {"t": "<\"'&>", "b": True, "f": 1.5}, {"only": None}, {"l": [1, "<"]}])
exprs("filter.xmlattr", ["[1] | xmlattr", "none | xmlattr", "'a' | xmlattr", "{'a': missing} | xmlattr", "{'a': missing, 'b': 1} | xmlattr"])

exprs("filter.chain", lines(r"""
u | map(attribute='name') | map('upper') | sort | join(', ')
u | selectattr('active') | map(attribute='name') | join(' and ')
u | sort(attribute='age') | first | dictsort | first | first
u | map(attribute='tags') | map('join', '+') | select | list
'  Hello World  ' | trim | lower | replace(' ', '-')
'a,b,,c' | replace(',', ' ') | wordcount
'b a c' | upper | list | select('ne', ' ') | sort | join
[1, 2, 3] | map('string') | join('-') | replace('-', '+') | length
'3.7' | float | round | int
'x' | upper() | lower()
'abc' | first | upper | lower | e | string
u | length | string | center(5)
(u | first).name | lower | title
u[0].tags | join | upper
{'b': 2, 'a': 1} | dictsort | map('join', '=') | join('&')
{'b': 2, 'a': 1}.items() | map('last') | sum
range(10) | select('odd') | map('string') | join
range(10) | batch(3) | map('sum') | list
range(10) | slice(3) | map('list') | map('length') | list
'hello' | list | unique | sort(reverse=true) | join
'hello' | upper ~ 'x' | upper
'a' | nope
'a' | upper | nope
'a' |
'a' | upper(
'a' | 'upper'
'a' | upper(1)
'a' | replace('a', 'b', 1, 2, 3)
'a' | default(nope=1)
[3, 1] | sort | list | string | replace('[', '(')
'a' | upper if true else 'b' | upper
"""), u=USERS)

# --- tests -------------------------------------------------------------------

TYPE_TESTS = ["boolean", "callable", "escaped", "false", "float", "integer", "iterable", "mapping", "none", "number", "sequence", "string", "true"]
TESTVALUES = {"i": 1, "z": 0, "f": 1.5, "s": "a", "n": None, "t": True, "fa": False, "l": [1], "d": {"a": 1}, "b": 2 ** 70}
for name in TYPE_TESTS:
    # One case shows every type, so that a test is covered in full at little cost.
    add("test.types", "{% for v in [i, z, f, s, n, t, fa, l, d, b, (1,), range(2), 1.0] %}{{ v is " + name + " }} {% endfor %}", **TESTVALUES)
    for value in ["i", "s", "n", "t", "d"]:
        add("test.types", "{{ x is not " + name + " }}", x=TESTVALUES[value])

grid("test.evenodd", ["{{ x is odd }}", "{{ x is even }}"], [0, 1, 2, -3, 2 ** 70 + 1, 2.0, 1.5, "a", None, True])
grid("test.case", ["{{ x is lower }}", "{{ x is upper }}"], ["abc", "ABC", "Abc", "", "1", "a1", "\u00c9", 5, None, True])

exprs("test.compare", lines(r"""
x is eq 5
x is eq(5)
x is eq 5.0
x is == 5
x is equalto 6
x is equalto(5)
x is ne 5
x is ne(4)
x is not eq 4
x is gt 4
x is gt(5)
x is ge 5
x is ge(6)
x is lt 6
x is le 5
x is le(4)
x is greaterthan 4
x is lessthan 4
x is lessthan(10)
x is not lessthan 10
x is gt 'a'
x is lt none
x is eq none
x is eq
x is gt
'a' is lt 'b'
'a' is eq 'a'
[1] is eq [1]
[1] is eq([1])
[1, 2] is lt [1, 3]
none is eq none
x is > 4
x is != 4
x is divisibleby 5
x is divisibleby(2)
x is divisibleby 0
x is divisibleby 'a'
x is divisibleby
x is divisibleby(5, 6)
x is not divisibleby 2
'a' is divisibleby 2
10.0 is divisibleby 5
x is in [1, 5]
x is in([1, 2])
x is not in [1, 2]
'a' is in 'abc'
'a' is in {'a': 1}
'a' is not in 'xyz'
x is in 5
x is in
x is sameas x
none is sameas none
true is sameas true
true is sameas(1)
x is sameas 6
none is not sameas false
x is defined
x is not defined
y is defined
y is not defined
y is undefined
x is undefined
x.y is undefined
x is filter
'upper' is filter
'nope' is filter
'upper' is test
'odd' is test
'nope' is test
'd' is filter
'==' is test
5 is filter
x is number and x is odd
x is number and x > 10 or x is odd
not x is odd
not x is even
x is odd == true
x + 1 is even
(x + 1) is even
-5 is odd
-1 is number
2 ** 2 is even
x is odd and x is not none
'a' is string and 'a' is not number
[1, 2] is sequence and [1, 2] is not mapping
'a' ~ 'b' is string
x | string is string
x is odd is true
(x is odd) is true
x is nope
x is not nope
x is
x is not
x is (odd)
x is odd()
x is odd(1)
x is string or x is number
x is eq 5 and x is lt 6
x is eq 5 or false
x is eq 2 + 3
x is eq -5
x is eq(2 + 3)
x is none or x is undefined
y is defined and y > 1
y is undefined or y > 1
range is callable
x is callable
'a'.upper is callable
('<' | e) is escaped
('<' | safe) is escaped
'<' is escaped
'y' if x is odd else 'n'
'y' if x is divisibleby 3 else 'n'
[x is odd, x is even]
{'a': x is odd}
x is true
1 is true
0 is false
true is true
false is not true
x is boolean
x is integer
x is float
"""), x=5)

# --- methods of strings ------------------------------------------------------

grid("method.str.case", ["{{ x.upper() }}|{{ x.lower() }}|{{ x.title() }}|{{ x.capitalize() }}|{{ x.swapcase() }}|{{ x.casefold() }}"],
     ["hello World", "", "it's o'neil x2y", "\u00c9t\u00e9 stra\u00dfe", "\u01c6 \ufb01", "ABC-def_GHI"])
grid("method.str.is", ["{{ [x.isdigit(), x.isalpha(), x.isalnum(), x.isupper(), x.islower(), x.isspace(), x.isdecimal(), x.isnumeric(), x.istitle(), x.isidentifier(), x.isascii()] }}"],
     ["", "123", "abc", "ABC", "a1", " ", "\t\n", "Abc Def", "\u00b2", "\u00bd", "\u0665", "\u4e2d", "\u00e9", "a b", "A1", "_x", "-1", "1.5", "\u00a0"])
exprs("method.str.strip", lines(r"""
[s.strip(), s.lstrip(), s.rstrip()]
'xxaxx'.strip('x')
'xxaxx'.lstrip('x')
'xxaxx'.rstrip('x')
'abcba'.strip('ab')
'a'.strip('')
'a'.strip(none)
'a'.strip(1)
'\u00a0\u2003a\u3000'.strip()
''.strip()
'prefix-name'.removeprefix('prefix-')
'prefix-name'.removeprefix('x')
'name.txt'.removesuffix('.txt')
'name.txt'.removesuffix('')
'aXbXc'.partition('X')
'aXbXc'.rpartition('X')
'abc'.partition('X')
'abc'.rpartition('X')
'abc'.partition('')
'a=b'.partition('=')[2]
"""), s="  pad\t\n")
exprs("method.str.split", lines(r"""
'a b  c'.split()
' a b '.split()
''.split()
''.split(',')
'a,b,,c'.split(',')
'a,b,c'.split(',', 1)
'a,b,c'.split(',', maxsplit=1)
'a,b,c'.split(sep=',')
'a,b,c'.split(',', 0)
'a,b,c'.split(',', -1)
'a,b,c'.rsplit(',', 1)
'a b c'.rsplit(none, 1)
' a  b c '.rsplit(maxsplit=1)
' a  b c '.split(none, 1)
'a--b--c'.split('--')
'a--b--c'.rsplit('--', 1)
'abc'.split('')
'abc'.split(1)
'a\u00a0b\u2003c'.split()
'a\tb\nc'.split()
'a\nb\r\nc\rd'.splitlines()
'a\n\nb\n'.splitlines()
'a\nb'.splitlines(true)
'a\x0bb\x0cc\u2028d'.splitlines()
''.splitlines()
'a,b'.split(',')[1]
'a,b'.split(',') | map('upper') | join(';')
'2024-05-06'.split('-') | map('int') | list
'k=v; k2=v2'.split('; ') | map('upper') | list
"""))
exprs("method.str.find", lines(r"""
'hello'.find('l')
'hello'.find('x')
'hello'.find('')
'hello'.find('l', 3)
'hello'.find('l', 0, 2)
'hello'.find('o', -1)
'hello'.rfind('l')
'hello'.rfind('x')
'hello'.rfind('')
'hello'.rfind('l', 0, 3)
'hello'.index('l')
'hello'.index('x')
'hello'.rindex('l')
'hello'.count('l')
'hello'.count('')
'aaaa'.count('aa')
'hello'.count('l', 3)
'é中😀x'.find('x')
'é中😀x'.index('😀')
'hello'.startswith('he')
'hello'.startswith('lo')
'hello'.startswith('')
'hello'.startswith('l', 2)
'hello'.startswith(('x', 'he'))
'hello'.startswith(['he'])
'hello'.endswith('lo')
'hello'.endswith(('x', 'lo'))
'hello'.endswith('l', 0, 4)
'hello'.endswith('')
'hello'.startswith(1)
'hello'.find(1)
'hello'.find()
"""))
exprs("method.str.other", lines(r"""
'-'.join(['a', 'b'])
''.join(['a'])
', '.join([])
','.join('abc')
','.join([1, 2])
','.join({'a': 1, 'b': 2})
','.join(('a', 'b'))
'aXbX'.replace('X', '-')
'aXbX'.replace('X', '-', 1)
'abc'.replace('', '.')
'abc'.replace('b', '')
'abc'.replace('b')
'{} {}'.format('a', 1)
'{0}{1}{0}'.format('a', 'b')
'{name}'.format(name='x')
'{:>5}|{:<5}|{:^5}|'.format('a', 'b', 'c')
'{:05d}'.format(42)
'{:.2f}'.format(3.14159)
'{:,}'.format(1234567)
'{:,.2f}'.format(1234567.891)
'{:x} {:X} {:b} {:o}'.format(255, 255, 5, 8)
'{:#x}'.format(255)
'{:+d} {: d}'.format(5, 5)
'{:e}'.format(12345.678)
'{:g} {:g}'.format(0.00001, 1e10)
'{:%}'.format(0.25)
'{:.1%}'.format(0.256)
'{!r}'.format('a')
'{!s:>4}'.format(1)
'{{}}'.format()
'{a[b]}'.format(a={'b': 1})
'{0[1]}'.format([1, 2])
'{:*^9}'.format('mid')
'{:>{w}}'.format('a', w=4)
'{}'.format()
'{x}'.format()
'{:d}'.format('a')
'{'.format()
'{:_}'.format(1234567)
'{}'.format(none)
'{}'.format([1, 'a'])
'{:c}'.format(65)
'{:s}'.format(5)
'{:.3}'.format('abcdef')
'{:10.3f}|'.format(2.5)
'7'.zfill(3)
'-7'.zfill(4)
'+7'.zfill(4)
'abcd'.zfill(3)
''.zfill(2)
'a'.ljust(4) ~ '|'
'a'.rjust(4) ~ '|'
'a'.center(4) ~ '|'
'ab'.center(5, '*')
'ab'.center(4, '*')
'a'.center(4, '*')
'a'.ljust(4, '.')
'a'.rjust(4, '0')
'a'.ljust(4, 'xy')
'a'.rjust(-1)
'é'.rjust(3, '·')
'a\tb'.expandtabs()
'a\tb\tc'.expandtabs(4)
'\ta\n\tb'.expandtabs(2)
'abc'.nope()
'abc'.upper
'abc'.upper(1)
'a'.upper().lower().title()
'a b'.title().split()[1].lower()
' x '.strip().upper() ~ '!'
'abc'.join('--')
s.upper()[1:3]
s.replace('e', '3').upper()
5.upper()
(5).upper()
none.upper()
s.format(1)
"""), s="hello")

exprs("method.list", lines(r"""
l.index(2)
l.index(9)
l.index(2, 2)
l.index(1, 1, 4)
l.count(1)
l.count(9)
l.count('1')
l.count(1.0)
l.count(true)
(1, 2, 1).count(1)
(1, 2, 1).index(2)
[[1], [1]].count([1])
[].count(1)
[].index(1)
l.index()
l.nope
l.nope()
l[0].x
['a', 'b'].index('b')
l.copy()
l.copy() == l
"""), l=[1, 2, 2, 1])
exprs("method.dict", lines(r"""
d.items() | list
d.keys() | list
d.values() | list
d.items()
d.keys()
d.values()
d.get('a')
d.get('zz')
d.get('zz', 'dflt')
d.get('n', 'dflt')
d.get('a').x
d.get('o').p
d.get('o', {}).get('p')
d.get('zz', {}).get('p', 'deep')
d.get()
d.get([1])
d.get('l')[0]
d.get('l') | join
d.items() | length
d.keys() | join(',')
d.values() | first
d.keys() | sort
d.items() | first
'a' in d.keys()
1 in d.values()
('a', 1) in d.items()
d.copy() == d
d.nope()
d.nope
{}.get('a')
{}.items() | list
{}.keys() | list
{1: 2}.get(1.0)
{1: 2}.get(true)
d.get('a') + 1
d.items()[0]
d.keys()[0]
d.get(key='a')
"""), d={"a": 1, "b": "two", "n": None, "o": {"p": "q"}, "l": [5, 6]})

# --- statements --------------------------------------------------------------

grid("stmt.if", [
    "{% if x %}yes{% endif %}",
    "{% if x %}yes{% else %}no{% endif %}",
    "{% if x == 1 %}one{% elif x == 2 %}two{% elif x %}other{% else %}empty{% endif %}",
    "{% if not x %}not{% endif %}{% if x and x is number %}num{% endif %}",
], [0, 1, 2, "", "a", None, [], [0], {}, 0.0, True, False])
each("stmt.if", lines(r"""
{% if a %}{% if b %}ab{% else %}a{% endif %}{% else %}none{% endif %}
{% if a and (b or c) %}1{% else %}0{% endif %}
{% if a %}{% elif b %}{% else %}x{% endif %}
{% if b %}b{% elif c %}c{% endif %}|
{% if a > 0 and a < 10 %}in{% endif %}
{% if 0 < a < 10 %}in{% endif %}
{% if a %}{% set z = 1 %}{% else %}{% set z = 2 %}{% endif %}{{ z }}
{% if b %}{% set z = 1 %}{% endif %}{{ z }}
{% if b %}{% set z = 1 %}{% endif %}{{ z is defined }}
{% if a in [1, 2, 3] %}in{% else %}out{% endif %}
{% if 'a' in 'abc' %}in{% endif %}
{% if a is odd %}odd{% elif a is even %}even{% endif %}
{%if a%}tight{%endif%}
{% if (a) %}x{% endif %}
{% if a if b else c %}x{% else %}y{% endif %}
{% if missing is defined and missing.x %}x{% else %}y{% endif %}
{% if a == 3 %}{{ a }}{% else %}{{ missing }}{% endif %}
{% if [1] == [1] %}eq{% endif %}{% if {} %}x{% endif %}
{% if 'x' | upper == 'X' %}X{% endif %}
{% if a | string | length > 0 %}len{% endif %}
"""), a=3, b=0, c="")

LOOP = {"l": ["a", "b", "c"], "n": [1, 2, 3, 4, 5], "d": {"x": 1, "y": [2, 3]}, "e": [], "m": [[1, 2], [3, 4]], "s": "h\u00e9y",
        "u": USERS, "z": None}
each("stmt.for", lines(r"""
{% for i in l %}{{ i }}{% endfor %}
{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.length }} {% endfor %}
{% for i in l %}{{ loop.first }}-{{ loop.last }} {% endfor %}
{% for i in l %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for i in l %}{{ ', ' if not loop.first }}{{ i }}{% endfor %}
{% for i in l %}{{ ', ' if not loop.first else '' }}{{ i }}{% endfor %}
{% for i in n %}{{ loop.cycle('odd', 'even') }} {% endfor %}
{% for i in n %}{{ loop.cycle(1, 2, 3) }}{% endfor %}
{% for i in n %}{{ loop.cycle() }}{% endfor %}
{% for i in l %}{{ loop.previtem | default('-') }}<{{ i }}>{{ loop.nextitem | default('-') }} {% endfor %}
{% for i in l %}{{ loop.previtem }}{% endfor %}
{% for i in l %}{% if loop.nextitem is defined %}{{ loop.nextitem }}{% endif %}{% endfor %}
{% for i in [1, 1, 2, 2, 1] %}{{ loop.changed(i) }} {% endfor %}
{% for i in [1, 1, 2] %}{% if loop.changed(i, 'x') %}[{{ i }}]{% endif %}{% endfor %}
{% for i in l %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}
{% for i in l %}{{ loop.nope }}{% endfor %}
{% for i in e %}x{% else %}empty{% endfor %}
{% for i in l %}x{% else %}empty{% endfor %}
{% for i in e %}x{% endfor %}|
{% for i in z %}x{% endfor %}
{% for i in 5 %}x{% endfor %}
{% for i in true %}x{% endfor %}
{% for i in n if i is odd %}{{ i }}{% endfor %}
{% for i in n if i is odd %}{{ loop.index }}/{{ loop.length }} {% endfor %}
{% for i in n if i > 10 %}{{ i }}{% else %}none{% endfor %}
{% for i in n if i > 1 and i < 4 %}{{ i }}{{ ',' if not loop.last }}{% endfor %}
{% for i in n if i > 1 and i < 4 %}{{ i }}{{ ',' if not loop.last else ';' }}{% endfor %}
{% for i in n if loop.index > 1 %}{{ i }}{% endfor %}
{% for a, b in m %}{{ a }}-{{ b }} {% endfor %}
{% for (a, b) in m %}{{ a + b }} {% endfor %}
{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b, c in m %}x{% endfor %}
{% for a, b in l %}x{% endfor %}
{% for a, b in ['xy', 'zw'] %}{{ b }}{{ a }}{% endfor %}
{% for a, in [[1], [2]] %}{{ a }}{% endfor %}
{% for k in d %}{{ k }}{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k, v in d | dictsort(reverse=true) %}{{ k }}={{ v }};{% endfor %}
{% for v in d.values() %}{{ v }};{% endfor %}
{% for k in d.keys() %}{{ loop.index }}{{ k }};{% endfor %}
{% for k, v in d %}x{% endfor %}
{% for c in s %}{{ c }}.{% endfor %}
{% for c in 'abc' | reverse %}{{ c }}{% endfor %}
{% for i in range(3) %}{{ i }}{% endfor %}
{% for i in [1, 2] %}{% for j in [3, 4] %}{{ i }}{{ j }}{{ loop.index }} {% endfor %}{{ loop.index }};{% endfor %}
{% for r in m %}{% set outer = loop %}{% for c in r %}{{ outer.index }}.{{ loop.index }} {% endfor %}{% endfor %}
{% for r in m %}{% for c in r %}{{ c }}{{ '' if loop.last else ',' }}{% endfor %}{{ '' if loop.last else ';' }}{% endfor %}
{% for i in l %}{% set x = i %}{% endfor %}{{ x | default('unset') }}
{% set x = 0 %}{% for i in n %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}
{% set i = 'out' %}{% for i in l %}{{ i }}{% endfor %}{{ i }}
{% for i in l %}{% set i = 'x' %}{{ i }}{% endfor %}
{% set ns = namespace(t=0) %}{% for i in n %}{% set ns.t = ns.t + i %}{% endfor %}{{ ns.t }}
{% for i in l recursive %}{{ i }}{% endfor %}
{% for i in [[1, [2]], 3] recursive %}{% if i is iterable %}[{{ loop(i) }}]{% else %}{{ i }}{% endif %}{% endfor %}
{% for i in [{'n': 1, 'c': [{'n': 2, 'c': []}]}] recursive %}{{ i.n }}@{{ loop.depth }}{% if i.c %}({{ loop(i.c) }}){% endif %}{% endfor %}
{% for i in [{'n': 1, 'c': [{'n': 2}, {'n': 3}]}, {'n': 4}] recursive %}{{ loop.depth0 }}{{ loop.index }}{{ i.n }}{{ loop(i.c) if i.c is defined else '.' }}{% endfor %}
{% for i in l %}{{ loop(i) }}{% endfor %}
{% for x in u %}{{ x.name }}{{ '!' if x.active }}{% endfor %}
{% for x in u if x.active %}{{ x.name }}{{ ', ' if not loop.last else '' }}{% endfor %}
{% for x in u %}{{ x.name }}: {% for t in x.tags %}{{ t }}{% else %}-{% endfor %}; {% endfor %}
{% for x in u | sort(attribute='age') %}{{ x.name }} {% endfor %}
{% for x in u | map(attribute='name') %}{{ loop.index }}{{ x }} {% endfor %}
{% for x in l + n %}{{ x }}{% endfor %}
{% for x in l[1:] %}{{ x }}{% endfor %}
{% for x in l if true else e %}{{ x }}{% endfor %}
{% for x in (l if false else n) %}{{ x }}{% endfor %}
{% for x in 1, 2, 3 %}{{ x }}{% endfor %}
{% for x in [] %}{% else %}{{ loop }}{% endfor %}
{% for i in l %}{{ loop.index ~ i }}{% endfor %}
{% for i in l | batch(2) %}{{ loop.length }}{{ i | join }}{% endfor %}
{% for i in n %}{{ loop.length }}{{ loop.revindex }}{% if loop.index is divisibleby 2 %}|{% endif %}{% endfor %}
{% for loop in l %}x{% endfor %}
{% for i in l %}{% with j = loop.index %}{{ j }}{% endwith %}{% endfor %}
{% for i in n if i != 3 recursive %}{{ i }}{% endfor %}
{% for i in l %}{% if i == 'b' %}{% set f = true %}{% endif %}{{ f | default(false) }} {% endfor %}
{% for i in {} %}x{% else %}no keys{% endfor %}
{% for i in '' %}x{% else %}no chars{% endfor %}
{% for i in n if i > missing %}{{ i }}{% endfor %}
"""), **LOOP)

each("stmt.set", lines(r"""
{% set x = 1 %}{{ x }}
{% set x = 1 %}{% set x = x + 1 %}{{ x }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = [3, 4] %}{{ a }}{{ b }}
{% set (a, b) = 'xy' %}{{ a }}{{ b }}
{% set a, b = 1 %}{{ a }}
{% set a, b = [1, 2, 3] %}{{ a }}
{% set a, b = b0, a0 %}{{ a }}{{ b }}
{% set x = [1, 2] %}{{ x[0] }}
{% set x = {'k': 'v'} %}{{ x.k }}
{% set x = 'a' if a0 else 'b' %}{{ x }}
{% set x = 1, %}{{ x }}
{% set x = a0 | string | length %}{{ x }}
{% set x %}block {{ a0 }}{% endset %}{{ x }}
{% set x %}{% endset %}[{{ x }}]
{% set x %}<b>{% endset %}{{ x | e }}
{% set x %} a {% endset %}{{ x | trim }}{{ x | length }}
{% set x | upper %}block {{ a0 }}{% endset %}{{ x }}
{% set x | upper | replace('B', '-') %}abc{% endset %}{{ x }}
{% set x | indent(2, true) %}abc{% endset %}{{ x }}
{% set x | length %}abc{% endset %}{{ x }}
{% set x %}{% for i in [1, 2] %}{{ i }},{% endfor %}{% endset %}{{ x }}
{% set x %}{% set y = 1 %}{{ y }}{% endset %}{{ x }}{{ y is defined }}
{% set x %}1{% endset %}{{ x is string }}
{% set a0 = 5 %}{{ a0 }}
{{ a0 }}{% set a0 = 5 %}{{ a0 }}
{% set x = missing %}{{ x is defined }}
{% set x = none %}{{ x is none }}
{% set x.y = 1 %}
{% set d0.k = 1 %}
{% set d0['k'] = 1 %}
{% set 1 = 2 %}
{% set x %}
{% set x = %}
{% set = 1 %}
{% set true = 1 %}
{% set x == 1 %}
{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}
{% set ns = namespace() %}{% set ns.b = 'x' %}{{ ns.b }}
{% set ns = namespace(a=1) %}{{ ns.b }}
{% set ns = namespace({'k': 'v'}, z=1) %}{{ ns.k }}{{ ns.z }}
{% set ns = namespace(a=1) %}{{ ns['a'] }}{{ ns.a is defined }}{{ ns.q is defined }}
{% set ns = namespace(f=false) %}{% for i in [1, 2, 3] %}{% if i == 2 %}{% set ns.f = true %}{% endif %}{% endfor %}{{ ns.f }}
{% set ns = namespace(l=[]) %}{% for i in [1, 2, 3] %}{% set ns.l = ns.l + [i * i] %}{% endfor %}{{ ns.l | join(',') }}
{% set ns = namespace(s='') %}{% for c in 'abc' %}{% set ns.s = c ~ ns.s %}{% endfor %}{{ ns.s }}
{% set ns = namespace(n=0) %}{% macro inc() %}{% set ns.n = ns.n + 1 %}{% endmacro %}{{ inc() }}{{ inc() }}{{ ns.n }}
{% set ns = namespace(a=1) %}{% set ns.a %}block{% endset %}{{ ns.a }}
{% set a = b = 1 %}{{ a }}
{% if true %}{% set q = 1 %}{% endif %}{{ q }}
{% set x = range(3) | list %}{{ x }}{{ x | length }}
"""), a0="A", b0="B", d0={})

each("stmt.with", lines(r"""
{% with %}{% set x = 1 %}{{ x }}{% endwith %}{{ x is defined }}
{% with x = 1 %}{{ x }}{% endwith %}{{ x is defined }}
{% with x = 1, y = 2 %}{{ x + y }}{% endwith %}
{% with x = a0, y = x %}{{ y }}{% endwith %}
{% with x = a0 %}{% with y = x ~ '!' %}{{ y }}{% endwith %}{% endwith %}
{% with a0 = 5 %}{{ a0 }}{% endwith %}{{ a0 }}
{% with a0 = a0 ~ 'x' %}{{ a0 }}{% endwith %}{{ a0 }}
{% with x = [1, 2] %}{% for i in x %}{{ i }}{% endfor %}{% endwith %}
{% with x = 1 %}{% if x %}{{ x }}{% endif %}{% endwith %}
{% with (a, b) = (1, 2) %}{{ a }}{{ b }}{% endwith %}
{% with x %}{% endwith %}
{% with x = 1 %}{{ x }}
{% with x = missing %}{{ x | d('none') }}{% endwith %}
{% set v = 1 %}{% with %}{% set v = 2 %}{{ v }}{% endwith %}{{ v }}
"""), a0="A")

each("stmt.filter", lines(r"""
{% filter upper %}abc{{ x }}{% endfilter %}
{% filter upper | reverse %}abc{% endfilter %}
{% filter replace('a', 'b') %}aaa{% endfilter %}
{% filter e %}<b>{{ x }}</b>{% endfilter %}
{% filter trim %}  {{ x }}  {% endfilter %}|
{% filter indent(2) %}a{{ nl }}b{% endfilter %}
{% filter length %}four{% endfilter %}
{% filter list %}ab{% endfilter %}
{% filter upper %}{% for i in [1, 2] %}a{{ i }}{% endfor %}{% endfilter %}
{% filter upper %}{% filter replace('A', 'b') %}A{% endfilter %}{% endfilter %}
{% filter upper %}{% set q = 'z' %}{{ q }}{% endfilter %}{{ q is defined }}
{% filter nope %}x{% endfilter %}
{% filter %}x{% endfilter %}
{% filter upper %}x
{% filter truncate(5, true, '', 0) %}abcdefgh{% endfilter %}
{% filter urlencode %}a b&c{% endfilter %}
{% filter tojson %}say "hi"{% endfilter %}
{% filter wordcount %}one two {{ x }}{% endfilter %}
"""), x="val", nl="\n")

each("stmt.macro", lines(r"""
{% macro m() %}hi{% endmacro %}{{ m() }}
{% macro m() %}hi{% endmacro %}{{ m() }}{{ m() }}
{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m(1) }}{{ m('x') }}
{% macro m(a, b) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1, 2) }} {{ m(b=1, a=2) }} {{ m(1, b=3) }}
{% macro m(a, b=5) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 2) }} {{ m(a=7) }}
{% macro m(a, b=a) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 2) }}
{% macro m(a='x', b='y') %}{{ a }}{{ b }}{% endmacro %}{{ m() }}{{ m(b='z') }}{{ m('q') }}
{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(none) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
{% macro m(a) %}{{ a }}{{ varargs }}{% endmacro %}{{ m(1, 2, 3) }}{{ m(1) }}
{% macro m() %}{{ varargs | join(',') }}{% endmacro %}{{ m(1, 2, 3) }}
{% macro m(a) %}{{ a }}{{ kwargs }}{% endmacro %}{{ m(1, b=2, c='x') }}{{ m(1) }}
{% macro m() %}{% for k, v in kwargs | dictsort %}{{ k }}={{ v }} {% endfor %}{% endmacro %}{{ m(b=2, a=1) }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, x=2) }}
{% macro m(a, b=1) %}{{ [a, b, varargs, kwargs] }}{% endmacro %}{{ m(*[1, 2, 3], **{'k': 4}) }}
{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*l) }}{{ m(**d) }}
{% macro m(a) %}{{ a | upper }}{% endmacro %}{{ m('x') ~ m('y') }}
{% macro m() %}<b>{% endmacro %}{{ m() | e }}
{% macro m() %} x {% endmacro %}[{{ m() | trim }}][{{ m() | length }}]
{% macro m() %}abc{% endmacro %}{{ m().upper() }}{{ m() == 'abc' }}
{% macro m() %}{{ g }}{% endmacro %}{{ m() }}
{% set q = 1 %}{% macro m() %}{{ q }}{% endmacro %}{{ m() }}{% set q = 2 %}{{ m() }}
{% macro m() %}{% set q = 5 %}{{ q }}{% endmacro %}{{ m() }}{{ q is defined }}
{% macro m(g) %}{{ g }}{% endmacro %}{{ m('arg') }}{{ g }}
{% macro a() %}a{% endmacro %}{% macro b() %}{{ a() }}b{% endmacro %}{{ b() }}
{% macro b() %}{{ a() }}b{% endmacro %}{% macro a() %}a{% endmacro %}{{ b() }}
{% macro f(n) %}{{ n }}{% if n > 0 %},{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}
{% macro tree(t) %}{{ t.n }}{% for c in t.c %}({{ tree(c) }}){% endfor %}{% endmacro %}{{ tree({'n': 1, 'c': [{'n': 2, 'c': []}, {'n': 3, 'c': [{'n': 4, 'c': []}]}]}) }}
{% macro li(items) %}{% for i in items %}<li>{{ i }}</li>{% endfor %}{% endmacro %}<ul>{{ li(l) }}</ul>
{% for i in l %}{% macro m(x) %}{{ x }}{{ i }}{% endmacro %}{{ m('m') }}{% endfor %}
{% for i in l %}{{ m(i) }}{% endfor %}{% macro m(x) %}{{ x }}{% endmacro %}
{% macro m(a) %}{% if a %}y{% else %}n{% endif %}{% endmacro %}{{ [m(1), m(0)] }}
{% macro m(a) %}x{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.caller }}
{% macro m(a, b=2, c) %}x{% endmacro %}{{ m(1) }}
{% macro m(a, a) %}x{% endmacro %}{{ m(1) }}
{% macro m(a='x' ~ g) %}{{ a }}{% endmacro %}{{ m() }}
{% macro m(a=missing) %}x{{ a }}{% endmacro %}{{ m() }}
{% macro m(a=missing) %}x{% endmacro %}{{ m() }}
{% macro m(a=[]) %}{{ a | length }}{% endmacro %}{{ m() }}{{ m([1]) }}
{% macro m(true) %}x{% endmacro %}
{% macro m %}x{% endmacro %}{{ m() }}
{% macro %}x{% endmacro %}
{% macro m() %}x
{% macro m() %}x{% endmacro m %}{{ m() }}
{% macro m() -%} x {%- endmacro %}[{{ m() }}]
{% if true %}{% macro m() %}in if{% endmacro %}{% endif %}{{ m() }}
{% macro m(x) %}{{ loop is defined }}{% endmacro %}{% for i in [1] %}{{ m(1) }}{% endfor %}
{{ l | map('upper') | join }}{% macro upper(x) %}m{% endmacro %}{{ upper(1) }}
{% macro _p(x) %}{{ x }}{% endmacro %}{{ _p(1) }}
{{ nope() }}
{{ g() }}
"""), g="G", l=[1, 2], d={"a": "A", "b": "B"})

each("stmt.raw", [
    "{% raw %}{{ x }}{% endraw %}", "{% raw %}{% if %}{# c #}{% endraw %}", "a{%- raw %} b {% endraw -%} c", "a {%- raw -%} b {%- endraw -%} c",
    "{% raw %}\n{{ x }}\n{% endraw %}\n", "{% raw -%}\n x {% endraw %}", "{% raw %}x", "{% raw %}{% raw %}{% endraw %}", "{%raw%}{{y}}{%endraw%}",
    "{% raw %}{% endraw %}|", "{{ '{{' }}", "{{ '{%' }}x{{ '%}' }}", "{{ '}}' ~ '{{' }}", "{ { x } }", "{", "}", "{ %", "}} %} #}", "a { b } c",
    "{{ x }}{", "${{ x }}", "{{{ x }}}", "{{ {'a': x}.a }}", "{{ {'a': {'b': x}}['a']['b']}}", "{{ {'a': {}}}}",
], x="X")
each("stmt.comment", [
    "a{# c #}b", "{# {{ x }} {% if %} #}", "{#\nmulti\n#}x", "{##}|", "a {#- c -#} b", "a\n{# c #}\nb", "a\n{#- c #}\nb", "{# unclosed", "{# a {# b #} c",
    "{# - #}x", "{{ x # c }}", "{{ x }}{# end #}\n", "a{#+ c +#}b", "{# '#}' #}",
], x="X")

# --- whitespace --------------------------------------------------------------

each("whitespace", [
    "a {{- x -}} b", "a {{- x }} b", "a {{ x -}} b", "a  \n\t {{- x -}} \n\n b", "{{- x -}}", " {{- x -}} ", "a {{+ x +}} b",
    "a\n{% if true %}\nb\n{% endif %}\nc", "a\n{%- if true %}\nb\n{%- endif %}\nc", "a\n{% if true -%}\nb\n{% endif -%}\nc",
    "a\n{%- if true -%}\nb\n{%- endif -%}\nc", "a\n  {%+ if true %}\nb\n{% endif %}c", "a {% if true +%} b {% endif %}",
    "{% for i in [1, 2] %}\n{{ i }}\n{% endfor %}\n", "{% for i in [1, 2] -%}\n{{ i }}\n{% endfor %}", "{% for i in [1, 2] %}\n{{ i }}\n{%- endfor %}",
    "{% for i in [1, 2] -%}\n  {{ i }},\n{%- endfor %}", "{%- for i in [1, 2] -%} {{ i }} {%- endfor -%}", "x\n", "x\n\n", "x\r\n", "x\n\n\n", "\n", "\n\n",
    "", " ", "\nx", "{{ x }}\n", "{{ x }}\n\n", "{{ 'a\n' }}", "{{ 'a\n' }}\n", "x \n", "x\r", "{% if true %}x{% endif %}\n", "{{ x }}\n ",
    "a\u00a0{{- x -}}\u2003b", "{%- set y = 1 -%}\n{{ y }}", "  {% set y = 1 %}\n  {{ y }}\n", "  {%- set y = 1 %}\n  {{ y }}\n",
    "a {#- c -#} b", "a\n\n{#- c #}\n\nb", "{% raw -%} a {%- endraw %}", "{{ -1 }}", "{{-1 }}", "{{- -1 }}", "{{ 3 -}} x", "{{ 3 --1 }}", "{{- x }}{{ x -}} \n {{ x }}",
    "<ul>\n{%- for i in [1, 2] %}\n  <li>{{ i }}</li>\n{%- endfor %}\n</ul>\n", "{% if false %}\n  a\n{%- else %}\n  b\n{%- endif %}\n",
    "{{ x -}}\n{{- x }}", "\t{{ x }}\t", "a\r\n{%- if true -%}\r\nb\r\n{%- endif %}", "{{ x+}}", "{{ x\n-}} y", "{{ x - 1 }}", "{%-if true-%} a {%-endif-%} b",
], x="X")

# --- globals -----------------------------------------------------------------

exprs("globals", lines(r"""
range(5)
range(5) | list
range(2, 6) | list
range(0, 10, 3) | list
range(5, 0, -1) | list
range(5, 0, -2) | join(',')
range(0) | list
range(-3) | list
range(3, 1) | list
range(1, 10, 0)
range('a')
range(1.5)
range()
range(1, 2, 3, 4)
range(3)[1]
range(3)[-1]
range(3) | length
range(3) | sum
range(3) | last
range(3) == [0, 1, 2]
range(1, 7, 2)
3 in range(5)
range(n) | list
range(n + 1) | map('string') | join
range(true) | list
range(3) + [1]
dict()
dict(a=1, b='x')
dict(b=1, a=2) | dictsort
dict({'a': 1}, b=2)
dict([['a', 1], ['b', 2]])
dict([('a', 1)], a=5)
dict(**{'k': 'v'})
dict(a=1).a
dict(a=1).get('b', 'no')
dict(a=1) == {'a': 1}
dict(5)
dict([1])
dict(a=dict(b=[1])) | tojson
dict(['ab', 'cd'])
range(0, 5, 2) | reverse | list
"""), n=3)
each("globals", lines(r"""
{% set c = cycler('a', 'b', 'c') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.next() }}
{% set c = cycler('a', 'b') %}{{ c.current }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}
{% set c = cycler(1, 2) %}{% for i in [1, 2, 3] %}{{ c.next() }}{% endfor %}
{% set c = cycler() %}{{ c.next() }}
{% set c = cycler(*['x', 'y']) %}{{ c.next() ~ c.next() ~ c.next() }}
{% set c = cycler('odd', 'even') %}{% for r in [1, 2] %}{% for i in [1, 2, 3] %}{{ c.next() }} {% endfor %}|{% endfor %}
{% set j = joiner() %}{% for i in [1, 2, 3] %}{{ j() }}{{ i }}{% endfor %}
{% set j = joiner('; ') %}{% for i in [1, 2, 3] %}{{ j() }}{{ i }}{% endfor %}
{% set j = joiner(sep='|') %}{{ j() }}a{{ j() }}b{% if true %}{{ j() }}c{% endif %}
{% set j = joiner(' and ') %}{% for i in [1, 2, 3] if i != 2 %}{{ j() }}{{ i }}{% endfor %}
{% set d = dict(a=1) %}{% for k, v in d.items() %}{{ k }}{{ v }}{% endfor %}
{% for i in range(1, 4) %}{{ i * i }}{{ ' ' if not loop.last else '' }}{% endfor %}
{% for i in range(3) %}{% for j in range(i) %}{{ j }}{% endfor %};{% endfor %}
{% set range = 5 %}{{ range }}
{{ range is defined }}{{ dict is defined }}{{ cycler is defined }}{{ joiner is defined }}{{ namespace is defined }}{{ len is defined }}
{{ len('a') }}
{{ str(1) }}
{{ namespace(a=1).a }}
{{ namespace(1) }}
{{ self is defined }}
"""))

# --- calls -------------------------------------------------------------------

exprs("calls", lines(r"""
range(*[1, 4]) | list
range(*(1, 4)) | list
dict(**{'a': 1}, b=2)
dict(a=1, a=2)
'{}{}'.format(*l)
'{a}{b}'.format(**d)
'{}{}{}'.format(1, *l)
range(1, *[3]) | list
dict(a=1, *[])
dict(**l)
range(*5)
range(stop=3)
'a,b'.split(',',)
'x'()
none()
(1)(2)
l()
d.a()
range(3)(1)
"""), l=[1, 2], d={"a": "A", "b": "B"})

# --- API-flavoured templates -------------------------------------------------

API = {
    "base": "https://api.example.com/v1/",
    "user": {"id": 42, "name": "Ann O'Neil", "email": "ann+x@example.com", "roles": ["admin", "dev ops"], "manager": None},
    "params": {"q": "caf\u00e9 & co", "page": 2, "tag": "a/b"},
    "items": [
        {"sku": "A-1", "qty": 2, "price": 9.5, "title": "Pen <blue>", "meta": {"color": "blue"}},
        {"sku": "B-2", "qty": 1, "price": 100, "title": "Book & \"Map\"", "meta": {}},
        {"sku": "C-3", "qty": 0, "price": 0.25, "title": "Caf\u00e9", "meta": {"color": "red"}},
    ],
    "created": "2024-05-06T07:08:09Z",
    "token": "s3cr3t/+=",
    "flags": {"beta": True, "alpha": False},
    "empty": [],
}
each("api", lines(r"""
{{ base }}users/{{ user.id }}
{{ base.rstrip('/') }}/users/{{ user.name | urlencode }}
{{ base }}search?{{ params | urlencode }}
{{ base }}search?q={{ params.q | urlencode }}&page={{ params.page + 1 }}
{{ base }}{{ 'users' if user else 'anon' }}/{{ user.id | default('me') }}
{{ base }}x?tag={{ params.tag | urlencode | replace('/', '%2F') }}
{% for k, v in params | dictsort %}{{ '?' if loop.first else '&' }}{{ k }}={{ v | string | urlencode }}{% endfor %}
{% for k, v in params.items() %}{{ k }}={{ v | urlencode }}{% if not loop.last %}&{% endif %}{% endfor %}
{{ base.split('://')[1].split('/')[0] }}
{{ (base ~ 'users').removeprefix('https://').partition('/')[0] }}
{"id": {{ user.id }}, "name": {{ user.name | tojson }}}
{"roles": {{ user.roles | tojson }}, "manager": {{ user.manager | tojson }}}
{{ user | tojson }}
{{ user | tojson(indent=2) }}
{{ params | tojson(2) }}
{{ flags | tojson }}
{{ {'id': user.id, 'ok': true, 'n': none} | tojson }}
{{ {'items': items | map(attribute='sku') | list} | tojson }}
{"items": [{% for i in items %}{"sku": "{{ i.sku }}", "qty": {{ i.qty }}}{{ ', ' if not loop.last else '' }}{% endfor %}]}
{"items": [{% for i in items if i.qty %}{"sku": {{ i.sku | tojson }}, "total": {{ i.qty * i.price }}}{% if not loop.last %},{% endif %}{% endfor %}]}
{"nick": "{{ user.nick | default('') }}", "age": {{ user.age | default(none) | tojson }}}
{"manager": "{{ user.manager | default('nobody', true) }}"}
{"x": "{{ user.nick }}"}
{% if user.nick is defined %}"nick": "{{ user.nick }}"{% else %}{}{% endif %}
<user id="{{ user.id }}"><name>{{ user.name | e }}</name></user>
{% for i in items %}<item sku="{{ i.sku }}" qty="{{ i.qty }}">{{ i.title | e }}</item>{% endfor %}
<item{{ {'sku': items[0].sku, 'title': items[0].title, 'none': none} | xmlattr }}/>
<roles>{% for r in user.roles %}<role>{{ r | title }}</role>{% endfor %}</roles>
name={{ user.name | urlencode }}&email={{ user.email | urlencode }}
grant_type=client_credentials&secret={{ token | urlencode }}
{{ user.roles | join(', ') }}
{{ user.roles | map('upper') | join('|') }}
{{ user.roles | map('replace', ' ', '_') | join(',') }}
{{ user.roles | first }}/{{ user.roles | last }}/{{ user.roles | length }}
{{ created[:10] }}
{{ created[11:19] }}
{{ created.split('T')[0].split('-') | reverse | join('.') }}
{{ created[:4] | int + 1 }}
{{ (created[:4] | int) + 1 }}
{% set y, m, d = created[:10].split('-') %}{{ d }}/{{ m }}/{{ y }}
{{ '%02d:%02d' | format(created[11:13] | int, created[14:16] | int) }}
{{ created | replace('T', ' ') | replace('Z', '') }}
{{ created.rstrip('Z').replace('T', '+') }}
{{ items | map(attribute='sku') | join(',') }}
{{ items | map(attribute='meta.color', default='none') | join(',') }}
{{ items | map(attribute='meta.color') | join(',') }}
{{ items | selectattr('qty') | map(attribute='sku') | list }}
{{ items | rejectattr('qty') | map(attribute='sku') | list | tojson }}
{{ items | selectattr('price', 'gt', 5) | list | length }}
{{ items | selectattr('meta.color', 'defined') | map(attribute='title') | map('e') | join('; ') }}
{{ items | selectattr('sku', 'equalto', 'B-2') | map(attribute='price') | first }}
{{ (items | selectattr('sku', 'eq', 'Z') | first | default({'sku': 'none'})).sku }}
{{ items | sum(attribute='qty') }} pieces
{{ items | sort(attribute='price') | map(attribute='sku') | join(' < ') }}
{{ items | sort(attribute='price', reverse=true) | map(attribute='price') | list }}
{% for q, group in items | groupby('qty') %}{{ q }}:{{ group | map(attribute='sku') | join('+') }} {% endfor %}
{% for c, group in items | groupby('meta.color', default='-') %}{{ c }}={{ group | length }};{% endfor %}
{% set ns = namespace(total=0) %}{% for i in items %}{% set ns.total = ns.total + i.qty * i.price %}{% endfor %}{{ ns.total }}
{% set ns = namespace(total=0) %}{% for i in items %}{% set ns.total = ns.total + i.qty * i.price %}{% endfor %}{{ '%.2f' | format(ns.total) }}
{% macro item(i) %}{{ i.qty }}x {{ i.sku }}{% endmacro %}{% for i in items %}{{ item(i) }}{{ ', ' if not loop.last else '' }}{% endfor %}
{% macro field(name, value, type='text') %}<input type="{{ type }}" name="{{ name }}" value="{{ value | e }}">{% endmacro %}{{ field('n', user.name) }}{{ field('q', params.page, type='number') }}
{% macro kv(k, v) %}"{{ k }}": {{ v | tojson }}{% endmacro %}{ {{ kv('id', user.id) }}, {{ kv('name', user.name) }} }
{% macro obj() %}{ {% for k, v in kwargs.items() %}"{{ k }}": {{ v | tojson }}{{ ', ' if not loop.last else '' }}{% endfor %} }{% endmacro %}{{ obj(a=1, b=[true, none], c='x') }}
{% set body %}{"n": {{ user.name | tojson }}}{% endset %}{{ body | length }} {{ body }}
{% set auth = 'Bearer ' ~ token %}Authorization: {{ auth }}
{% with u = user %}{{ u.name.split()[0] | lower }}.{{ u.name.split()[-1] | lower | replace("'", '') }}@example.com{% endwith %}
{{ user.email.split('@') | last }}
{{ user.email | replace('+x', '') }}
{{ user.name | upper | replace(' ', '-') | truncate(6, true, '', 0) }}
{% for k, v in flags | dictsort %}{{ k }}={{ v | lower }} {% endfor %}
{% for k, v in flags | dictsort %}{{ k }}={{ 'on' if v else 'off' }} {% endfor %}
{{ flags | dictsort(by='value') | map('first') | list }}
{% for e in empty %}{{ e }}{% else %}no items{% endfor %}
[{% for e in empty %}{{ e }}{% endfor %}]
{{ empty | join(',') or 'nothing' }}
{{ (items | first).title | e }} and {{ items | length - 1 }} more
{{ items[-1].title ~ ' (' ~ items[-1].price ~ ')' }}
{{ items[0].price | round(1) }} {{ items[1].price | round(2) }} {{ items[1].price | float }}
{{ '%s-%03d' | format(user.name[:3] | upper, user.id) }}
{{ '{:,.2f}'.format(items[1].price * 1234.5) }}
{{ items | map(attribute='title') | map('length') | max }}
{{ items | map(attribute='price') | map('float') | map('round', 1) | list }}
{{ items | batch(2) | map('map', attribute='sku') | map('join', '+') | join(' / ') }}
{{ dict(items | map(attribute='sku') | map('lower') | map('replace', '-', '') | map('list')) }}
{{ params.missing.deep | default('x') }}
{{ params.missing | default(params.page) }}
{{ params.get('limit', 20) }}
{{ params.page is number and params.page > 1 }}
{% if 'admin' in user.roles %}all{% else %}own{% endif %}
{% if user.roles | select('equalto', 'admin') | list %}admin{% endif %}
{% if created.startswith('2024') and created.endswith('Z') %}utc{% endif %}
{{ ['a', user.manager, '', 'b'] | select | join('/') }}
{{ [base | trim('/'), 'x', user.id] | join('/') }}
{{ items | map(attribute='qty') | map('string') | join('+') }} = {{ items | map(attribute='qty') | sum }}
{{ items | tojson | length }}
{{ items | map('dictsort') | map('first') | list }}
{{ items[0] | dictsort }}
{{ items[0] | items | map('first') | join(',') }}
{{ items[0] | tojson | forceescape }}
{{ items[0].items() | list | length }}{{ items[0].meta | length }}
{% for i in items %}{{ loop.index }}. {{ i.title | striptags | wordcount }}w {% endfor %}
{{ user.roles }} {{ params }}
{{ user.id // 10 }}{{ user.id % 10 }}{{ user.id / 4 }}{{ user.id ** 2 }}
{{ range(params.page * 10, params.page * 10 + 3) | list }}
{{ user.name | urlencode | urlencode }}
curl -H 'X: {{ token }}' "{{ base }}{{ user.id }}"
{{ token | list | reverse | join | upper }}
{{ created | int }}{{ created[:4] | int }}{{ created[20:] | int(-1) }}
{{ user.id | string | length }}{{ (user.id | string).zfill(6) }}
{{ user.nope.x | default(user.name) | e }}
"""), **API)
each("api.lines", [
    "{\n  \"id\": {{ user.id }},\n  \"items\": [\n{%- for i in items %}\n    {{ i | tojson }}{{ \",\" if not loop.last else \"\" }}\n{%- endfor %}\n  ]\n}\n",
    "<order>\n{% for i in items %}\n  <line>{{ i.title | e }}</line>\n{% endfor %}\n</order>\n",
    "<order>\n{%- for i in items if i.qty > 0 %}\n  <line n=\"{{ loop.index }}\">{{ i.title | e }}</line>\n{%- else %}\n  <none/>\n{%- endfor %}\n</order>\n",
    "{% macro line(i) -%}\n  {{ i.sku }}: {{ i.qty }}\n{%- endmacro -%}\n{% for i in items %}\n{{ line(i) }}\n{%- endfor %}\n",
    "{%- set names = items | map(attribute='title') | list -%}\n{{ names | join('\\n') | indent(4, true) }}\n",
    "{# header #}\nHello {{ user.name }},\n\n{% if items %}\nYou have {{ items | length }} items.\n{% else %}\nNothing.\n{% endif %}\n\nBye\n",
    "{{ user | tojson(indent=2) | indent(2) }}\n",
    "body:\n{{ {'a': [1, {'b': none}]} | tojson(indent=2) | indent(2, true) }}\n",
    "---\nname: {{ user.name }}\nroles:\n{% for r in user.roles %}  - {{ r }}\n{% endfor %}",
    "{%- for k, v in params | dictsort %}\n{{ k | upper }}: {{ v }}\n{%- endfor %}\n\nbody\n",
    "{% filter indent(2, true) %}\n{% for i in items %}\n- {{ i.sku }}\n{% endfor %}\n{% endfilter %}",
    "{% set q %}\n  query {\n    user(id: {{ user.id }}) { name }\n  }\n{% endset %}\n{\"query\": {{ q | trim | tojson }}}\n",
    "| sku | qty |\n|---|---|\n{% for i in items -%}\n| {{ i.sku }} | {{ '%3d' | format(i.qty) }} |\n{% endfor %}",
    "{% for row in items | batch(2, none) %}\n{% for c in row %}{{ c.sku if c else '-' }} {% endfor %}\n{% endfor %}",
], **API)

# --- syntax errors -----------------------------------------------------------

each("syntax", [
    "{{", "{{ x", "{{ x }", "{% if x", "{% if x %}", "{% if x %}{% else %}", "{% if %}{% endif %}", "{% endif %}", "{% else %}", "{% elif x %}",
    "{% for %}{% endfor %}", "{% for i %}{% endfor %}", "{% for i in %}{% endfor %}", "{% for i in x %}", "{% endfor %}", "{% for i in x %}{% endif %}",
    "{% for 1 in x %}{% endfor %}", "{% for i.j in [1] %}{% endfor %}", "{% if x %}{% endfor %}", "{% nope %}", "{% %}", "{{ }}", "{{ x y }}", "{{ x | }}",
    "{{ | x }}", "{{ x | nope }}", "{{ x is nope }}", "{{ x is }}", "{{ (x }}", "{{ x) }}", "{{ [x }}", "{{ [x) }}", "{{ {x: 1 }}", "{{ {'a' 1} }}", "{{ {'a'} }}",
    "{{ 'x }}", "{{ \"x' }}", "{{ x. }}", "{{ x.'a' }}", "{{ x[ }}", "{{ x[] }}", "{{ 1 + }}", "{{ * 2 }}", "{{ 1 ++ }}", "{{ x ? 1 : 2 }}", "{{ a = 1 }}", "{{ x; }}",
    "{{ @x }}", "{{ $x }}", "{{ x & y }}", "{{ `x` }}", "{{ x! }}", "{{ not }}", "{{ x not y }}", "{{ x and }}", "{{ or x }}", "{{ if }}", "{{ for }}", "{{ 1abc }}", "{{ 1__0 }}", "{{ 0x }}",
    "{{ f(a=1, 2) }}", "{{ f(,) }}", "{{ f(1,,2) }}", "{{ f(**a, *b) }}", "{{ [1,,2] }}", "{{ lambda: 1 }}", "{{ [i for i in x] }}", "{{ x -> y }}",
    "{% set %}", "{% set x %}a", "{% endset %}", "{% with a = 1 %}", "{% endwith %}", "{% raw %}", "{% endraw %}", "{% macro f( %}{% endmacro %}", "{% macro f(a %}{% endmacro %}",
    "{% macro 1() %}{% endmacro %}", "{% macro f('a') %}{% endmacro %}", "{% filter %}{% endfilter %}", "{% if x %}{% else %}{% else %}{% endif %}", "{% if x %}{% else %}{% elif y %}{% endif %}",
    "{% for i in x %}{% else %}{% else %}{% endfor %}", "{% if x %}}", "{% if x }}{% endif %}", "{{ x %}", "{% set x = 1 }}", "{% if x = 1 %}{% endif %}", "{% if x == %}{% endif %}",
    "{% IF x %}{% endif %}", "{% end if %}", "{% unless x %}{% endunless %}", "{% while x %}{% endwhile %}", "{% if x %}\n{{ y }\n{% endif %}", "{% for i in x recursive if i %}{% endfor %}",
    "{{ x if }}", "{{ x else y }}", "{% if false %}{{ x | nope }}{% endif %}ok", "{% if false %}{{ x is nope }}{% endif %}ok", "{{ 'a' if false else 'b' | nope }}", "{{ true and x | nope }}",
    "{% if x is nope %}{% endif %}", "{% filter nope %}{% endfilter %}", "{% set x | nope %}{% endset %}",
    "{{ x", "{# x", "{{ x #}", "{{ None.x }}", "{{ true() }}", "{{ loop }}", "{{ \\x }}", "{{ 'a' 1 }}", "{{ ... }}", "{{ x... }}", "{{ x..y }}", "{{ :x }}",
], x="X")


# --- call and caller ----------------------------------------------------------

each("call", [
    "{% macro m(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call m('a') %}x{{ n }}{% endcall %}",
    "{% macro m(l) %}{% for i in l %}[{{ caller(i) }}]{% endfor %}{% endmacro %}{% call(i) m(ids) %}{{ i * 2 }}{% endcall %}",
    "{% macro m(l) %}{% for i in l %}{{ caller(i, sep=';') }}{% endfor %}{% endmacro %}{% call(i, sep=',') m(ids) %}{{ i }}{{ sep }}{% endcall %}",
    "{% macro m() %}{{ caller(1) }}{% endmacro %}{% call(i, j=7) m() %}{{ i }}-{{ j }}{% endcall %}",
    "{% macro m() %}{{ caller() if caller is defined else 'none' }}{% endmacro %}{{ m() }}{% call m() %}yes{% endcall %}",
    "{% macro m() %}no{% endmacro %}{% call m() %}x{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% set y = 3 %}{% call m() %}{{ y }}{% set y = 4 %}{{ y }}{% endcall %}{{ y }}",
    "{% macro o() %}({{ caller() }}){% endmacro %}{% macro i() %}<{{ caller() }}>{% endmacro %}{% call o() %}{% call i() %}x{% endcall %}{% endcall %}",
    "{% macro m(caller=none) %}{{ 'a' if caller is none else caller() }}{% endmacro %}{{ m() }}{% call m() %}b{% endcall %}",
    "{% macro m(x) %}{{ x }}{{ caller() | upper }}{% endmacro %}{% call m('q') %}low{% endcall %}",
    "{% macro m() %}{{ kwargs }}{{ varargs }}{{ caller() }}{% endmacro %}{% call m(1, a=2) %}z{% endcall %}",
    "{% for n in ids %}{% macro m() %}{{ n }}{{ caller() }}{% endmacro %}{% call m() %}!{% endcall %}{% endfor %}",
    "{% macro m() %}{{ caller(1) }}{% endmacro %}{% call m() %}x{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% call(a) m() %}{{ a }}{% endcall %}",
    "{% macro m() -%}  {{ caller() }}  {%- endmacro %}{%- call m() -%}  t  {%- endcall -%}  .",
    "{% call nope() %}x{% endcall %}",
    "{% macro rec(n) %}{{ n }}{% if n > 0 %}{{ rec(n - 1) }}{% endif %}{{ caller() if caller is defined }}{% endmacro %}{% call rec(3) %}#{% endcall %}",
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{{ caller() }}{% endmacro %}{% call m(b=5, a=1) %}k{% endcall %}",
    "{% macro m() %}{{ caller }}{% endmacro %}{% set t %}{% macro k() %}{{ caller() }}{% endmacro %}{% call k() %}in{% endcall %}{% endset %}{{ t | upper }}",
    "{% filter upper %}{% macro k() %}{{ caller() }}{% endmacro %}{% call k() %}in{% endcall %}{% endfilter %}",
], ids=[1, 2, 3], n=5)

# --- output ------------------------------------------------------------------

def main():
    # Some templates index numbers on purpose; Python warns about it.
    warnings.simplefilter("ignore")
    here = os.path.dirname(os.path.abspath(__file__))
    seen = set()
    count = collections.Counter()
    errors = collections.Counter()
    out = []
    for group, template, context in CASES:
        data = json.dumps(context, ensure_ascii=True, allow_nan=False)
        key = (template, data)
        if key in seen:
            continue
        seen.add(key)
        case = {"group": group, "template": template, "context": context}
        try:
            # The reader gets the context from JSON, so it is rendered from JSON.
            want = ENV.from_string(template).render(json.loads(data))
        except Exception:
            case["error"] = True
        else:
            if any(part in want for part in UNSTABLE):
                continue
            case["want"] = str(want)
        count[group] += 1
        errors[group] += "error" in case
        case = dict(id="%s-%03d" % (group, count[group]), **case)
        out.append(json.dumps(case, ensure_ascii=True, allow_nan=False))
    with open(os.path.join(here, "cases.jsonl"), "w", encoding="ascii", newline="\n") as file:
        file.write("\n".join(out) + "\n")
    for group in sorted(count):
        print("%-24s %4d cases, %3d errors" % (group, count[group], errors[group]))
    print("%-24s %4d cases, %3d errors" % ("total", len(out), sum(errors.values())))


if __name__ == "__main__":
    main()
