package jinja

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDocs_NameEverything holds docs/templates.md against what there is.
func TestDocs_NameEverything(t *testing.T) {
	data, err := os.ReadFile("../../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	var names []string
	names = append(names, known().filterNames()...)
	names = append(names, known().testNames()...)
	names = append(names, tagNames...)
	for n := range known().globals {
		names = append(names, n)
	}
	for _, n := range names {
		if !strings.Contains(doc, "`"+n+"`") {
			t.Errorf("docs/templates.md does not name %s", n)
		}
	}
	for _, figure := range []string{
		fmt.Sprintf("%d KiB", MaxSource>>10), fmt.Sprintf("nest %d deep", maxNesting), "1,000,000 steps", fmt.Sprintf("%.0f seconds", maxTime.Seconds()),
		fmt.Sprintf("%d MiB", maxText>>20), fmt.Sprintf("%d macro calls", maxMacros), "4,300 digits",
	} {
		if !strings.Contains(strings.ReplaceAll(doc, "\n", " "), figure) {
			t.Errorf("docs/templates.md does not say %q", figure)
		}
	}
}
