package web

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
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

// TestDocs_API holds the tables of docs/http.md against the routes and the
// problems that there are.
func TestDocs_API(t *testing.T) {
	doc, err := os.ReadFile("../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /\\S*)` \\| `([\\w.]+)` \\| (\\w+)(, with a token)? \\|$").FindAllStringSubmatch(string(doc), -1) {
		rows[m[1]] = m[2] + " " + m[3] + m[4]
	}
	for _, rt := range apiRoutes() {
		e, err := engine.EndpointNamed(rt.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		want, name := rt.endpoint+" "+string(e.Role), rt.method+" "+rt.path
		if e.Login && e.Role != engine.RoleAdmin { // nobody is admin without one
			want += ", with a token"
		}
		if rows[name] != want {
			t.Errorf("docs/http.md says of %s %q, it is %q", name, rows[name], want)
		}
		delete(rows, name)
	}
	for name := range rows {
		t.Errorf("docs/http.md has %s, which there is not", name)
	}
	problems := []Problem{problemLogin, problemHost, problemMethod, problemTooLarge, problemMedia, problemSlow}
	for _, p := range append(problems, slices.Collect(maps.Values(kinds))...) {
		row := regexp.MustCompile(`(?m)^\| ` + strconv.Itoa(p.Status) + " \\|.*`urn:qarion:" + p.Type + "`")
		if !row.Match(doc) {
			t.Errorf("docs/http.md does not list %d %s", p.Status, p.Type)
		}
	}
}

// TestDocs_DashboardAndAlerts: every metric that they name is there, with the
// labels by which they choose, and with the values of what is closed.
func TestDocs_DashboardAndAlerts(t *testing.T) {
	known := families(t)
	values := map[string][]string{
		"status": {"success", "failed", "cancelled", "damaged", "skipped"}, "for": {"host", "node"}, "state": {"closed", "half_open", "open"},
	}
	for _, path := range []string{"../docs/grafana-dashboard.json", "../docs/prometheus-alerts.yaml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		plain := strings.ReplaceAll(string(text), `\"`, `"`)
		found := regexp.MustCompile(`\b((?:qarion|process|go)_[a-z_]+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(plain, -1)
		if len(found) < 10 {
			t.Errorf("%s names %d metrics", path, len(found))
		}
		for _, m := range found {
			name, selector := m[1], m[2]
			if !strings.HasPrefix(name, "qarion_") {
				continue // of the process: as the client library has them
			}
			is, ok := known[name]
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, cut := strings.CutSuffix(name, suffix); cut && strings.HasPrefix(known[base], "histogram ") {
					is, ok = known[base], true
				}
			}
			if !ok {
				t.Errorf("%s: there is no metric %s", path, name)
			}
			_, labels, _ := strings.Cut(is, " ")
			for _, l := range regexp.MustCompile(`(\w+)(?:=~|!=|!~|=)"([^"]*)"`).FindAllStringSubmatch(selector, -1) {
				if l[1] != "instance" && l[1] != "job" && !slices.Contains(strings.Split(labels, ","), l[1]) {
					t.Errorf("%s: %s has no label %s", path, name, l[1])
				}
				if list := values[l[1]]; list != nil && !strings.HasPrefix(l[2], "$") && !slices.Contains(list, l[2]) {
					t.Errorf("%s: %s is never %q", path, l[1], l[2])
				}
			}
		}
	}
	var dashboard struct{ Panels []struct{ Title string } }
	text, err := os.ReadFile("../docs/grafana-dashboard.json")
	if err == nil {
		err = json.Unmarshal(text, &dashboard)
	}
	if err != nil || len(dashboard.Panels) < 20 {
		t.Errorf("%d panels, %v", len(dashboard.Panels), err)
	}
}
