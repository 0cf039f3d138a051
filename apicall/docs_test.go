package apicall_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
)

const page = "../docs/api-call.md"

// TestDocs_Tables holds the documented tables against the code's. With UPDATE
// set, the lines between the marks are written anew.
func TestDocs_Tables(t *testing.T) {
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for mark, want := range map[string]string{"properties": propertyTable(), "classes": classTable()} {
		begin, end := "<!-- "+mark+" -->\n", "<!-- end of "+mark+" -->"
		before, rest, ok := strings.Cut(text, begin)
		table, after, ends := strings.Cut(rest, end)
		if !ok || !ends {
			t.Fatalf("%s lacks the marks %q and %q", page, begin, end)
		}
		if table != want && os.Getenv("UPDATE") == "" {
			t.Errorf("%s differs from the code in the table of %s; run the test with UPDATE=1", page, mark)
		}
		text = before + begin + want + end + after
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDocs_RetriedStatuses holds the sentence that lists them against the code.
func TestDocs_RetriedStatuses(t *testing.T) {
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, status := range apicall.RetriedStatuses() {
		list = append(list, fmt.Sprint(status))
	}
	last := len(list) - 1
	want := "the answers " + strings.Join(list[:last], ", ") + " and " + list[last] + "."
	if text := strings.Join(strings.Fields(string(data)), " "); !strings.Contains(text, want) {
		t.Errorf("%s does not say %q", page, want)
	}
}

func propertyTable() string {
	var b strings.Builder
	b.WriteString("\n| Property | Type | Default | Meaning |\n| --- | --- | --- | --- |\n")
	for _, p := range apicall.Table() {
		def := p.Default
		if def != "" && def != "required" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", p.Name, p.Type, def, p.Doc)
	}
	return b.String() + "\n"
}

func classTable() string {
	var b strings.Builder
	b.WriteString("\n| Class | Meaning |\n| --- | --- |\n")
	for _, c := range apicall.Classes() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", c.Name, c.Doc)
	}
	return b.String() + "\n"
}
