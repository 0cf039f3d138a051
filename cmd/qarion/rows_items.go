package main

import (
	"fmt"
	"strings"

	"github.com/qarion/qarion/engine"
)

// itemsBar is how many characters the bar of a task's items has.
const itemsBar = 20

// shownFailures is how many of the items that failed are shown with a run.
const shownFailures = 3

// itemsNote says how a task's items stand: "[#####-----] 1,200 of 2,000 items, 3
// failed". Once the task has ended there is no bar.
func itemsNote(d *engine.ItemsDoc, ended bool) string {
	done := d.Success + d.Failed
	var b strings.Builder
	switch {
	case ended:
		fmt.Fprintf(&b, "%d items", d.Total)
	default:
		filled := 0
		if d.Total > 0 {
			filled = (done + d.Skipped) * itemsBar / d.Total
		}
		fmt.Fprintf(&b, "[%s%s] %d of %d items", strings.Repeat("#", filled), strings.Repeat("-", itemsBar-filled), done+d.Skipped, d.Total)
	}
	for _, c := range []struct {
		n    int
		text string
	}{{d.Failed, "failed"}, {d.Skipped, "skipped"}, {d.Interrupted, "interrupted"}} {
		if c.n > 0 {
			fmt.Fprintf(&b, ", %d %s", c.n, c.text)
		}
	}
	return b.String()
}

// itemFailures are lines about the first items that failed, or wait for a person.
func itemFailures(t *engine.TaskDoc, indent string) (lines []string) {
	if t.Items == nil {
		return nil
	}
	list := t.Items.Failures
	for i := range list[:min(len(list), shownFailures)] {
		f := &list[i]
		line := fmt.Sprintf("%sitem %d: %s", indent, f.Item, f.Message)
		if f.Attempts > 1 {
			line += fmt.Sprintf(" (%d attempts)", f.Attempts)
		}
		lines = append(lines, line)
	}
	if more := t.Items.Failed + t.Items.Interrupted - len(lines); more > 0 && len(lines) > 0 {
		lines = append(lines, fmt.Sprintf("%s%d more: qarion logs RUN --task %s --status failed", indent, more, t.TaskID))
	}
	return lines
}
