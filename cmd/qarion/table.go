package main

import (
	"fmt"
	"strings"
	"time"

	gotable "github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// table is a list for people: aligned columns, no boxes, and outside of a
// terminal nothing cut.
type table struct {
	head  []string
	cells [][]string
	right map[int]bool // columns of numbers
}

func newTable(head ...string) *table { return &table{head: head, right: map[int]bool{}} }

func (t *table) add(cells ...string) { t.cells = append(t.cells, cells) }

// alignRight marks columns of numbers.
func (t *table) alignRight(columns ...int) *table {
	for _, c := range columns {
		t.right[c] = true
	}
	return t
}

// lines renders the table. On a terminal columns are dropped from the end
// until it fits into the width.
func (t *table) lines(_ *ui, onTerminal bool, width int) []string {
	n := len(t.head)
	for {
		out := t.render(n)
		if !onTerminal || n <= 3 || widest(out) <= width {
			if onTerminal {
				for i := range out {
					out[i] = clip(out[i], width)
				}
			}
			return out
		}
		n--
	}
}

func widest(lines []string) (w int) {
	for _, l := range lines {
		w = max(w, text.StringWidthWithoutEscSequences(l))
	}
	return w
}

func (t *table) render(columns int) []string {
	w := gotable.NewWriter()
	w.SetStyle(gotable.Style{
		Box:     gotable.BoxStyle{PaddingLeft: "", PaddingRight: "  "},
		Options: gotable.Options{},
		Format:  gotable.FormatOptions{Header: text.FormatDefault},
	})
	row := func(cells []string) gotable.Row {
		r := make(gotable.Row, 0, columns)
		for i := range columns {
			c := ""
			if i < len(cells) {
				c = cells[i]
			}
			r = append(r, c)
		}
		return r
	}
	w.AppendHeader(row(t.head))
	for _, c := range t.cells {
		w.AppendRow(row(c))
	}
	var conf []gotable.ColumnConfig
	for i := range columns {
		if t.right[i] {
			conf = append(conf, gotable.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
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
	for _, line := range t.lines(u, u.outTerm, u.width()) {
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
	return t.Local().Format("15:04:05.000")
}
