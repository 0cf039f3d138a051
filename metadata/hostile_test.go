package metadata_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/metadata"
)

// What flows send and receive may hold everything that JSON can say. PostgreSQL
// keeps less of it, and what it refuses must not keep the rows behind it out.
func TestTables_TakeEverythingThatJSONCanSay(t *testing.T) {
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		p := live(t, 3, 1)
		for i, text := range []string{
			`{"a":"\u0000"}`, `{"\u0000":1}`, `{"a":"\\u0000"}`, `{"a":"\\\u0000"}`, `{"a":"\ud800"}`, `{"a":"\udc00\ud800"}`, `{"a":"\ud83d\ude00"}`, `{"a":"\uD800\u0041"}`, `{"a":"\\ud800"}`,
			`{"a":1e400}`, `{"a":1e200000}`, `{"a":-1e-200000}`, `{"a":0e999999999}`, `{"a":` + strings.Repeat("9", 140_000) + `}`,
			`{"a":` + strings.Repeat("[", 9990) + strings.Repeat("]", 9990) + `}`,
			`{"a":1,"a":2}`, `{"":{"":[]}}`, "{\"a\":\"\xff\xfe\"}", "\x00", "", "null", "[1]", "{", `{"a":1} {"b":2}`,
		} {
			changes := make([]engine.Change, 0, 2)
			variables, err := value.ParseJSON([]byte(text))
			for _, c := range p.changes {
				switch {
				case c.Kind == engine.AttemptDone && (len(changes) == 0 || changes[len(changes)-1].Kind != engine.AttemptDone):
					rec := *c.Attempt
					rec.Details = []byte(text)
					c.Attempt = &rec
					changes = append(changes, c)
				case c.Kind == engine.RunStarted && err == nil:
					doc := *c.Doc
					if doc.Variables, _ = variables.(*value.Map); doc.Variables != nil {
						c.Doc = &doc
						changes = append(changes, c)
					}
				}
			}
			tables := open()
			if err := tables.Project(t.Context(), changes); err != nil {
				t.Errorf("%d, %.60q: %v", i, text, err)
				continue
			}
			page, err := tables.Operations(t.Context(), metadata.OperationFilter{})
			if err != nil || len(page.Operations) != 1 {
				t.Errorf("%d, %.60q: %v", i, text, err)
			}
			if got := ask(t, tables, "SELECT count(*) AS n FROM xt_operation_logs"); fmt.Sprint(got) != "[n=1]" {
				t.Errorf("%d, %.60q: %s", i, text, got)
			}
			tables.Close()
		}
	})
}

// Rows say in PostgreSQL what they say in a file, but for what PostgreSQL cannot
// keep.
func TestTables_KeepWhatPostgresCanKeep(t *testing.T) {
	server := testkit.StartPostgres(t)
	p := live(t, 3, 1)
	for i, c := range []struct{ in, want string }{
		{`{"a":"\u0000x","b\u0000":1}`, `{"a": "\ufffdx", "b\ufffd": 1}`},
		{`{"a":"\\u0000 \\\u0000 \\ud800"}`, `{"a": "\\u0000 \\\ufffd \\ud800"}`},
		{`{"a":"\ud83d\ude00 \ud83d \ude00\u0041"}`, `{"a": "\ud83d\ude00 \ufffd \ufffdA"}`},
		{`{"a":"\uD83D\u0041\"\u00e9"}`, `{"a": "\ufffdA\"\u00e9"}`},
		{`{"a":[1e400000,-1.5E-7,12,0.10,"1e400000 \u0041"]}`, `{"a": ["1e400000", -1.5e-7, 12, 0.10, "1e400000 A"]}`},
	} {
		var changes []engine.Change
		for _, change := range p.changes {
			if change.Kind == engine.AttemptDone && changes == nil {
				rec := *change.Attempt
				rec.Details = []byte(c.in)
				change.Attempt = &rec
				changes = append(changes, change)
			}
		}
		tables := open(t, schema(t, server, fmt.Sprintf("k%d", i)))
		if err := tables.Project(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
		var got, want any
		page, err := tables.Operations(t.Context(), metadata.OperationFilter{})
		if err != nil || len(page.Operations) != 1 || json.Unmarshal(page.Operations[0].Details, &got) != nil || json.Unmarshal([]byte(c.want), &want) != nil {
			t.Fatal(c.in, page, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", c.in, got, want)
		}
	}
}
