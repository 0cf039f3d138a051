package flowfile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine/flowfile"
)

// TestParse_OneErrorPerMistake tries every key of a flow file with every kind
// of wrong value: exactly one error each, in the line where it stands.
func TestParse_OneErrorPerMistake(t *testing.T) {
	const base = "\n[[tasks]]\nid = \"a\"\ntype = \"api_call\"\nproperties = { url = \"http://x.example/\" }\n"
	const task = "[[tasks]]\nid = \"a\"\ntype = \"api_call\"\nproperties = { url = \"http://x.example/\" }\n"
	huge := `"` + strings.Repeat("z", 50_000) + `"`
	values := map[string]string{
		"nan": "nan", "inf": "-inf", "flag": "true", "int": "7", "float": "1.5", "negative": "-1", "huge": "9223372036854775807",
		"text": `"xyzzy?"`, "empty": `""`, "huge text": huge, "list": "[1]", "empty list": "[]", "table": "{k = 1}", "empty table": "{}",
		"list of nan": "[nan]", "table of inf": "{k = inf}", "time": "2024-02-29", "text list": `["xyzzy?"]`,
	}
	for _, c := range []struct {
		name, before, key, after string
		fine                     string // the values that are no mistake
	}{
		{"id", "", "id", base, ""},
		{"name", "", "name", base, "text, empty, huge text, time"},
		{"description", "", "description", base, "text, empty, huge text, time"},
		{"namespace", "", "namespace", base, "text, empty, huge text, time"},
		{"flow_type", "", "flow_type", base, ""},
		{"variables", "", "variables", base, "table, empty table"},
		{"a variable", "[variables]\n", "v", base, "flag, int, float, negative, huge, text, empty, huge text, list, empty list, table, empty table, time, text list"},
		{"defaults", "", "defaults", base, "empty table"},
		{"defaults of a type", "[defaults]\n", "api_call", base, "empty table"},
		{"a default", "[defaults.api_call]\n", "retry_count", base, "int"},
		{"a default span", "[defaults.api_call]\n", "timeout", base, "int, float"},
		{"timeout", "", "timeout", base, "int, float"},
		{"max_active_runs", "", "max_active_runs", base, "int"},
		{"on_overlap", "", "on_overlap", base, "empty"},
		{"triggers", "", "triggers", base, "empty list"},
		{"trigger id", "[[triggers]]\ntype = \"cli\"\n", "id", base, "text, empty, huge text, time"},
		{"trigger type", "[[triggers]]\nid = \"x\"\n", "type", base, ""},
		{"trigger enabled", "[[triggers]]\ntype = \"cli\"\n", "enabled", base, "flag"},
		{"trigger description", "[[triggers]]\ntype = \"cli\"\n", "description", base, "text, empty, huge text, time"},
		{"trigger subject", "[[triggers]]\ntype = \"nats\"\n", "subject", base, "text, huge text, time"},
		{"schedule id", "[[triggers]]\ntype = \"schedule\"\nevery = 60\n", "id", base, ""},
		{"cron", "[[triggers]]\ntype = \"schedule\"\n", "cron", base, ""},
		{"timezone", "[[triggers]]\ntype = \"schedule\"\ncron = \"0 0 * * *\"\n", "timezone", base, "empty"},
		{"every", "[[triggers]]\ntype = \"schedule\"\n", "every", base, "int, float"},
		{"catchup", "[[triggers]]\ntype = \"schedule\"\nevery = 60\n", "catchup", base, ""},
		{"catchup_window", "[[triggers]]\ntype = \"schedule\"\nevery = 60\n", "catchup_window", base, "int, float"},
		{"max_catchup", "[[triggers]]\ntype = \"schedule\"\nevery = 60\n", "max_catchup", base, "int"},
		{"jitter", "[[triggers]]\ntype = \"schedule\"\nevery = 60\n", "jitter", base, "int, float"},
		{"schedule variables", "[[triggers]]\ntype = \"schedule\"\nevery = 60\n", "variables", base, "table, empty table"},
		{"tasks", "", "tasks", "", ""},
		{"task id", "[[tasks]]\n", "id", "type = \"api_call\"\nproperties = { url = \"http://x.example/\" }\n", ""},
		{"task type", "[[tasks]]\nid = \"a\"\n", "type", "properties = { url = \"http://x.example/\" }\n", ""},
		{"task name", task, "name", "", "text, empty, huge text, time"},
		{"task description", task, "description", "", "text, empty, huge text, time"},
		{"dependencies", task, "dependencies", "", "empty list"},
		{"properties", "[[tasks]]\nid = \"a\"\ntype = \"api_call\"\n", "properties", "", ""},
		{"a property", "[[tasks]]\nid = \"a\"\ntype = \"api_call\"\nproperties.url = \"http://x.example/\"\n", "properties.retry_count", "", "int"},
		{"config", task, "config", "", "table, empty table"},
	} {
		for name, v := range values {
			if c.key == "properties" && strings.HasPrefix(name, "table") { // has no url besides
				continue
			}
			_, _, err := flowfile.Parse("f.toml", []byte(c.before+c.key+" = "+v+"\n"+c.after), types(t))
			var all flowfile.Errors
			errors.As(err, &all)
			want := 1
			for f := range strings.SplitSeq(c.fine, ", ") {
				if f == name {
					want = 0
				}
			}
			if len(all) != want {
				t.Errorf("%s = %s: %d errors, want %d:\n%.600v", c.name, name, len(all), want, all.Error())
			}
			line := 1 + strings.Count(c.before, "\n")
			for _, e := range all {
				if e.Line != line || len(e.Message) > 400 {
					t.Errorf("%s = %s: not in line %d, or long: %.400s", c.name, name, line, e)
				}
			}
		}
	}
}
