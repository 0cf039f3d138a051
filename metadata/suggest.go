package metadata

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/qarion/qarion/engine"
)

// unknownName finds what a statement names and there is not, in the words of
// SQLite and of PostgreSQL.
var unknownName = regexp.MustCompile(`^(?:no such (column|table): "?([\w.]+)"?|(column|relation) "?([\w.]+)"? does not exist)`)

// suggest adds the nearest name that there is.
func suggest(text string) string {
	m := unknownName.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	known, name := []string{tableFlows, tableTasks, tableOps}, m[2]+m[4]
	if m[1]+m[3] == "column" {
		known = strings.Split(flowColumns+", "+taskColumns+", "+opColumns+", rows_loaded", ", ")
		name = name[strings.LastIndexByte(name, '.')+1:]
	}
	if near := engine.Nearest(name, known); near != "" && near != name {
		return fmt.Sprintf("%s (did you mean %q?)", text, near)
	}
	if m[1]+m[3] != "column" {
		return text + " (there are: " + strings.Join(known, ", ") + ")"
	}
	return text
}
