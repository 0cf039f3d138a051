package guests

import (
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/qarion/qarion/wasmhooks"
)

// FuzzLanguages: whatever the body and the configuration are, no hook traps,
// what it answers is as the interface says, and all languages answer the same.
func FuzzLanguages(f *testing.F) {
	for i, r := range table {
		if len(r.body) < 500 {
			f.Add(uint8(i), r.config, r.body)
		}
	}
	all := map[string]map[string]*hooked{}
	for _, hook := range Hooks {
		all[hook] = map[string]*hooked{}
		for _, language := range Languages {
			module, err := Module(f.Context(), language, hook)
			if err != nil {
				f.Fatal(err)
			}
			all[hook][language] = start(f, "compiler", module)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, config, body string) {
		if config != "" && !json.Valid([]byte(config)) || !utf8.ValidString(config) || len(config)+len(body) > 1<<16 {
			t.Skip() // the host sends nothing of the kind
		}
		r := row{hook: Hooks[int(which)%len(Hooks)], config: config, body: body, secrets: `{"k":"key","shop.key":"s3cr3t"}`}
		want := answerOf(t, all[r.hook]["c"], r)
		for _, language := range Languages {
			have := answerOf(t, all[r.hook][language], r)
			if utf8.ValidString(body) && !reflect.DeepEqual(have, want) {
				t.Fatalf("%s with %s over %q:\n%s: %+v\nc: %+v", r.hook, config, body, language, have, want)
			}
		}
	})
}

// answer is what a call amounts to.
type answer struct {
	changed bool
	body    string
	verdict wasmhooks.Verdict
	failure wasmhooks.Error
}

func answerOf(t *testing.T, h *hooked, r row) answer {
	a := h.ask(t, r)
	out := answer{a.Changed, string(a.Body), a.Verdict, wasmhooks.Error{}}
	if a.Err != nil {
		out.failure = *a.Err
		if a.Err.Class != wasmhooks.ClassError {
			t.Fatalf("%s with %s over %q: %s: %v", r.hook, r.config, r.body, a.Err.Class, a.Err)
		}
	}
	return out
}
