package node

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
)

// The server's index of keys is what would grow with all runs that a node has
// ever made. The buckets keep the newest, the tables keep all, and a check-up
// takes nothing of that for damage.
func TestRetention_BucketsKeepTheNewestOfABoundedNumber(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"n": 1}`)) }))
	defer s.Close()
	const most, runs = 20, 50
	cfg := Config{DataDir: filepath.Join(t.TempDir(), "data"), Slots: 2, Version: "test", Keep: Retention{MaxRuns: most, MaxXCom: most}}
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	flow, found, err := flowfile.Parse("f.toml", []byte("[[tasks]]\nid = \"a\"\ntype = \"api_call\"\nproperties = { url = \""+s.URL+"\" }\n"), n.Types)
	if err != nil || flow == nil {
		t.Fatal(err, found)
	}
	if _, err := n.Engine.PutFlow(t.Context(), flow); err != nil {
		t.Fatal(err)
	}
	c, err := n.Client()
	if err != nil {
		t.Fatal(err)
	}
	var ids []engine.RunID
	for range runs {
		doc := new(engine.RunDoc)
		if err := c.Call(t.Context(), "run.start", bus.StartRun{Flow: "f", Wait: json.RawMessage("60")}, doc); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, doc.RunID)
	}
	if err := n.Engine.Shown(t.Context(), engine.RunsView); err != nil {
		t.Fatal(err)
	}
	f, err := n.Bus.Figures()
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range []string{"KV_qarion_runs", "KV_qarion_xcom"} {
		if f.Messages[stream] != most {
			t.Errorf("%s has %d entries, want %d", stream, f.Messages[stream], most)
		}
	}
	if _, err := n.runs.Get(t.Context(), ids[0]); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("the oldest run: %v", err)
	}
	if _, err := n.runs.Get(t.Context(), ids[runs-1]); err != nil {
		t.Errorf("the newest run: %v", err)
	}
	if _, err := n.xcom.Get(t.Context(), ids[runs-1], "a", 0); err != nil {
		t.Errorf("its value: %v", err)
	}
	answer, err := n.query(t.Context(), []byte("SELECT count(*) FROM xt_flow_executions"))
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(answer); !containsNumber(text, runs) {
		t.Errorf("the tables have %s, want %d runs", text, runs)
	}
	c.Close()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	check, err := CheckUp(t.Context(), CheckupConfig{DataDir: cfg.DataDir, Keep: cfg.Keep})
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range check.Findings {
		if finding.Severity == Damaged {
			t.Errorf("the check-up takes for damage what has left: %+v", finding)
		}
	}
	if n, err = Open(t.Context(), cfg); err != nil { // goes on where it was
		t.Fatal(err)
	}
	if _, err := n.runs.Get(t.Context(), ids[runs-1]); err != nil {
		t.Errorf("the newest run after a restart: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// containsNumber reports whether the answer of a query has a row [n].
func containsNumber(answer []byte, n int) bool {
	var a struct {
		Rows [][]int `json:"rows"`
	}
	return json.Unmarshal(answer, &a) == nil && len(a.Rows) == 1 && len(a.Rows[0]) == 1 && a.Rows[0][0] == n
}
