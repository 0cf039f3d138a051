package node

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

// TestLists_NoRunThatHasEndedGoesOn: whoever waited for the end of a run finds
// it ended in every list, and in the tables, however much else happens.
func TestLists_NoRunThatHasEndedGoesOn(t *testing.T) {
	n := httpNode(t, func(cfg *Config) {
		text := "[[tasks]]\nid = \"a\"\ntype = \"api_call\"\nproperties = { url = \"" + upstream(t) + "\", response_handling = \"validate\", response_validation = { expected_status_code = 201 } }\n"
		if err := os.WriteFile(filepath.Join(cfg.Flows, "wrong.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	const clients, each = 8, 25
	ask := func(endpoint string, in, out any) error {
		payload, err := json.Marshal(in)
		if err != nil {
			return err
		}
		answer, err := n.service.Call(t.Context(), engine.Anonymous(""), endpoint, payload)
		if err != nil {
			return err
		}
		return json.Unmarshal(answer.JSON, out)
	}
	one := func(flow string, ends engine.Status) error {
		var doc engine.RunDoc
		if err := ask("run.start", bus.StartRun{Flow: flow, Wait: json.RawMessage("60")}, &doc); err != nil {
			return err
		}
		if doc.Status != ends {
			return fmt.Errorf("run %s of %s is %s, not %s", doc.RunID, flow, doc.Status, ends)
		}
		var running, ended bus.RunList
		if err := ask("run.list", bus.ListRuns{Status: "running", Limit: 1000}, &running); err != nil {
			return err
		}
		for _, d := range running.Runs {
			if d.RunID == doc.RunID {
				return fmt.Errorf("run %s has ended and is in the list of those that run", doc.RunID)
			}
		}
		if err := ask("run.list", bus.ListRuns{Status: string(ends), Limit: 1000}, &ended); err != nil {
			return err
		}
		found := false
		for _, d := range ended.Runs {
			found = found || d.RunID == doc.RunID && d.EndTime != ""
		}
		var rows struct{ Rows [][]string }
		if err := ask("query", map[string]string{"sql": "SELECT status FROM xt_flow_executions WHERE execution_id = '" + string(doc.RunID) + "'"}, &rows); err != nil {
			return err
		}
		if !found || len(rows.Rows) != 1 || rows.Rows[0][0] != string(ends) {
			return fmt.Errorf("run %s, which has ended as %s: in the list: %v, in the tables: %v", doc.RunID, ends, found, rows.Rows)
		}
		return nil
	}
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for range each {
				flow, ends := "good", engine.Success
				if i%2 == 1 {
					flow, ends = "wrong", engine.Failed
				}
				if err := one(flow, ends); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
