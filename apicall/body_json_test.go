package apicall_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// TestJSONText_IsFilledByPlace goes through what may stand where in a body that
// is JSON text with templates.
func TestJSONText_IsFilledByPlace(t *testing.T) {
	hostile := "he said \"hi\",\n\"admin\": true\\ \u2028 é"
	data := map[engine.TaskID]any{"up": value.MapOf("text", hostile, "n", int64(7), "zip", "01234", "no", nil, "yes", true,
		"list", []any{int64(1), "b\"c"}, "map", value.MapOf("k", "v\"w"), "big", value.Number("12345678901234567890.50"))}
	for name, c := range map[string]struct{ body, want string }{
		"in quotes":             {`{"m": "{{ xcom_up.text }}"}`, `{"m": "he said \"hi\",\n\"admin\": true\\   é"}`},
		"within a text":         {`{"m": "a {{ xcom_up.text }} z"}`, `{"m": "a he said \"hi\",\n\"admin\": true\\   é z"}`},
		"text outside":          {`{"m": {{ xcom_up.text }}}`, `{"m": "he said \"hi\",\n\"admin\": true\\   é"}`},
		"digits as text":        {`{"zip": {{ xcom_up.zip }}}`, `{"zip": "01234"}`},
		"tojson outside":        {`{"l": {{ xcom_up.list | tojson }} }`, `{"l": [1, "b\"c"] }`},
		"a list outside":        {`{"l": {{ xcom_up.list }} }`, `{"l": [1,"b\"c"] }`},
		"a map in quotes":       {`{"m": "{{ xcom_up.map }}"}`, `{"m": "{\"k\":\"v\\\"w\"}"}`},
		"a number":              {`{"n": {{ xcom_up.n }}, "t": "{{ xcom_up.n }}"}`, `{"n": 7, "t": "7"}`},
		"a number's own text":   {`[{{ xcom_up.big }}]`, `[12345678901234567890.50]`},
		"flags and null":        {`[{{ xcom_up.yes }}, {{ xcom_up.no }}, "{{ xcom_up.yes }}", "{{ xcom_up.no }}"]`, `[true, null, "true", ""]`},
		"a key in quotes":       {`{"{{ xcom_up.map.k }}": 1}`, `{"v\"w": 1}`},
		"a key outside":         {`{ {{ xcom_up.zip }}: 1}`, `{ "01234": 1}`},
		"alone":                 {`{{ xcom_up.text }}`, `"he said \"hi\",\n\"admin\": true\\   é"`},
		"alone with tojson":     {`{{ xcom_up.map | tojson }}`, `{"k": "v\"w"}`},
		"with space":            {"\n  {{ xcom_up.map }}\n", "\n  {\"k\":\"v\\\"w\"}"},
		"a loop":                {`[{% for e in xcom_up.list %}{{ e }}{{ "," if not loop.last }}{% endfor %}]`, `[1,"b\"c"]`},
		"a joiner":              {`[{% set comma = joiner(",") %}{% for e in xcom_up.list %}{{ comma() }}"{{ e }}"{% endfor %}]`, `["1","b\"c"]`},
		"a macro":               {`{% macro item(v) %}{"v": "{{ v }}"}{% endmacro %}[{{ item(xcom_up.zip) }}, {{ item(xcom_up.list[1]) }}]`, `[{"v": "01234"}, {"v": "b\"c"}]`},
		"call and caller":       {`{% macro wrap() %}{"w": {{ caller() }}}{% endmacro %}{% call wrap() %}["{{ xcom_up.list[1] }}"]{% endcall %}`, `{"w": ["b\"c"]}`},
		"a recursive loop":      {`{% for e in [[1, ['b"c']]] recursive %}{% if e is string or e is number %}{{ e }}{% else %}[{{ loop(e) }}]{% endif %}{{ "," if not loop.last }}{% endfor %}`, `[1,["b\"c"]]`},
		"text of the template":  {`{"unit": {{ "kg" if xcom_up.yes else "lb" }}}`, `{"unit": "kg"}`},
		"escapes of the author": {`{"a": "\u00e9\\{{ xcom_up.zip }}\n"}`, `{"a": "\u00e9\\01234\n"}`},
		"conditions":            {`{"a": 1{% if xcom_up.yes %}, "b": "{{ xcom_up.zip }}"{% endif %}}`, `{"a": 1, "b": "01234"}`},
		"parsed first":          {`{% set part %}{"z": {{ xcom_up.n }}}{% endset %}{"p": {{ part | from_json }}}`, `{"p": {"z":7}}`},
	} {
		t.Run(name, func(t *testing.T) {
			s, got := recorder(t)
			out := callIn(t, &engine.Flow{ID: "f"}, value.MapOf("url", s.URL, "operation", "post", "body", c.body), data)
			if out.Err != nil {
				t.Fatal(out.Err.Message)
			}
			if got.body != c.want {
				t.Errorf("sent %s\nwant %s", got.body, c.want)
			}
		})
	}
}

// TestJSONText_RefusesWhatIsNoJSON: what only shows with data fails before
// anything is sent.
func TestJSONText_RefusesWhatIsNoJSON(t *testing.T) {
	data := map[engine.TaskID]any{"up": value.MapOf("a", int64(1), "b", int64(2), "list", []any{int64(1), int64(2)}, "t", `x", "admin": "1`, "comma", ",")}
	for name, c := range map[string]struct{ body, want string }{
		"two values beside each other": {`[{% for e in xcom_up.list %}{{ e }}{% endfor %}]`, "put both into quotes"},
		"a digit beside a value":       {`[{% if true %}1{{ xcom_up.a }}{% endif %}]`, "put both into quotes"},
		"a value beside a digit":       {`[{% if true %}{{ xcom_up.a }}0{% endif %}]`, "put both into quotes"},
		"a comma too many":             {`[{% for e in xcom_up.list %}{{ e }},{% endfor %}]`, "is not JSON: ']' at offset 5"},
		"a comma made of data":         {`[1{% if true %}{{ xcom_up.comma }}{% endif %}2]`, "put both into quotes"},
		"a number as a key":            {`{ {% if true %}{{ xcom_up.a }}{% endif %}: 1}`, "is not JSON: '1' at offset 2"},
		"marked as safe":               {`{"a": {{ xcom_up.t | safe }}}`, "what {{ }} gives as JSON is none"},
		"behind a backslash":           {`{"a": "{% if true %}\{{ xcom_up.t }}{% endif %}"}`, "a backslash stands before {{"},
	} {
		t.Run(name, func(t *testing.T) {
			s, got := recorder(t)
			out := callIn(t, &engine.Flow{ID: "f"}, value.MapOf("url", s.URL, "operation", "post", "body", c.body), data)
			if out.Err == nil || out.Err.Class != "template" || !strings.Contains(out.Err.Message, c.want) || got.method != "" {
				t.Errorf("got %+v, sent %q; want %q", out.Err, got.body, c.want)
			}
		})
	}
}

// TestJSONText_IsCheckedAtLoad: a text that no data can make JSON is an error of
// the file, with its place.
func TestJSONText_IsCheckedAtLoad(t *testing.T) {
	kind, err := apicall.New(apicall.Config{Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		`{"a": {{ v }}, "b" 1}`:                        `body is a string that is not JSON: '1' at column 20 of it; use a table, or body_format = "raw"`,
		"{\n \"a\": {{ v }},\n}":                       `body is a string that is not JSON: '}' at line 3, column 1 of it; use a table, or body_format = "raw"`,
		`{'a': {{ v }}}`:                               `body is a string that is not JSON: '\'' at column 2 of it; use a table, or body_format = "raw"`,
		`{"a": {{ v }}`:                                `body is a string that is not JSON: unexpected end of JSON; use a table, or body_format = "raw"`,
		`{"a": "{{ v }}}`:                              `body is a string that is not JSON: unexpected end of JSON; use a table, or body_format = "raw"`,
		`{"a": {{ v }}{{ w }}}`:                        `body is a string that is not JSON: {{ }} stands right beside other text at column 7 of it; use a table, or body_format = "raw"`,
		`{"a": 1{{ v }}}`:                              `body is a string that is not JSON: {{ }} stands right beside other text at column 8 of it; use a table, or body_format = "raw"`,
		`{"a": {{ v }}0}`:                              `body is a string that is not JSON: text stands right beside {{ }} at column 14 of it; use a table, or body_format = "raw"`,
		`{"é": "\x{{ v }}"}`:                           `body is a string that is not JSON: 'x' at column 9 of it; use a table, or body_format = "raw"`,
		`Hello {{ v }}`:                                `body is a string that is not JSON: 'H' at column 1 of it; use a table, or body_format = "raw"`,
		`{% set p %}[{{ v }}]{% endset %}{"p": {{p}}}`: `body: p is text that {% set %} has made: write {{ p | from_json }}, or its text where it is used`,
		`{"a": "{{ v | tojson }}"}`:                    `warning: what stands in quotes in body is escaped there: leave out the quotes, or the filter tojson`,
		`{"a": {{ v | tojson }}, "b": "{{ w }}"}`:      ``,
		`{% if v %}Hello{% endif %}`:                   ``, // depends on data
	} {
		flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: apicall.Name, Properties: value.MapOf(
			"url", "https://a.example/", "operation", "post", "idempotency_key", true, "body", body)}}}
		_, problems := kind.Prepare(flow, &flow.Tasks[0])
		got := ""
		for _, p := range problems {
			if p.Warning {
				got += "warning: "
			}
			got += p.Message
		}
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", body, got, want)
		}
	}
}

// FuzzJSONText puts any text into holes of every kind: the body parses to what
// was put in, and holds nothing else.
func FuzzJSONText(f *testing.F) {
	for _, s := range []string{"", "a", `"`, `\`, `\"`, "\n", "\x00", "é", "\u2028", `", "admin": true, "x": "`, "{{ v }}", "{% if %}", ",", "}", "12", "null"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return // text is UTF-8 from the moment it is read
		}
		server, got := recorder(t)
		body := `{"q": "{{ xcom_up }}", "mid": "<{{ xcom_up }}>", "v": {{ xcom_up }}, "j": {{ xcom_up | tojson }}, "l": [{% for e in [xcom_up, xcom_up] %}"{{ e }}"{{ ", " if not loop.last }}{% endfor %}],
			"{{ 'k' ~ xcom_up }}": {% macro m(v) %}{"in": "{{ v }}"}{% endmacro %}{{ m(xcom_up) }}}`
		out := callIn(t, &engine.Flow{ID: "f"}, value.MapOf("url", server.URL, "operation", "post", "body", body), map[engine.TaskID]any{"up": s})
		if out.Err != nil {
			t.Fatalf("%q: %s", s, out.Err.Message)
		}
		v, err := value.ParseJSON([]byte(got.body))
		if err != nil {
			t.Fatalf("%q makes %s: %v", s, got.body, err)
		}
		want := value.MapOf("q", s, "mid", "<"+s+">", "v", s, "j", s, "l", []any{s, s}, "k"+s, value.MapOf("in", s))
		a, _ := value.JSON(v)
		b, _ := value.JSON(want)
		if string(a) != string(b) {
			t.Fatalf("%q arrives as %s", s, a)
		}
	})
}
