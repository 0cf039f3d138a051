package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/node"
)

func TestStatus_NamesTheViewsThatAreBehind(t *testing.T) {
	var out bytes.Buffer
	a := newApp(strings.NewReader(""), &out, &out)
	a.printStatus("nats://127.0.0.1:4222", &nodeInfo{Engine: engine.NodeStatus{LedgerSeq: 2000, ProjectedSeq: 50, Views: []engine.ViewStatus{
		{View: "xcom", Seq: 2000},
		{View: "runs", Seq: 50, Behind: 1950, Rereads: true},
		{View: "tables", Seq: 60, Behind: 1940, Problem: "database is locked"},
		{View: "events", Seq: 1999, Behind: 1, WaitsFor: []string{"runs", "tables"}},
	}}})
	for _, want := range []string{
		"projections 1950 behind",
		"view       runs is 1,950 ledger sequences behind, reading the ledger again\n",
		"view       tables is 1,940 ledger sequences behind: database is locked\n",
		"view       events is 1 ledger sequence behind: the end of a run is told when runs, tables shows it\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the status does not say %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "xcom") {
		t.Errorf("a view that is current is named:\n%s", out.String())
	}
}

func TestStatus_StreamsFitIntoTheWidth(t *testing.T) {
	list := []node.Stream{
		{Name: "KV_qarion_xcom", Messages: 1_000_000, Bytes: 238_000_000}, {Name: "OBJ_qarion_blobs"},
		{Name: "QARION_EVENTS", Messages: 40_112, Bytes: 9_000_000}, {Name: "QARION_LEDGER", Messages: 1204, Bytes: 3_100_000},
	}
	for width, want := range map[int]string{
		109: "xcom 1,000,000 messages, 238.0 MB · events 40,112, 9.0 MB · ledger 1,204, 3.1 MB",
		69:  "xcom 1,000,000 messages, 238.0 MB · events 40,112, 9.0 MB|ledger 1,204, 3.1 MB",
		29:  "xcom 1,000,000 messages, 238.0 MB|events 40,112, 9.0 MB|ledger 1,204, 3.1 MB",
	} {
		if got := strings.Join(streamLines(list, width), "|"); got != want {
			t.Errorf("%d columns: %s, want %s", width, got, want)
		}
	}
}
