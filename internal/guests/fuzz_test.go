package guests

import (
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"
)

// FuzzLanguages: whatever the body and the configuration are, no hook traps,
// what it answers is as the interface says, and all languages answer the same.
func FuzzLanguages(f *testing.F) {
	for i, r := range table {
		if len(r.body) < 500 {
			f.Add(uint8(i), r.config, r.body)
		}
	}
	all := map[string]map[string]*instance{}
	for _, hook := range Hooks {
		all[hook] = map[string]*instance{}
		for _, language := range Languages {
			module, err := Module(f.Context(), language, hook)
			if err != nil {
				f.Fatal(err)
			}
			all[hook][language] = start(f, engines["compiler"](), module)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, config, body string) {
		if config != "" && !json.Valid([]byte(config)) || !utf8.ValidString(config) || len(config)+len(body) > 1<<16 {
			t.Skip() // the host sends nothing of the kind
		}
		r := row{hook: Hooks[int(which)%len(Hooks)], config: config, body: body, secrets: `{"k":"key","shop.key":"s3cr3t"}`}
		meta := r.meta()
		want := answerOf(t, all[r.hook]["c"], r, meta)
		for _, language := range Languages {
			have := answerOf(t, all[r.hook][language], r, meta)
			if utf8.ValidString(body) && !reflect.DeepEqual(have, want) {
				t.Fatalf("%s with %s over %q:\n%s: %v\nc: %v", r.hook, config, body, language, have, want)
			}
		}
	})
}

// answer is what a call amounts to: a body as it is, a document as JSON.
type answer struct {
	failed bool
	doc    any
}

func answerOf(t *testing.T, in *instance, r row, meta []byte) answer {
	out, failed, err := in.call(t.Context(), r.export(), meta, []byte(r.body))
	if err != nil {
		t.Fatalf("%s with %s over %q: %v", r.hook, r.config, r.body, err)
	}
	if !failed && (out == nil || r.hook != "check") {
		return answer{doc: string(out)}
	}
	a := answer{failed: failed}
	if err := json.Unmarshal(out, &a.doc); err != nil {
		t.Fatalf("%s with %s over %q: a document that is not JSON: %s", r.hook, r.config, r.body, out)
	}
	if doc, ok := a.doc.(map[string]any); !ok || !failed && doc["errors"] == nil {
		t.Fatalf("%s: %s", r.hook, out)
	}
	return a
}
