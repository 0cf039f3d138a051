package node

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
)

// TestTasks_OfARunWithMoreThanItsDocumentLists pages through all of them, from
// the tables; without tables it says that some are missing.
func TestTasks_OfARunWithMoreThanItsDocumentLists(t *testing.T) {
	const tasks = engine.MaxRunDocTasks + 100
	api := upstream(t)
	var text strings.Builder
	for i := range tasks {
		fmt.Fprintf(&text, "[[tasks]]\nid = \"t%04d\"\ntype = \"api_call\"\nproperties = { url = \"%s/\" }\n", i, api)
	}
	for _, tables := range []string{TablesSQLite, TablesOff} {
		n := httpNode(t, func(c *Config) { c.Tables, c.Slots = tables, 64 })
		flow, found, err := flowfile.Parse("wide.toml", []byte(text.String()), n.Types)
		if err != nil || flow == nil {
			t.Fatal(err, found)
		}
		if _, err := n.Engine.PutFlow(t.Context(), flow); err != nil {
			t.Fatal(err)
		}
		runFlow(t, n, "wide")
		var names []string
		var page engine.TaskPage
		for after := ""; ; after = names[len(names)-1] {
			answer, err := n.service.Call(t.Context(), engine.Anonymous(""), "run.tasks", fmt.Appendf(nil, `{"run_id":"last","limit":400,"after":%q}`, after))
			if err != nil {
				t.Fatal(err)
			}
			page = engine.TaskPage{}
			if err := json.Unmarshal(answer.JSON, &page); err != nil {
				t.Fatal(err)
			}
			for _, task := range page.Tasks {
				if task.Status != engine.Success || task.Attempts != 1 || task.StartTime == "" {
					t.Errorf("%+v", task)
				}
				names = append(names, string(task.TaskID))
			}
			if !page.More || len(page.Tasks) == 0 {
				break
			}
		}
		switch {
		case tables == TablesOff && (!page.Partial || len(names) >= tasks):
			t.Errorf("without tables: %d tasks, partial %v", len(names), page.Partial)
		case tables != TablesOff && (len(names) != tasks || names[tasks-1] != fmt.Sprintf("t%04d", tasks-1)):
			t.Errorf("%d tasks of %d", len(names), tasks)
		}
	}
}
