package node

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
)

// TestEndpoints_TheTableIsWhatANodeAnswers: nothing in it is missing, and
// nothing is answered that is not in it.
func TestEndpoints_TheTableIsWhatANodeAnswers(t *testing.T) {
	n, err := Open(t.Context(), Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var table []string
	for _, e := range engine.Endpoints() {
		table = append(table, e.Name)
	}
	got := n.service.Names()
	slices.Sort(got)
	slices.Sort(table)
	if !slices.Equal(got, table) {
		t.Errorf("answered: %v\nin the table: %v", got, table)
	}
}

func TestFlowSource_ShowsTheFileAndWhatIsWrongWithIt(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "orders.toml")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const good = "[[tasks]]\nid = \"a\"\ntype = \"api_call\"\nproperties = { url = \"http://127.0.0.1:1/\" }\n"
	write(file, good)
	write(filepath.Join(dir, "bad.toml"), "[[tasks]]\nid = \"a\"\ntype = \"api_cal\"\n")
	n, err := Open(t.Context(), Config{DataDir: t.TempDir(), Flows: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	ask := func(endpoint, payload string, out any) {
		t.Helper()
		answer, err := n.service.Call(t.Context(), engine.Anonymous(""), endpoint, []byte(payload))
		if err == nil {
			err = json.Unmarshal(answer.JSON, out)
		}
		if err != nil {
			t.Fatal(endpoint, payload, err)
		}
	}
	var src FlowSource
	if ask("flow.source", `orders`, &src); !src.Current || src.Source != good || len(src.Problems) != 0 || src.Version == "" {
		t.Errorf("as loaded: %+v", src)
	}
	write(file, strings.Replace(good, "api_call", "api_cal", 1))
	if ask("flow.source", `{"flow":"orders"}`, &src); src.Current || len(src.Problems) != 1 || src.Problems[0].Line != 3 {
		t.Errorf("broken since: %+v", src)
	}
	var found FlowProblems
	if ask("flow.problems", ``, &found); len(found.Problems) == 0 || found.Files != 2 || len(found.LeftOut) != 1 || !strings.HasSuffix(found.LeftOut[0], "bad.toml") {
		t.Errorf("all problems: %+v", found)
	}
	if ask("flow.problems", `bad`, &found); len(found.Problems) == 0 || found.Problems[0].Line != 3 {
		t.Errorf("of a flow that was never whole: %+v", found)
	}
	for payload, want := range map[string]string{
		"ordres": `no flow "ordres" (did you mean "orders"?)`, "../orders": "", `{"file":"/etc/passwd"}`: "",
	} {
		_, err := n.service.Call(t.Context(), engine.Anonymous(""), "flow.source", []byte(payload))
		if err == nil || want != "" && engine.ErrorLine(err) != want {
			t.Errorf("%s: %v", payload, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := n.service.Call(t.Context(), engine.Anonymous(""), "flow.source", []byte("orders")); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("the file is gone: %v", err)
	}
}
