package engine_test

import (
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/internal/value"
)

// load compiles a flow of one task that reads the given names.
func load(t *testing.T, head, url string) *engine.Flow {
	t.Helper()
	kind, err := apicall.New(apicall.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	text := head + "\n[[tasks]]\nid = \"a\"\ntype = \"api_call\"\nproperties = { url = \"" + url + "\" }\n"
	f, _, err := flowfile.Parse("f.toml", []byte(text), flowfile.Types{apicall.Name: kind})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// again is the flow as it comes back from the ledger.
func again(t *testing.T, f *engine.Flow) *engine.Flow {
	t.Helper()
	def, _, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if f, err = engine.DecodeFlow(def); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestCheckVariables(t *testing.T) {
	const head = `
[variables]
customer = 7
rate = 1.5
tags = []
anything = { }

[input.order_id]
type = "int"
required = true
min = 1

[input.region]
type = "str"
one_of = ["eu", "us"]
default = "eu"

[input.note]
max_length = 5

[input.api_token]
pattern = "^[a-z]{8}$"

[input.count]
default = 3
`
	f := load(t, head, "http://x.example/{{ customer }}/{{ order_id }}/{{ region }}/{{ note }}/{{ limit | default(5) }}")
	for _, c := range []struct{ data, want string }{
		{`{"order_id": 1}`, ""},
		{` {"order_id": 1, "region": "us", "note": null, "limit": 7, "rate": 2, "other": 1, "api_token": "abcdefgh"} `, ""},
		{``, `variable "order_id" is required`},
		{`{}`, `variable "order_id" is required`},
		{`[]`, `payload is a JSON list, want an object of variables such as {"customer": 7}`},
		{`{"order_id": null}`, `variable "order_id": null, expected int`},
		{`{"order_id": "7"}`, `variable "order_id": a str, expected int`},
		{`{"order_id": 0, "region": "xx", "note": "too long", "customer": "7", "run_id": 1}`,
			`variable "customer": got str, want int as its default in the flow; variable "run_id": the name is reserved; ` +
				`variable "order_id": 0 is less than 1; variable "region": "xx" is none of ["eu","us"]; variable "note": length 8, at most 5 expected`},
		{`{"order_id": 1, "ordr_id": 7, "custmer": 7, "limits": 1, "xy": 1}`,
			`variable "ordr_id" is not declared (did you mean "order_id"?); variable "custmer" is not declared (did you mean "customer"?)`},
		{`{"order_id": 1, "count": "4"}`, `variable "count": got str, want int as its default in the flow`},
		{`{"order_id": 1, "api_token": "hunter2"}`, `variable "api_token": *** does not match ^[a-z]{8}$`},
		{`{"order_id": 1, "tags": 1, "anything": [1]}`, `variable "tags": got int, want list as its default in the flow; variable "anything": got list, want dict as its default in the flow`},
	} {
		for _, flow := range []*engine.Flow{f, again(t, f)} {
			got := ""
			if err := engine.CheckVariables(flow, []byte(c.data)); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("%s:\ngot  %s\nwant %s", c.data, got, c.want)
			}
		}
	}
	given := new(value.Map)
	if err := given.UnmarshalJSON([]byte(`{"other": 1, "order_id": 1, "limit": 2, "customer": 1}`)); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(engine.Undeclared(f, given), " "); got != "other" {
		t.Errorf("undeclared: %s", got)
	}
	for name, want := range map[string]any{"region": "eu", "note": nil, "count": int64(3)} {
		if got, ok := again(t, f).Variables.Get(name); !ok || got != want {
			t.Errorf("%s has the default %v (%v), want %v", name, got, ok, want)
		}
	}
	long := `{"order_id": "` + strings.Repeat("x", 5000) + `"` + strings.Repeat(`, "custmer": 1`, 1) + `, "note": "` + strings.Repeat("y", 5000) + `"}`
	if err := engine.CheckVariables(f, []byte(long)); err == nil || len(err.Error()) > 1100 {
		t.Errorf("got %v", err)
	}
}

// TestCheckVariables_OldFlows: a flow version of before there was the rule
// takes what it took, so that the ledger folds as it did.
func TestCheckVariables_OldFlows(t *testing.T) {
	f := load(t, "[variables]\norder_id = 0", "http://x.example/{{ order_id }}")
	if err := engine.CheckVariables(f, []byte(`{"ordr_id": 7}`)); err == nil {
		t.Error("a mistyped name is accepted")
	}
	f.Strict = false
	if err := engine.CheckVariables(f, []byte(`{"ordr_id": 7}`)); err != nil {
		t.Error(err)
	}
}
