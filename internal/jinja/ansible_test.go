package jinja_test

import (
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// The filters that Jinja2 does not have. What they give is what Ansible's
// documentation shows, what Python's hashlib, hmac, shlex and uuid give, and
// the test vectors of RFC 4231 and RFC 4648.
func TestBeyondJinja2_Filters(t *testing.T) {
	for source, want := range map[string]string{
		`{{ '{"a": 1.50, "b": [1e400]}' | from_json }}`:                                                 `{'a': 1.50, 'b': [1e400]}`,
		`{{ ('{"a": {"b": 7}}' | from_json).a.b + 1 }}`:                                                 `8`,
		`{{ 'foobar' | regex_search('(foo)(bar)') }}`:                                                   `foobar`,
		`{{ 'server1/database42' | regex_search('database[0-9]+') }}`:                                   `database42`,
		`{{ 'server1/database42' | regex_search('(\\w+)/(\\w+)', '\\1', '\\2') }}`:                      `['server1', 'database42']`,
		`{{ 'a1' | regex_search('(?P<n>\\d)', '\\g<n>') }}`:                                             `['1']`,
		`{{ 'FOO' | regex_search('foo', ignorecase=true) }}`:                                            `FOO`,
		`{{ 'x' | regex_search('y') is none }}`:                                                         `True`,
		`{{ 'ansible' | regex_replace('^a.*i(.*)$', 'a\\1') }}`:                                         `able`,
		`{{ 'localhost:80' | regex_replace('^(?P<host>.+):(?P<port>\\d+)$', '\\g<host>, \\g<port>') }}`: `localhost, 80`,
		`{{ 'cost $5' | regex_replace('\\$', '$$1') }}`:                                                 `cost $$15`,
		`{{ 'a.b.c' | regex_replace('\\.', '\\\\') }}`:                                                  `a\b\c`,
		`{{ 'CAR\ntar\nfoo\nbar\n' | regex_findall('^.ar$', multiline=true, ignorecase=true) }}`:        `['CAR', 'tar', 'bar']`,
		`{{ 'a=1, b=2' | regex_findall('(\\w)=(\\d)') }}`:                                               `[['a', '1'], ['b', '2']]`,
		`{{ {'a': 1, 'b': 2} | combine({'b': 3}) }}`:                                                    `{'a': 1, 'b': 3}`,
		`{{ {'a': {'x': 1, 'y': 2}} | combine({'a': {'y': 3}}, recursive=true) }}`:                      `{'a': {'x': 1, 'y': 3}}`,
		`{{ {'a': {'x': 1}} | combine({'a': {'y': 3}}, {'b': 4}) }}`:                                    `{'a': {'y': 3}, 'b': 4}`,
		`{{ {'a': 1} | dict2items }}`:                                                                   `[{'key': 'a', 'value': 1}]`,
		`{{ {'a': 1} | dict2items(key_name='file', value_name='path') }}`:                               `[{'file': 'a', 'path': 1}]`,
		`{{ [{'key': 'a', 'value': 1}] | items2dict }}`:                                                 `{'a': 1}`,
		`{{ [1, 2, 3] | zip(['a', 'b']) | list }}`:                                                      `[(1, 'a'), (2, 'b')]`,
		`{{ [3, [4, 2]] | flatten }}{{ [3, [4, [2]]] | flatten(levels=1) }}`:                            `[3, 4, 2][3, 4, [2]]`,
		`{{ true | ternary('a', 'b') }}{{ 0 | ternary('a', 'b') }}{{ none | ternary('a', 'b', 'c') }}`:  `abc`,
		`{{ 'foobar' | b64encode }}{{ 'Zm9vYmE=' | b64decode }}{{ 'Zm9vYmE' | b64decode }}`:             `Zm9vYmFyfoobafooba`,
		`{{ 'test1' | hash('sha1') }}`:                                                                  `b444ac06613fc8d63795be9ad0beaf55011936ac`,
		`{{ 'abc' | sha256 }}`:                                                                          `ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad`,
		`{{ '' | md5 }}`:                                                                                `d41d8cd98f00b204e9800998ecf8427e`,
		`{{ 'what do ya want for nothing?' | hmac_sha256('Jefe') }}`:                                    `5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843`,
		`{{ 'what do ya want for nothing?' | hmac_sha256('Jefe', encoding='base64') }}`:                 `W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=`,
		`{{ uuid5('dns', 'python.org') }}`:                                                              `886313e1-3b8a-5372-9b90-0c9aee199e5d`,
		`{{ 'python.org' | uuid5('6ba7b810-9dad-11d1-80b4-00c04fd430c8') }}`:                            `886313e1-3b8a-5372-9b90-0c9aee199e5d`,
		`{{ "it's" | quote }} {{ 'a/b-c' | quote }} {{ '' | quote }}`:                                   `'it'"'"'s' a/b-c ''`,
	} {
		r, err := made(t, source)
		if err != nil || r.Value != want {
			t.Errorf("%s: %v, %v, want %s", source, r.Value, err, want)
		}
	}
}

func TestBeyondJinja2_MistakesAreErrorsWithoutData(t *testing.T) {
	for source, want := range map[string]string{
		`{{ 'hush{' | from_json }}`:                    "the text is not JSON",
		`{{ 'x' | regex_search('(') }}`:                "the expression cannot be used (the syntax is that of RE2: no look-around, no back references)",
		`{{ 'x' | regex_search('(x)', '\\2') }}`:       "the expression has no such group",
		`{{ 'hush!' | b64decode }}`:                    "the text is not base64",
		`{{ 'x' | hash('crc') }}`:                      "knows no function",
		`{{ [1] | combine({}) }}`:                      "takes mappings, got a list",
		`{{ {'a': 1} | items2dict }}`:                  "takes a list of mappings",
		`{{ 'x' | uuid5('nowhere') }}`:                 "the name space is a UUID, or one of dns, url, oid, x500",
		`{{ 'x' | hmac_sha256('k', encoding='b62') }}`: "encoding is hex or base64",
	} {
		_, err := made(t, source)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}

// What is computed with a secret is secret; its fingerprint is not.
func TestBeyondJinja2_SecretsKeepTheirMark(t *testing.T) {
	for source, secret := range map[string]bool{
		"{{ 'body' | hmac_sha256(secret) }}": true, "{{ secret | b64encode }}": true, "{{ secret | b64encode | b64decode }}": true,
		"{{ secret | regex_replace('u', 'o') }}": true, "{{ secret | quote }}": true, "{{ {'a': secret} | combine({}) }}": true,
		"{{ ['x'] | zip([secret]) | list }}": true, "{{ secret | sha256 }}": false, "{{ secret | hash('sha512') }}": false, "{{ 'x' | sha256 }}": false,
	} {
		r, err := made(t, source)
		if err != nil || r.Origin&value.Secret != 0 != secret {
			t.Errorf("%s: origin %b, %v, want the mark: %t", source, r.Origin, err, secret)
		}
	}
}

func TestBeyondJinja2_AttacksAreErrors(t *testing.T) {
	long := strings.Repeat("a", 1<<20)
	for name, source := range map[string]string{
		"a replacement that grows": "{{ long | regex_replace('a', 'b' * 1000) }}",
		"a long expression":        "{{ 'x' | regex_search('a' * 100000) }}",
		"nested repetition":        "{{ 'x' | regex_search('((a{100}){100}){100}') }}",
		"many matches, many times": "{% for i in range(100000) %}{{ (long | regex_findall('a') | length) }}{% endfor %}",
		"mappings that nest":       "{% set n = namespace(m={}) %}{% for i in range(1000) %}{% set n.m = {'a': n.m} %}{% endfor %}{{ n.m | combine(n.m, recursive=true) }}",
		"a list within itself":     "{% set l = [] %}{% do l.extend([l, l]) %}{{ l | flatten }}",
		"hashing without end":      "{% for i in range(1000000) %}{{ long | sha256 | length }}{% endfor %}",
		"JSON that nests":          "{{ ('[' * 100000) | from_json }}",
		"zip of what has no end":   "{% for i in range(100000) %}{% set x = range(900000) | zip(range(900000)) | list %}{% endfor %}",
		"base64 of very much":      "{{ (long * 16) | b64encode | b64encode }}",
	} {
		tpl, err := jinja.Parse("f", source)
		if err != nil {
			continue
		}
		if _, err := tpl.Text(t.Context(), jinja.MapVars{"long": {Value: long}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
