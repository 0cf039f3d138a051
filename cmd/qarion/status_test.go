package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
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
