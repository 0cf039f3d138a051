package curl

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSplit_AsTheShellsDo(t *testing.T) {
	for line, want := range map[string][]string{
		`curl 'a b' "c d" e\ f g`:            {"curl", "a b", "c d", "e f", "g"},
		"curl \\\n  -H 'x: y' \\\r\n  z\n":   {"curl", "-H", "x: y", "z"},
		`curl 'it'\''s' "a\"b\\c\$d" "e\fg"`: {"curl", "it's", `a"b\c$d`, `e\fg`},
		`curl $'a\nb\t\'\\\x41\u00e9\u{' ''`: nil, // \u{ is no escape
		`curl $'a\nb\t\'\\\x41\u00e9\101'`:   {"curl", "a\nb\t'\\A\u00e9A"},
		`curl $'\ud83d\ude00!'`:              {"curl", "\U0001f600!"},
		`curl -d "" ''`:                      {"curl", "-d", "", ""},
		`curl "${TOKEN}x" $A_1 "cost $5 $"`:  {"curl", Variable("TOKEN") + "x", Variable("A_1"), "cost $5 $"},
		"# a comment\ncurl x # another\n":    {"curl", "x"},
		"curl ^\"https://a.example/?a=1^&b=2^\" ^\n  -H ^\"x: ^%^y^\" ^\n  --data-raw ^\"^{^\\^\"k^\\^\":^\\^\"v $1^\\^\"^}^\"": {"curl", "https://a.example/?a=1&b=2", "-H", "x: %y", "--data-raw", `{"k":"v $1"}`},
		"curl ^\"a^\" ^\r\n -d ^\"one^\n\ntwo^\"": {"curl", "a", "-d", "one\ntwo"},
		`curl 'x' ;`: {"curl", "x"},
	} {
		got, err := split(line)
		if want == nil {
			if err == nil {
				t.Errorf("%s: %q", line, got)
			}
			continue
		}
		if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%s\ngot  %q, %v\nwant %q", line, got, err, want)
		}
	}
	for line, want := range map[string]string{
		"curl 'a":                              "a quote ' is not closed",
		`curl "a`:                              `a quote " is not closed`,
		`curl $'a`:                             "a quote $' is not closed",
		"curl $(cat x)":                        "a command of its own in it: $(...)",
		"curl `cat x`":                         "a command of its own in it: `...`",
		"curl a | jq .":                        `there is more: "|"`,
		"curl a\ncurl b":                       `there is more: "\n"`,
		"curl a && curl b":                     `there is more: "&"`,
		`curl "${A:-b}"`:                       "more than the name of a variable",
		"curl \x00":                            "a NUL",
		"curl " + strings.Repeat("x", maxLine): "at most",
	} {
		if got, err := split(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %.60q, %v, want %s", line, got, err, want)
		}
	}
}

func TestParse_Refuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"wget x":                         `this is no curl command: it begins with "wget"`,
		"":                               "it begins with nothing",
		"curl":                           "the command has no address",
		"curl a b":                       "the command has 2 addresses",
		"curl a --next b":                "--next: the command makes several requests",
		"curl a -H":                      "-H needs a value behind it",
		"curl a -H x":                    `-H: a header is written as "Name: value"`,
		"curl a --frobnicate":            "curl has no option --frobnicate that is known here",
		"curl a -&":                      "there is more",
		"curl a -W":                      "curl has no option -W that is known here",
		"curl a -d @missing":             "-d: the file missing cannot be read here",
		"curl a -d @../../../etc/passwd": "-d: the file ../../../etc/passwd cannot be read here",
		"curl a -d @large":               "at most 262144 fit into a flow",
		"curl a -d @-":                   "standard input",
		"curl a --ntlm -u a:b":           "--ntlm: NTLM is no authentication",
		"curl a -F x":                    "-F: a part is written as name=value",
	} {
		if _, err := Parse(line, dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

// FuzzParse: no command line makes it panic, hang or read what is outside.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`curl -d 'a=1' x`, `curl $'\x41'`, `curl ^"a^"`, `curl -F "a=@b;type=c" x`, `curl "$A"`, `curl -sSLk -X POST x`} {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, line string) {
		if r, err := Parse(line, dir); err == nil && r.URL == "" {
			t.Errorf("%q has no address", line)
		}
	})
}
