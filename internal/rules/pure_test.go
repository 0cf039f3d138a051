package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pureImports is all that the fold may import: nouns, values, and parts of the
// standard library that only compute.
var pureImports = []string{
	"bytes", "cmp", "container/heap", "crypto/sha256", "encoding/binary", "encoding/json", "errors", "fmt", "iter", "maps", "slices", "strconv", "strings", "time",
	module + "engine", module + "internal/value",
}

// TestFoldIsPure: no clock, no log, no channel, no goroutine, no I/O.
func TestFoldIsPure(t *testing.T) {
	files, err := filepath.Glob("../../engine/fold/*.go")
	if err != nil || len(files) < 5 {
		t.Fatalf("the fold's files: %v, %v", files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, impure := range impurities(t, file, src) {
			t.Error(impure)
		}
	}
}

func TestFoldIsPure_ARuleThatCannotBreakIsNone(t *testing.T) {
	for _, body := range []string{
		`import "log/slog"; var _ = slog.Info`,
		`import "time"; var _ = time.Now`,
		`import "time"; func f() { <-time.After(1) }`,
		`func f(c chan int) {}`,
		`func f() { go f() }`,
		`func f() { select {} }`,
	} {
		if got := impurities(t, "bad.go", []byte("package fold\n"+body)); len(got) == 0 {
			t.Errorf("passes for pure: %s", body)
		}
	}
}

func impurities(t *testing.T, file string, src []byte) (found []string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	add := func(n ast.Node, what string) { found = append(found, fset.Position(n.Pos()).String()+": "+what) }
	for _, imp := range f.Imports {
		if path := strings.Trim(imp.Path.Value, `"`); !slices.Contains(pureImports, path) {
			add(imp, "imports "+path)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			add(n, "starts a goroutine")
		case *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
			add(n, "uses a channel")
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"}, n.Sel.Name) {
				add(n, "asks the clock")
			}
		}
		return true
	})
	return found
}
