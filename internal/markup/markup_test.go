package markup_test

import (
	"bytes"
	"fmt"
	htmltemplate "html/template"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/qarion/qarion/internal/markup"
)

type inner struct{ Name string }

type page struct {
	inner
	Title  string
	Count  int
	Size   int64
	Took   float64
	On     bool
	Next   *page
	List   []inner
	States map[string]int
	Any    any
}

var funcs = markup.Funcs{
	"upper": markup.Func1(strings.ToUpper),
	"times": markup.Func2(func(n int, word string) string { return strings.Repeat(word, n) }),
}

var data = page{
	inner: inner{"in"}, Title: `<b>"T" & 'U'</b>`, Count: 2, Size: 3, Took: 1.5, On: true, Next: &page{Title: "next"},
	List: []inner{{"a"}, {"b"}}, States: map[string]int{"y": 2, "x": 1}, Any: "any",
}

func render(t *testing.T, text string, data any) string {
	t.Helper()
	s := markup.New(funcs)
	if err := s.Add("main", text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var out bytes.Buffer
	if err := s.Render(&out, "main", data); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out.String()
}

// TestRender_IsWhatHTMLTemplateMakes: what the language has is written as
// html/template writes it.
func TestRender_IsWhatHTMLTemplateMakes(t *testing.T) {
	for _, text := range []string{
		`{{.Title}}`, `<p class="x {{.Title}}">{{.Name}}</p>`, `{{if .On}}on{{else}}off{{end}}`, `{{if not .On}}on{{else if eq .Count 2}}two{{end}}`,
		`{{with .Next}}{{.Title}}{{.Name}}{{end}}{{with .Next.Next}}none{{else}}nil{{end}}`, `{{range .List}}<i>{{.Name}}</i>{{end}}`,
		`{{range $i, $x := .List}}{{if $i}}, {{end}}{{$x.Name}}{{end}}`, `{{range $k, $v := .States}}{{$k}}={{$v}} {{end}}`, `{{range .Next.List}}{{.}}{{else}}none{{end}}`,
		`{{$n := .Count}}{{$n = 7}}{{$n}}`, `{{$n := 1}}{{if .On}}{{$n = 2}}{{$n := 3}}{{end}}{{$n}}`, `{{define "part"}}[{{.}}{{$}}]{{end}}{{template "part" .Title}}{{template "part" .Count}}`,
		`{{len .List}} {{len .Title}} {{print .Count .Title}} {{printf "%.1f" .Took}}`, `{{and .On .Count}} {{or .Next.Count .Count}} {{or .Next.On .Next.Count}}`,
		`{{eq .Count 2}}{{ne .Title "x"}}{{lt .Size 4}}{{gt .Took 1.0}}{{ge .Count 2}}`, `{{.Any}} {{.Took}} {{.On}}`, `<!doctype html><title>{{.Title}}</title><textarea>{{.Title}}</textarea>`,
		`<option{{if .On}} selected{{end}}>{{.Name}}</option>`, `<body{{if .Next.On}} data-live{{end}} data-x="{{.Title}}">`, `<br/>{{.Name}}<a href="/x?q={{.Title}}">x</a>`,
		`<a href="/runs/{{.Name}}{{if .On}}?q={{.Title}}{{end}}">x</a>`, `{{/* nothing */}}{{- .Name -}}  !`, `{{with $x := .Next}}{{$x.Title}}{{end}}`,
	} {
		var want bytes.Buffer
		made, err := htmltemplate.New("main").Funcs(htmltemplate.FuncMap{"upper": strings.ToUpper}).Parse(text)
		if err == nil {
			err = made.Execute(&want, data)
		}
		if err != nil {
			t.Fatalf("html/template: %s: %v", text, err)
		}
		if got := render(t, text, data); !strings.EqualFold(got, want.String()) { // %3C or %3c
			t.Errorf("%s\n got %s\nwant %s", text, got, want.String())
		}
	}
	if got := render(t, `{{upper .Name}} {{times .Count "ab"}} {{upper (print .Name "x")}}`, data); got != "IN abab INX" {
		t.Errorf("functions give %q", got)
	}
}

// TestAdd_RefusesWhatCannotBeEscaped names the place.
func TestAdd_RefusesWhatCannotBeEscaped(t *testing.T) {
	for text, says := range map[string]string{
		`<script>var x = {{.}}</script>`:                   "in <script>",
		`<style>p { color: {{.}} }</style>`:                "in <style>",
		`<p onclick="{{.}}">`:                              "onclick, which browsers run",
		`<p ONCLICK="f({{.}})">`:                           "onclick, which browsers run",
		`<p style="color: {{.}}">`:                         "style, which browsers run",
		`<iframe srcdoc="{{.}}">`:                          "srcdoc",
		`<p class={{.}}>`:                                  "outside of a quoted value",
		`<p class=a{{.}}>`:                                 "outside of a quoted value",
		`<p {{.}}>`:                                        "outside of a quoted value",
		`<p {{.}}="x">`:                                    "outside of a quoted value",
		`<p da{{.}}="x">`:                                  "outside of a quoted value",
		`<{{.}}>`:                                          "a < ends the text",
		`<p{{.}}>`:                                         "outside of a quoted value",
		`<!-- {{.}} -->`:                                   "in a comment",
		`<p class="{{.}}`:                                  `ends in the value of class`,
		`<p{{if .}} class="a{{end}}">`:                     "one way ends",
		`<p{{if .}} on{{end}}click="{{.}}">`:               "follows a condition",
		`<p{{if .}} a{{end}}="{{.}}">`:                     "follows a condition",
		`<a href="{{if .}}/x{{end}}{{.}}">`:                "one way ends",
		`<p class="{{range .}}a"{{end}}>`:                  "a repeated part",
		`<p title="{{template "main" .}}">`:                "a template is used",
		`{{if .}}<script>{{end}}x`:                         "one way ends",
		`{{. | print}}`:                                    "no pipes",
		`{{.Method 1}}`:                                    "only functions take arguments",
		`{{nothing .}}`:                                    "not defined",
		"one\n<p class={{.}}>":                             "main:2:",
		`<textarea>{{.}}</textarea><script>{{.}}</script>`: "in <script>",
		`<SCRIPT>{{.}}</SCRIPT>`:                           "in <script>",
		`<title></title><sc{{if .}}x{{end}}ript>{{.}}</script>`: "",
	} {
		err := markup.New(nil).Add("main", text)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

// TestRender_SaysWhatIsWrong: a template that does not fit its data ends with a
// line, not with half a page.
func TestRender_SaysWhatIsWrong(t *testing.T) {
	for text, says := range map[string]string{
		`{{.Nothing}}`: "no field Nothing", `{{.Title.Name}}`: "no field Name", `{{range .Count}}{{end}}`: "cannot be gone through",
		`{{template "none"}}`: `no template "none"`, `{{eq .Title 1}}`: "cannot be compared", `{{upper .Count}}`: "is given for a string",
		`{{upper .Name .Name}}`: "2 arguments", `{{len .Count}}`: "no length", `{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`: "uses itself",
		`{{.Next.Next.Title}}`: "nothing has no field",
	} {
		s := markup.New(funcs)
		if err := s.Add("main", text); err != nil {
			t.Fatal(err)
		}
		if err := s.Render(new(bytes.Buffer), "main", data); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

// TestAddresses lead to the same site or nowhere.
func TestAddresses(t *testing.T) {
	for value, want := range map[string]string{
		"/runs?a=b&c=d": "/runs?a=b&amp;c=d", "#x": "#x", "?q=1": "?q=1", "": "",
		"javascript:alert(1)": markup.Refused, "JAVASCRIPT:x": markup.Refused, "//evil.example/": markup.Refused, `/\evil.example`: markup.Refused, "\tjavascript:x": markup.Refused,
		" javascript:x": markup.Refused, "https://evil.example": markup.Refused, "data:text/html,x": markup.Refused, "/\t/evil.example": markup.Refused, "runs": markup.Refused,
		`/x" onclick="y`: "/x%22%20onclick=%22y", "/ü": "/%C3%BC", "/%2F": "/%2F",
	} {
		if got := render(t, `<a href="{{.}}">`, value); got != `<a href="`+want+`">` {
			t.Errorf("%q becomes %s, want %s", value, got, want)
		}
	}
	for value, want := range map[string]string{"a/b": "a%2Fb", "a b?c#d": "a%20b%3Fc%23d", `"><x`: "%22%3E%3Cx"} {
		if got := render(t, `<a href="/runs/{{.}}">`, value); got != `<a href="/runs/`+want+`">` {
			t.Errorf("%q in a path becomes %s, want %s", value, got, want)
		}
	}
	if got := render(t, `<a href="/runs?q={{.}}&amp;x={{.}}#{{.}}">`, "a&b=c +d"); got != `<a href="/runs?q=a%26b%3Dc%20%2Bd&amp;x=a%26b%3Dc%20%2Bd#a%26b%3Dc%20%2Bd">` {
		t.Errorf("in a query: %s", got)
	}
}

// places is a template with a value wherever one may stand.
const places = `<!doctype html><title>{{.}}</title><body{{if .}} data-live{{end}} class="a {{.}}" title='{{.}}'><p id="{{.}}">{{.}}</p><textarea>{{.}}</textarea>` +
	`<a href="{{.}}">{{.}}</a><a href="/x/{{.}}?q={{.}}#{{.}}">x</a><form action="{{.}}"><input value="{{.}}"></form><svg><title>{{.}}</title><a href="/{{.}}"><text>{{.}}</text></a></svg>`

// shape is a page without its texts and the values of its attributes; and the
// addresses in it.
func shape(t *testing.T, page string) (shape string, addresses []string) {
	var out strings.Builder
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		fmt.Fprintf(&out, "<%s", n.Data)
		for _, a := range n.Attr {
			fmt.Fprintf(&out, " %s", a.Key)
			if a.Key == "href" || a.Key == "action" {
				addresses = append(addresses, a.Val)
			}
		}
		out.WriteString(">")
	}
	return out.String(), addresses
}

// FuzzRender: whatever a value is, the page keeps its shape, and no address leads
// elsewhere.
func FuzzRender(f *testing.F) {
	for _, seed := range []string{
		"x", `"><script>alert(1)</script>`, `' onmouseover='x`, "</title><script>x</script>", "</textarea><img src=x>", "javascript:alert(1)", "//evil.example", "a\x00b", "&lt;", "\xff\xfe", "<!--", "]]>",
		"/../..//x", "{{.}}", "\u2028", "<svg onload=x>", "/ok?x=1", "\r\n",
	} {
		f.Add(seed)
	}
	s := markup.New(nil)
	if err := s.Add("main", places); err != nil {
		f.Fatal(err)
	}
	page := func(t *testing.T, value string) string {
		var out bytes.Buffer
		if err := s.Render(&out, "main", value); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	f.Fuzz(func(t *testing.T, value string) {
		if value == "" { // an attribute less
			return
		}
		want, _ := shape(t, page(t, "x"))
		got, addresses := shape(t, page(t, value))
		if got != want {
			t.Fatalf("%q makes\n%s\nof\n%s", value, got, want)
		}
		for _, a := range addresses {
			if a != "" && !strings.ContainsRune("/?#", rune(a[0])) || strings.HasPrefix(a, "//") || strings.HasPrefix(a, `/\`) {
				t.Fatalf("%q makes the address %q", value, a)
			}
		}
	})
}
