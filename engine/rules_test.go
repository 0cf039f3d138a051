package engine

import (
	"os"
	"strings"
	"testing"
)

// TestTriggerRules_StandInTheDocumentation, each in a row of its own, in their
// order.
func TestTriggerRules_StandInTheDocumentation(t *testing.T) {
	data, err := os.ReadFile("../docs/flow-control.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(data), "<!-- rules -->")
	table, _, _ = strings.Cut(table, "<!-- end of rules -->")
	var rows []string
	for line := range strings.SplitSeq(table, "\n") {
		if name, ok := strings.CutPrefix(line, "| `"); ok && !strings.HasPrefix(name, "trigger_rule") {
			name, _, _ = strings.Cut(name, "`")
			rows = append(rows, name)
		}
	}
	if strings.Join(rows, " ") != strings.Join(TriggerRules, " ") {
		t.Errorf("the documentation has the rules %v, the code %v", rows, TriggerRules)
	}
}
