package node

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
)

// The ledger's first record, with the installation's id, goes when the ledger's
// beginning is purged. The tables know it from a checkpoint then.
func TestTables_GoOnAfterTheLedgersBeginningWasPurged(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	defer s.Close()
	cfg := Config{DataDir: filepath.Join(t.TempDir(), "data"), Slots: 2, Version: "test"}
	run := func(n *Node) {
		t.Helper()
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
		defer c.Close()
		if err := c.Call(t.Context(), "run.start", bus.StartRun{Flow: "f", Wait: json.RawMessage("60")}, new(engine.RunDoc)); err != nil {
			t.Fatal(err)
		}
	}
	rows := func(n *Node) string {
		t.Helper()
		answer, err := n.query(t.Context(), []byte("SELECT count(*) FROM xt_flow_executions"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(n)
	if err := n.Engine.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept, err := n.checkpoints.Kept(t.Context())
	if err != nil || len(kept) == 0 {
		t.Fatal(kept, err)
	}
	if err := n.ledger.Purge(t.Context(), kept[0]+1); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err = Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	run(n)
	if got := rows(n); !strings.Contains(got, `[2]`) {
		t.Errorf("the tables have %s, want 2 runs", got)
	}
}

// log.list answers from the tables, page by page, and says when it cannot.
func TestLogList_PagesAndRefusals(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	defer s.Close()
	cfg := Config{DataDir: filepath.Join(t.TempDir(), "data"), Slots: 2, Version: "test"}
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.Client()
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, id := range []string{"a", "b", "c"} {
		text += "[[tasks]]\nid = \"" + id + "\"\ntype = \"api_call\"\nproperties = { url = \"" + s.URL + "\" }\n"
	}
	flow, found, err := flowfile.Parse("f.toml", []byte(text), n.Types)
	if err != nil || flow == nil {
		t.Fatal(err, found)
	}
	if _, err := n.Engine.PutFlow(t.Context(), flow); err != nil {
		t.Fatal(err)
	}
	if err := c.Call(t.Context(), "run.start", bus.StartRun{Flow: "f", Wait: json.RawMessage("60")}, new(engine.RunDoc)); err != nil {
		t.Fatal(err)
	}
	var first, second LogList
	if err := c.Call(t.Context(), "log.list", ListLog{Run: "last", Limit: 2, Oldest: true}, &first); err != nil || len(first.Operations) != 2 || !first.More {
		t.Fatalf("%+v, %v", first, err)
	}
	if err := c.Call(t.Context(), "log.list", ListLog{Run: "last", After: first.Last}, &second); err != nil || len(second.Operations) != 1 || second.More {
		t.Fatalf("%+v, %v", second, err)
	}
	if second.Operations[0].TaskID == first.Operations[0].TaskID || second.Operations[0].TaskID == first.Operations[1].TaskID {
		t.Errorf("the second page repeats the first: %+v", second)
	}
	for in, want := range map[ListLog]string{
		{Flow: "a.b"}: "a.b", {Task: "*"}: "*", {Run: "ZZZZ"}: "no run", {Status: "good"}: "status is", {Since: "x"}: "time",
		{After: "x"}: "no place", {Before: first.First, Oldest: true}: "excludes", {Limit: -1}: "limit",
	} {
		if err := c.Call(t.Context(), "log.list", in, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", in, err, want)
		}
	}
	c.Close()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Tables = TablesOff
	if n, err = Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := n.logList(t.Context(), nil); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("without tables: %v", err)
	}
}
