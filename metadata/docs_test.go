package metadata_test

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/metadata"
)

// TestDocs_TablesAreAsTheyAre holds docs/tables.md against both schemas: the
// same columns, in order, of the same types, null where it says so.
func TestDocs_TablesAreAsTheyAre(t *testing.T) {
	data, err := os.ReadFile("../docs/tables.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	table := ""
	row := regexp.MustCompile("^\\| `(\\w+)` \\| (\\w+)(, null)? \\|")
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "## xt_"); ok {
			name, _, _ = strings.Cut(name, ":")
			table = "xt_" + name
		}
		if m := row.FindStringSubmatch(line); m != nil {
			documented[table] = append(documented[table], fmt.Sprint(m[1], " ", m[2], " null=", m[3] != ""))
		}
	}
	kinds := map[string]string{
		"TEXT": "text", "BIGINT": "bigint", "INTEGER": "bigint", "BOOLEAN": "boolean", "DOUBLE PRECISION": "double", "JSON_TEXT": "JSON",
		"text": "text", "bigint": "bigint", "boolean": "boolean", "double precision": "double", "jsonb": "JSON", "timestamp with time zone": "time",
	}
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		tables := open()
		project(t, tables, live(t, 1, 1).changes, live(t, 1, 1).rng, 10)
		for table, want := range documented {
			sql := "SELECT name, type, CASE \"notnull\" WHEN 1 THEN 'NO' ELSE 'YES' END FROM pragma_table_info('" + table + "') ORDER BY cid"
			if strings.HasSuffix(t.Name(), "/postgres") {
				sql = "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = '" + table + "' AND table_schema = current_schema() ORDER BY ordinal_position"
			}
			answer, err := tables.Query(t.Context(), metadata.Question{SQL: sql})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range answer.Rows {
				name, kind := strings.Trim(string(r[0]), `"`), kinds[strings.Trim(string(r[1]), `"`)]
				if kind == "text" && (strings.HasSuffix(name, "_time") || strings.HasSuffix(name, "_date")) {
					kind = "time"
				}
				got = append(got, fmt.Sprint(name, " ", kind, " null=", string(r[2]) == `"YES"`))
			}
			if len(want) == 0 || strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s has\n%s\ndocs/tables.md says\n%s", table, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		if len(documented) != 3 {
			t.Errorf("docs/tables.md names %d tables, want 3", len(documented))
		}
	})
}

// TestDocs_NameEveryKeyOfTheDetails: whoever writes a query finds the key there.
func TestDocs_NameEveryKeyOfTheDetails(t *testing.T) {
	data, err := os.ReadFile("../docs/tables.md")
	if err != nil {
		t.Fatal(err)
	}
	_, keys, _ := strings.Cut(string(data), "Keys of `operation_details`")
	keys, _, _ = strings.Cut(keys, "\n## ")
	documented := map[string]bool{}
	for line := range strings.Lines(keys) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for _, key := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(cell, -1) {
			documented[key[1]] = true
		}
	}
	details := reflect.TypeFor[engine.Details]()
	for i := range details.NumField() {
		key, _, _ := strings.Cut(details.Field(i).Tag.Get("json"), ",")
		if !documented[key] {
			t.Errorf("docs/tables.md does not say what %s is", key)
		}
		delete(documented, key)
	}
	for key := range documented {
		t.Errorf("docs/tables.md names %s, which no operation has", key)
	}
}
