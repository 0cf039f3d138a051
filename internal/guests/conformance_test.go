package guests

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/qarion/qarion/wasmhooks"
)

// row is one call and what every language has to answer. Documents are
// compared as JSON, bodies byte for byte.
type row struct {
	name, hook string
	config     string // JSON; empty: none
	secrets    string // JSON; empty: none
	body       string

	verdict string // JSON: the response is not as it should be
	failure string // JSON: the hook could not do its work
	out     string // a new body; all three empty: accepted, unchanged
}

const orders = `{"items":[{"sku":"A-1","qty":2},{"sku":"B-7","qty":10}],"meta":{"count":2}}`

var table = []row{
	{name: "a good list", hook: "check", body: orders,
		config: `{"items":"/items","min_items":1,"fields":{"sku":"string","qty":"integer"},"unique":"sku","count":"/meta/count"}`},
	{name: "no configuration, the body is the list", hook: "check", body: ` [ {} , {"a":1} ] `},
	{name: "configuration null", hook: "check", body: `[]`, config: `null`},
	{name: "keys that are null are not set", hook: "check", body: `[]`, config: `{"min_items":null,"items":null}`},
	{name: "too few", hook: "check", body: orders, config: `{"items":"/items","min_items":3}`,
		verdict: `{"ok":false,"errors":[{"code":"too_few_items","message":"need 3, have 2","path":"/items"}]}`},
	{name: "no list", hook: "check", body: `{"items":{}}`, config: `{"items":"/items"}`,
		verdict: `{"ok":false,"errors":[{"code":"no_items","message":"want an array, have an object","path":"/items"}]}`},
	{name: "nothing there", hook: "check", body: `{}`, config: `{"items":"/items"}`,
		verdict: `{"ok":false,"errors":[{"code":"no_items","message":"want an array, have nothing","path":"/items"}]}`},
	{name: "the body is no list", hook: "check", body: `null`,
		verdict: `{"ok":false,"errors":[{"code":"no_items","message":"want an array, have null"}]}`},
	{name: "every problem is told, in order", hook: "check",
		body:   `{"i":[{"sku":"a","qty":1.5},7,{"qty":"3","sku":"a"},{"sku":null}],"n":"4"}`,
		config: `{"items":"/i","fields":{"sku":"string","qty":"integer"},"unique":"sku","count":"/n"}`,
		verdict: `{"ok":false,"errors":[
			{"code":"wrong_kind","message":"want integer, have a number","path":"/i/0/qty"},
			{"code":"wrong_kind","message":"want an object, have a number","path":"/i/1"},
			{"code":"wrong_kind","message":"want integer, have a string","path":"/i/2/qty"},
			{"code":"duplicate","message":"the same as in element 0","path":"/i/2/sku"},
			{"code":"wrong_kind","message":"want string, have null","path":"/i/3/sku"},
			{"code":"missing","message":"the field is not there","path":"/i/3/qty"},
			{"code":"wrong_count","message":"want 4, as many as there are elements","path":"/n"}]}`},
	{name: "kinds of fields", hook: "check", body: `[{"a":[],"o":{},"b":false,"n":-1.5e3,"s":"","x":null,"i":-0}]`,
		config: `{"fields":{"a":"array","o":"object","b":"boolean","n":"number","s":"string","x":"any","i":"integer"}}`},
	{name: "an exponent is no integer", hook: "check", body: `[{"i":1e3}]`, config: `{"fields":{"i":"integer"}}`,
		verdict: `{"ok":false,"errors":[{"code":"wrong_kind","message":"want integer, have a number","path":"/0/i"}]}`},
	{name: "more than 31 problems are counted", hook: "check", body: "[" + strings.Repeat("1,", 39) + "1]",
		verdict: `{"ok":false,"errors":[` + manyProblems(31) + `,{"code":"more","message":"and 9 more"}]}`},
	{name: "names are escaped in pointers", hook: "check", body: `{"a/b":[{}]}`,
		config:  `{"items":"/a~1b","fields":{"x~y/z":"any"}}`,
		verdict: `{"ok":false,"errors":[{"code":"missing","message":"the field is not there","path":"/a~1b/0/x~0y~1z"}]}`},
	{name: "an empty name of a field", hook: "check", body: `[{}]`, config: `{"fields":{"":"any"}}`,
		verdict: `{"ok":false,"errors":[{"code":"missing","message":"the field is not there","path":"/0/"}]}`},
	{name: "an empty fields object, a unique field that is nowhere", hook: "check", body: `[{},{}]`, config: `{"fields":{},"unique":"x"}`},
	{name: "escaped names are the same names", hook: "check", body: `[{"\u0073k\u00fc":"\ud83d\ude00"}]`,
		config: `{"fields":{"skü":"string"}}`},
	{name: "the last of equal names counts", hook: "check", body: `[{"a":1,"a":"x"}]`, config: `{"fields":{"a":"string"}}`},
	{name: "names that begin alike, a unique field among them", hook: "check", body: `[{"ab":1,"a":"x","a\u0062c":2,"a\\\\b":3,"":4},{"ab":1}]`,
		config: `{"fields":{"a":"string","ab":"integer","abc":"integer","a\\\\b":"integer","":"integer"},"unique":"ab"}`,
		verdict: `{"ok":false,"errors":[
			{"code":"missing","message":"the field is not there","path":"/1/a"},
			{"code":"missing","message":"the field is not there","path":"/1/abc"},
			{"code":"missing","message":"the field is not there","path":"/1/a\\\\b"},
			{"code":"missing","message":"the field is not there","path":"/1/"},
			{"code":"duplicate","message":"the same as in element 0","path":"/1/ab"}]}`},
	{name: "a thousand unique elements", hook: "check", body: numbered(1000), config: `{"unique":"id","min_items":1000,"fields":{"id":"string"}}`},
	{name: "half a megabyte", hook: "check", body: numbered(19_000), config: `{"unique":"id","fields":{"id":"string","qty":"integer"},"min_items":19000}`},
	{name: "brackets and quotes within strings", hook: "check", body: `[{"a":"]}\"{[,:","b":1}]`, config: `{"fields":{"b":"integer"}}`},

	{name: "not JSON: empty", hook: "check", body: "", verdict: notJSON("the text ends early", "0")},
	{name: "not JSON: only space", hook: "check", body: " \n", verdict: notJSON("the text ends early", "2")},
	{name: "not JSON: HTML", hook: "check", body: "<html>", verdict: notJSON("no value", "0")},
	{name: "not JSON: cut off", hook: "check", body: `{"a":[1,2`, verdict: notJSON("the text ends early", "9")},
	{name: "not JSON: two values", hook: "check", body: `{} {}`, verdict: notJSON("more text after the value", "3")},
	{name: "not JSON: comma at the end", hook: "check", body: `[1,]`, verdict: notJSON("no value", "3")},
	{name: "not JSON: comma in an object", hook: "check", body: `{"a":1,}`, verdict: notJSON("no name of a member", "7")},
	{name: "not JSON: no colon", hook: "check", body: `{"a" 1}`, verdict: notJSON("no colon after a name", "5")},
	{name: "not JSON: no comma", hook: "check", body: `[1 2]`, verdict: notJSON("no comma and no closing bracket", "3")},
	{name: "not JSON: wrong bracket", hook: "check", body: `[1}`, verdict: notJSON("no comma and no closing bracket", "2")},
	{name: "not JSON: NaN", hook: "check", body: `[NaN]`, verdict: notJSON("no value", "1")},
	{name: "not JSON: nil", hook: "check", body: `nil!`, verdict: notJSON("an unknown word", "0")},
	{name: "not JSON: a leading zero", hook: "check", body: `01`, verdict: notJSON("more text after the value", "1")},
	{name: "not JSON: a lone minus", hook: "check", body: `[-]`, verdict: notJSON("a digit is missing", "2")},
	{name: "not JSON: a point without digits", hook: "check", body: `[1.]`, verdict: notJSON("a digit is missing", "3")},
	{name: "not JSON: an empty exponent", hook: "check", body: `[1e+]`, verdict: notJSON("a digit is missing", "4")},
	{name: "not JSON: newline in a string", hook: "check", body: "[\"a\nb\"]", verdict: notJSON("a control character in a string", "3")},
	{name: "not JSON: unknown escape", hook: "check", body: `["\x"]`, verdict: notJSON("an unknown escape", "3")},
	{name: "not JSON: half an escape", hook: "check", body: `["\u12g4"]`, verdict: notJSON("an unknown escape", "3")},
	{name: "not JSON: a byte order mark", hook: "check", body: "\xef\xbb\xbf[]", verdict: notJSON("no value", "0")},
	{name: "1000 levels are read", hook: "check", body: strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
		verdict: `{"ok":false,"errors":[{"code":"wrong_kind","message":"want an object, have an array","path":"/0"}]}`},
	{name: "100000 levels are refused", hook: "check", body: strings.Repeat("[", 100_000), verdict: notJSON("nested too deep", "1000")},

	{name: "an unknown key of the configuration", hook: "check", body: `[]`, config: `{"min_item":1}`,
		failure: `{"code":"config","message":"config: unknown key min_item; known are items, min_items, fields, unique, count"}`},
	{name: "a wrong kind in the configuration", hook: "check", body: `[]`, config: `{"min_items":"1"}`,
		failure: `{"code":"config","message":"config.min_items: want a whole number, have a string"}`},
	{name: "no object for the configuration", hook: "check", body: `[]`, config: `[1]`,
		failure: `{"code":"config","message":"config: want an object, have an array"}`},
	{name: "a fraction in the configuration", hook: "check", body: `[]`, config: `{"min_items":1.5}`,
		failure: `{"code":"config","message":"config.min_items: want a whole number, have 1.5"}`},
	{name: "an unknown kind of field", hook: "check", body: `[]`, config: `{"fields":{"a":"str"}}`,
		failure: `{"code":"config","message":"config.fields.a: want any, string, number, integer, boolean, array or object, have str"}`},

	{name: "data", hook: "unwrap", body: `{"ok":true,"data":{"id":7}}`, out: `{"id":7}`},
	{name: "what is kept is kept byte for byte", hook: "unwrap", body: "{\"data\" :\t[ 1.50, 12345678901234567890123, \"\\u00e9\" ] }",
		out: "[ 1.50, 12345678901234567890123, \"\\u00e9\" ]"},
	{name: "a place in the depth", hook: "unwrap", body: `{"a":[{"b":1},{"b":"two"}]}`, config: `{"at":"/a/1/b"}`, out: `"two"`},
	{name: "null is a value", hook: "unwrap", body: `{"data":null}`, out: `null`},
	{name: "the whole body", hook: "unwrap", body: ` {"a":1}`, config: `{"at":""}`, out: `{"a":1}`},
	{name: "an empty name", hook: "unwrap", body: `{"":{"x":1}}`, config: `{"at":"//x"}`, out: `1`},
	{name: "nothing there", hook: "unwrap", body: `{"ok":true}`,
		failure: `{"code":"no_value","message":"the body has nothing at /data"}`},
	{name: "an index beyond the end", hook: "unwrap", body: `[1]`, config: `{"at":"/1"}`,
		failure: `{"code":"no_value","message":"the body has nothing at /1"}`},
	{name: "an index with a leading zero is none", hook: "unwrap", body: `[1,2]`, config: `{"at":"/01"}`,
		failure: `{"code":"no_value","message":"the body has nothing at /01"}`},
	{name: "a huge index", hook: "unwrap", body: `[1,2]`, config: `{"at":"/4294967296"}`,
		failure: `{"code":"no_value","message":"the body has nothing at /4294967296"}`},
	{name: "a pointer without a slash", hook: "unwrap", body: `{"data":1}`, config: `{"at":"data"}`,
		failure: `{"code":"no_value","message":"the body has nothing at data"}`},
	{name: "an error in a 200", hook: "unwrap", body: `{"data":null,"error":"out of \"stock\"\n"}`, config: `{"error":"/error"}`,
		failure: `{"code":"envelope_error","message":"the envelope says: out of \"stock\"\n"}`},
	{name: "an error worth another attempt", hook: "unwrap", body: `{"error":{"code":17}}`, config: `{"error":"/error","retry":true}`,
		failure: `{"code":"envelope_error","message":"the envelope says: {\"code\":17}","retry":true}`},
	{name: "null is no error", hook: "unwrap", body: `{"error":null,"data":1}`, config: `{"error":"/error"}`, out: `1`},
	{name: "false is no error", hook: "unwrap", body: `{"error":false,"data":1}`, config: `{"error":"/error"}`, out: `1`},
	{name: "an empty text is no error", hook: "unwrap", body: `{"error":"","data":1}`, config: `{"error":"/error"}`, out: `1`},
	{name: "a long error is cut within its 1 KiB", hook: "unwrap", body: `{"error":"` + strings.Repeat("ä", 2000) + `"}`, config: `{"error":"/error"}`,
		failure: `{"code":"envelope_error","message":"the envelope says: ` + strings.Repeat("ä", 501) + `..."}`},
	{name: "not JSON", hook: "unwrap", body: `oops`, failure: `{"code":"not_json","message":"the body is not JSON: no value at byte 0"}`},
	{name: "unknown key", hook: "unwrap", body: `{}`, config: `{"path":"/x"}`,
		failure: `{"code":"config","message":"config: unknown key path; known are at, error, retry"}`},
	{name: "wrong kind", hook: "unwrap", body: `{}`, config: `{"at":5}`,
		failure: `{"code":"config","message":"config.at: want a string, have 5"}`},
	{name: "wrong boolean", hook: "unwrap", body: `{}`, config: `{"retry":"yes"}`,
		failure: `{"code":"config","message":"config.retry: want a boolean, have a string"}`},
	{name: "64 KB", hook: "unwrap", body: `{"data":` + numbered(2500) + `}`, out: numbered(2500)},
	{name: "1 MB", hook: "unwrap", body: `{"data":` + numbered(38_000) + `}`, out: numbered(38_000)},

	{name: "flattened", hook: "sign", body: `{"amount":1200}`, config: `{"secret":"shop.key"}`, secrets: `{"shop.key":"s3cr3t-of-the-shop"}`,
		out: jws("s3cr3t-of-the-shop", `{"alg":"HS256"}`, `{"amount":1200}`)},
	{name: "compact, with a key id", hook: "sign", body: "\x00\xff\x10", config: `{"secret":"k","form":"compact","kid":"2024-\"1"}`, secrets: `{"k":"x"}`,
		out: compactJWS("x", `{"alg":"HS256","kid":"2024-\"1"}`, "\x00\xff\x10")},
	{name: "an empty body", hook: "sign", body: "", config: `{"secret":"k","form":"compact"}`, secrets: `{"k":"xyz"}`,
		out: compactJWS("xyz", `{"alg":"HS256"}`, "")},
	{name: "a key longer than a block", hook: "sign", body: "b", config: `{"secret":"k","form":"compact"}`, secrets: `{"k":"` + strings.Repeat("0123456789", 10) + `"}`,
		out: compactJWS(strings.Repeat("0123456789", 10), `{"alg":"HS256"}`, "b")},
	{name: "a key of exactly a block", hook: "sign", body: "b", config: `{"secret":"k","form":"compact"}`, secrets: `{"k":"` + strings.Repeat("x", 64) + `"}`,
		out: compactJWS(strings.Repeat("x", 64), `{"alg":"HS256"}`, "b")},
	{name: "a key with escapes", hook: "sign", body: "b", config: `{"secret":"k","form":"compact"}`, secrets: `{"k":"\u00e9\n\"\\\/"}`,
		out: compactJWS("é\n\"\\/", `{"alg":"HS256"}`, "b")},
	{name: "64 KB", hook: "sign", body: numbered(2500), config: `{"secret":"k"}`, secrets: `{"k":"x"}`, out: jws("x", `{"alg":"HS256"}`, numbered(2500))},
	{name: "no secret", hook: "sign", body: "b", config: `{"secret":"shop.key"}`, secrets: `{"other":"x"}`,
		failure: `{"code":"no_secret","message":"the flow does not give this hook the secret shop.key: name it in the hook's list secrets"}`},
	{name: "no secrets at all", hook: "sign", body: "b", config: `{"secret":"shop.key"}`,
		failure: `{"code":"no_secret","message":"the flow does not give this hook the secret shop.key: name it in the hook's list secrets"}`},
	{name: "an unknown form", hook: "sign", body: "b", config: `{"secret":"k","form":"pem"}`, secrets: `{"k":"x"}`,
		failure: `{"code":"config","message":"config.form: want json or compact, have pem"}`},
}

// TestConformance runs one table against every hook in every language on both
// engines, each module in one instance from the first row to the last.
func TestConformance(t *testing.T) {
	for _, language := range Languages {
		t.Run(language, func(t *testing.T) {
			if _, err := exec.LookPath("go"); language == "go" && err != nil {
				t.Skip("no Go toolchain to build the hooks with")
			}
			for engine := range engines {
				t.Run(engine, func(t *testing.T) {
					t.Parallel()
					conform(t, engine, func(hook string) ([]byte, error) { return Module(t.Context(), language, hook) })
				})
			}
		})
	}
}

// conform runs the table against the hooks of one language.
func conform(t *testing.T, engine string, module func(hook string) ([]byte, error)) {
	for _, hook := range Hooks {
		bytes, err := module(hook)
		if err != nil {
			t.Fatal(err)
		}
		h := start(t, engine, bytes)
		for _, r := range table {
			if r.hook == hook {
				t.Run(hook+"/"+r.name, func(t *testing.T) { r.check(t, h, engine) })
			}
		}
	}
}

func (r row) check(t *testing.T, h *hooked, engine string) {
	if engine == "interpreter" && len(r.body) > 100_000 {
		t.Skip("a second and more on the interpreter, and the same steps as 64 KB")
	}
	a := h.ask(t, r)
	switch {
	case r.failure != "":
		var want struct {
			Code, Message string
			Retry         bool
		}
		read(t, r.failure, &want)
		if e := a.Err; e == nil || e.Class != wasmhooks.ClassError || e.Code != want.Code || e.Message != oneLine(want.Message) || e.Retry != want.Retry {
			t.Fatalf("have %+v\nwant %+v", e, want)
		}
	case a.Err != nil:
		t.Fatalf("%s: %v", a.Err.Class, a.Err)
	case r.kind() == wasmhooks.Validate:
		var want wasmhooks.Verdict
		if r.verdict != "" {
			read(t, r.verdict, &want)
		}
		if !slices.Equal(a.Verdict.Errors, want.Errors) || a.Verdict.Retry != want.Retry {
			t.Fatalf("have %+v\nwant %+v", a.Verdict, want)
		}
	case a.Changed != (r.out != "") || string(a.Body) != r.out:
		t.Fatalf("have %.300q\nwant %.300q", a.Body, r.out)
	}
}

func read(t *testing.T, doc string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(doc), into); err != nil {
		t.Fatalf("the table: %v", err)
	}
}

func (r row) kind() wasmhooks.Kind {
	if r.hook == "check" {
		return wasmhooks.Validate
	}
	return wasmhooks.Transform
}

// meta is the meta document of a row, as the host writes it.
func (r row) meta() []byte {
	doc := map[string]any{
		"v": 1, "hook": "transform", "phase": "response", "flow": "orders", "run_id": "01J", "task": "fetch", "map_index": 0, "attempt": 2,
		"request":  map[string]any{"method": "GET", "url": "https://api.example/x?page=2"},
		"response": map[string]any{"status": 200, "headers": map[string][]string{"content-type": {"application/json"}}, "duration_ms": 41},
		"body":     map[string]any{"encoding": "raw", "truncated": false},
		"xcom":     map[string]any{},
		"new":      []any{"a member of a later version", map[string]any{"config": 1}},
	}
	switch r.hook {
	case "check":
		doc["hook"] = "validate"
	case "sign":
		doc["phase"] = "request"
		delete(doc, "response")
	}
	if r.config != "" {
		doc["config"] = json.RawMessage(r.config)
	}
	if r.secrets != "" {
		doc["secrets"] = json.RawMessage(r.secrets)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		panic(err)
	}
	return bytes.TrimSpace(b.Bytes())
}
