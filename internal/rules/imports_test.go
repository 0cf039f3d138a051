// Package rules holds the rules of the house as tests.
package rules

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/qarion/qarion/"

// floors: a package may import what stands below it, never what stands beside
// it or above. Packages that are not named belong to the floor of their parent.
// Within the ground floor the libraries stand on one another (internal/jinja on
// internal/value).
var floors = map[string]int{
	"internal/value":     0,
	"internal/feed":      1,
	"internal/failpoint": 0,
	"internal/nearest":   0,
	"internal/secret":    0,
	"internal/curl":      0,
	"internal/filestore": 0,
	"internal/dag":       0,
	"internal/ratelimit": 0,
	"internal/cron":      1,
	"internal/markup":    0,
	"internal/password":  0,
	"internal/sqliteraw": 0,
	"internal/jinja":     1,
	"internal/schema":    1,
	"internal/jq":        1,
	"engine":             2,
	"engine/fold":        3,
	"internal/property":  3, // of task types
	"engine/runtime":     4,
	"engine/flowfile":    4,
	"bus":                4,
	"kvstore":            4,
	"apicall":            4,
	"transform":          4,
	"steps":              4,
	"wasmhooks":          4,
	"metadata":           4,
	"web":                4,
	"traces":             4,
	"flows":              4,
	"internal/sampleapi": 5, // a server that speaks apicall's names; only the demo starts it
	"node":               5,
	"bench":              6,
	"cmd/qarion":         7,
	"internal/testkit":   8, // for external tests only
	"internal/rules":     8,
	"internal/guests":    8, // for tests and benchmarks of hooks
	"engine/enginetest":  8,
}

func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}:{{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		name, imports, _ := strings.Cut(strings.TrimSpace(line), ":")
		pkg := strings.TrimPrefix(name, module)
		floor, ok := floorOf(pkg)
		if !ok {
			t.Errorf("package %s has no floor: name it here and in docs/architecture.md", pkg)
			continue
		}
		for _, imp := range strings.Fields(imports) {
			checkImport(t, pkg, floor, imp)
		}
	}
}

func checkImport(t *testing.T, pkg string, floor int, imp string) {
	other, ours := strings.CutPrefix(imp, module)
	if !ours {
		if floor == floors["engine"] && strings.Contains(strings.Split(imp, "/")[0], ".") {
			t.Errorf("%s imports %s: the engine knows no technology, only the standard library", pkg, imp)
		}
		if imp == "text/template" || imp == "html/template" {
			t.Errorf("%s imports %s: it calls methods by name, for which a program keeps every exported method, 7 MiB of them; internal/markup does not", pkg, imp)
		}
		return
	}
	below, ok := floorOf(other)
	if !ok || other == pkg || strings.HasPrefix(other, pkg+"/") || strings.HasPrefix(pkg, other+"/") {
		return
	}
	if below >= floor {
		t.Errorf("%s imports %s: arrows point down, and never sideways", pkg, other)
	}
}

// floorOf finds the floor of a package or of the nearest parent that has one.
func floorOf(pkg string) (int, bool) {
	for {
		if f, ok := floors[pkg]; ok {
			return f, true
		}
		i := strings.LastIndexByte(pkg, '/')
		if i < 0 {
			return 0, false
		}
		pkg = pkg[:i]
	}
}
