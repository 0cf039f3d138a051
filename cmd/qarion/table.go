package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	gotable "github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// table is a list for people: aligned columns, no boxes, and outside of a
// terminal nothing cut.
type table struct {
	head    []string
	cells   [][]string
	right   map[int]bool // columns of numbers
	gives   []int        // on a narrow terminal: columns that go, in this order
	elastic []int        // columns that are shortened, the first before any goes
	ids     bool         // the first column holds run ids, whose ends say enough
}

func newTable(head ...string) *table {
	t := &table{head: head, right: map[int]bool{}}
	for i := len(head) - 1; i >= 3; i-- {
		t.gives = append(t.gives, i)
	}
	return t
}

func (t *table) add(cells ...string) { t.cells = append(t.cells, cells) }

// alignRight marks columns of numbers.
func (t *table) alignRight(columns ...int) *table {
	for _, c := range columns {
		t.right[c] = true
	}
	return t
}

// narrow says what a narrow terminal does without: columns that go, in this
// order. Unsaid, the last goes first, and three stay.
func (t *table) narrow(gives ...int) *table {
	t.gives = gives
	return t
}

// shorten marks columns whose text may be cut. The first is cut rather than any
// column goes, the others when no more can go.
func (t *table) shorten(columns ...int) *table {
	t.elastic = columns
	return t
}

// minElastic is what is left of a column that is shortened.
const minElastic = 10

// lines renders the table. On a terminal it is made to fit into the width:
// columns are shortened or left out, and in the end lines are cut.
func (t *table) lines(onTerminal bool, width int) []string {
	kept := make([]int, len(t.head))
	for i := range kept {
		kept[i] = i
	}
	if !onTerminal {
		return t.render(kept, nil)
	}
	gives, ids := t.gives, t.ids
	for {
		over := t.width(kept, !ids && t.ids) - width
		cut := map[int]int{} // column -> width
		if over > 0 && len(t.elastic) > 0 && slices.Contains(kept, t.elastic[0]) {
			over -= t.cut(cut, t.elastic[0], over)
		}
		switch {
		case over <= 0:
			return t.fit(kept, cut, !ids && t.ids, width)
		case ids && len(gives) < len(t.gives): // something has gone already
			ids = false
		case len(gives) > 0:
			kept = slices.DeleteFunc(kept, func(c int) bool { return c == gives[0] })
			gives = gives[1:]
		case ids:
			ids = false
		default:
			for _, c := range t.elastic {
				if over > 0 && cut[c] == 0 && slices.Contains(kept, c) {
					over -= t.cut(cut, c, over)
				}
			}
			return t.fit(kept, cut, !ids && t.ids, width)
		}
	}
}

// cut notes that a column shall be narrower by up to n, and returns by how much.
func (t *table) cut(cut map[int]int, column, n int) int {
	w := t.columnWidth(column, false)
	least := max(minElastic, screenWidth(t.head[column]))
	if w-n < least {
		n = max(0, w-least)
	}
	if n > 0 {
		cut[column] = w - n
	}
	return n
}

func (t *table) columnWidth(column int, short bool) int {
	w := screenWidth(t.head[column])
	for _, cells := range t.cells {
		if column < len(cells) {
			c := cells[column]
			if short && column == 0 {
				c = shortID(c)
			}
			w = max(w, screenWidth(c))
		}
	}
	return w
}

func (t *table) width(kept []int, short bool) (w int) {
	for _, c := range kept {
		w += t.columnWidth(c, short) + 2
	}
	return w - 2
}

// shortID is the end of a run id, which names the run as well.
func shortID(s string) string {
	if len(s) != 26 {
		return s
	}
	return "…" + s[len(s)-8:]
}

// fit renders the columns that are kept, as narrow as was found.
func (t *table) fit(kept []int, cut map[int]int, short bool, width int) []string {
	lines := t.render(kept, func(column int, cell string) string {
		if short && column == 0 {
			cell = shortID(cell)
		}
		if w := cut[column]; w > 0 {
			cell = clip(cell, w)
		}
		return cell
	})
	for i := range lines {
		lines[i] = clip(lines[i], width)
	}
	return lines
}

func (t *table) render(kept []int, shown func(column int, cell string) string) []string {
	w := gotable.NewWriter()
	w.SetStyle(gotable.Style{
		Box:     gotable.BoxStyle{PaddingLeft: "", PaddingRight: "  "},
		Options: gotable.Options{},
		Format:  gotable.FormatOptions{Header: text.FormatDefault},
	})
	row := func(cells []string, shown func(int, string) string) gotable.Row {
		r := make(gotable.Row, 0, len(kept))
		for _, i := range kept {
			c := ""
			if i < len(cells) {
				c = cells[i]
			}
			if shown != nil {
				c = shown(i, c)
			}
			r = append(r, c)
		}
		return r
	}
	w.AppendHeader(row(t.head, nil))
	for _, c := range t.cells {
		w.AppendRow(row(c, shown))
	}
	var conf []gotable.ColumnConfig
	for at, i := range kept {
		if t.right[i] {
			conf = append(conf, gotable.ColumnConfig{Number: at + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
		}
	}
	w.SetColumnConfigs(conf)
	lines := strings.Split(w.Render(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

// print writes the table to the result stream: aligned on a terminal and in
// pipes alike.
func (u *ui) printTable(t *table) {
	for _, line := range t.lines(u.outTerm, u.width()) {
		fmt.Fprintln(u.out, line)
	}
}

// clockMillis is clock with milliseconds.
func (u *ui) clockMillis(rfc3339 string, onTerminal bool) string {
	if !onTerminal {
		return rfc3339
	}
	t, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		return rfc3339
	}
	t = t.Local()
	if now := u.now(); t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05.000")
	}
	return t.Format("Jan 02 15:04:05.000")
}
