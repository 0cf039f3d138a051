package apicall_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
)

// TestDocs_PropertyTable holds the documented table against the code's.
func TestDocs_PropertyTable(t *testing.T) {
	const path = "../docs/api-call.md"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, p := range apicall.Table() {
		def := p.Default
		if def != "" && def != "required" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", p.Name, p.Type, def, p.Doc)
	}
	if os.Getenv("UPDATE") != "" {
		text := strings.Replace(string(data), "TABLE\n", want.String(), 1)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !strings.Contains(string(data), want.String()) {
		t.Errorf("%s does not have the table of the code:\n%s", path, want.String())
	}
}
