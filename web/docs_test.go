package web

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
)

// everything are the figures of a node that has all there is.
func everything() (*Figures, error) {
	return &Figures{
		Status:   engine.NodeStatus{Views: []engine.ViewStatus{{View: "events"}}, Parked: map[string]int{"x": 1}},
		Breakers: map[string]int{"open": 1}, Open: []string{"x"}, NATS: NATSFigures{StreamMessages: map[string]uint64{"QARION_LEDGER": 1}},
	}, nil
}

// families are the metrics that the door shows when all of them have a value:
// name -> type and labels.
func families(t *testing.T) map[string]string {
	t.Helper()
	s := door(t, &double{figures: everything})
	if err := s.metrics.Project(t.Context(), changes()); err != nil {
		t.Fatal(err)
	}
	s.metrics.HookCalled("h", "ok", time.Millisecond)
	ask(t, s, "GET", "/healthz", "")
	_, text := ask(t, s, "GET", "/metrics", "")
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (qarion_\w+) (\w+)$`).FindAllStringSubmatch(text, -1) {
		sample := regexp.MustCompile(`(?m)^` + m[1] + `(?:_bucket)?(?:\{(.*?)\})? `).FindStringSubmatch(text)
		if sample == nil {
			t.Fatalf("no sample of %s", m[1])
		}
		var labels []string
		for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(sample[1], -1) {
			if l[1] != "le" {
				labels = append(labels, l[1])
			}
		}
		slices.Sort(labels)
		out[m[1]] = m[2] + " " + strings.Join(labels, ",")
	}
	return out
}

// TestDocs_Metrics holds docs/metrics.md against the metrics that there are.
func TestDocs_Metrics(t *testing.T) {
	doc, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(qarion_\\w+)` \\| (\\w+) \\|(.*?)\\| ").FindAllStringSubmatch(string(doc), -1) {
		labels := strings.FieldsFunc(m[3], func(r rune) bool { return strings.ContainsRune("`, ", r) })
		slices.Sort(labels)
		got[m[1]] = m[2] + " " + strings.Join(labels, ",")
	}
	want := families(t)
	for name := range maps.Keys(want) {
		if got[name] != want[name] {
			t.Errorf("docs/metrics.md says of %s %q, it is %q", name, got[name], want[name])
		}
	}
	for name := range maps.Keys(got) {
		if want[name] == "" {
			t.Errorf("docs/metrics.md has %s, which there is not", name)
		}
	}
}
