package transform_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/qarion/qarion/transform"
)

// TestDocs_TablesAreThoseOfTheCode: every property with its default, every class
// of failure.
func TestDocs_TablesAreThoseOfTheCode(t *testing.T) {
	text, err := os.ReadFile("../docs/transformation.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, p := range transform.Table() {
		def := p.Default
		if def != "" && def != "required" {
			def = "`" + def + "`"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |", p.Name, p.Type, def, p.Doc))
	}
	for _, c := range transform.Classes() {
		retried := map[bool]string{true: "yes", false: "no"}[c.Retried]
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |", c.Name, retried, c.Doc))
	}
	for _, row := range rows {
		if !strings.Contains(string(text), row+"\n") {
			t.Errorf("docs/transformation.md lacks %s", row)
		}
	}
	for _, def := range []struct {
		name string
		want float64
	}{
		{"timeout", transform.DefaultTimeout.Seconds()}, {"retry_delay", transform.DefaultRetryDelay.Seconds()}, {"retry_backoff", transform.DefaultRetryBackoff},
		{"retry_max_delay", transform.DefaultRetryMaxDelay.Seconds()}, {"max_rows", transform.DefaultMaxRows}, {"max_bytes", transform.DefaultMaxBytes},
	} {
		for _, p := range transform.Table() {
			var got float64
			if _, err := fmt.Sscan(p.Default, &got); p.Name == def.name && (err != nil || got != def.want) {
				t.Errorf("%s is %v by default, the table says %s", def.name, def.want, p.Default)
			}
		}
	}
}
