package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/qarion/qarion/metadata"
)

func (a *app) queryCommand() *cobra.Command {
	var q metadata.Question
	var within time.Duration
	c := &cobra.Command{
		Use: "query [SQL]", Short: "Ask the history with SQL", Args: cobra.MaximumNArgs(1),
		Long: `Asks the tables xt_flow_executions, xt_task_executions and xt_operation_logs,
read-only. Without SQL, or with "-", the statement is read from standard input.
What ended before the question was asked is in the answer.`,
		Example: `  qarion query "SELECT task_id, status, count(*) FROM xt_operation_logs GROUP BY 1, 2"
  qarion query "SELECT * FROM xt_flow_executions WHERE status = 'failed'" -o csv > failed.csv
  qarion query -o json --jq '.[].operation_details.url' < failed_calls.sql`,
		Annotations: map[string]string{moreFormats: "csv"},
		RunE: func(c *cobra.Command, args []string) error {
			q.Timeout = within.Seconds()
			var err error
			if q.SQL, err = a.statement(args); err != nil {
				return err
			}
			return a.query(c.Context(), q)
		},
	}
	c.Flags().IntVar(&q.Limit, "limit", metadata.DefaultQueryLimit, "rows at the most")
	c.Flags().DurationVar(&within, "timeout", metadata.DefaultQueryTime, "how long it may take, at most "+duration(metadata.MaxQueryTime))
	return c
}

// statement is the SQL on the command line, or from standard input.
func (a *app) statement(args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		return args[0], nil
	}
	if f, ok := a.ui.in.(*os.File); ok && len(args) == 0 && term.IsTerminal(int(f.Fd())) {
		return "", usageError(errors.New(`there is no SQL: qarion query "SELECT ...", or pipe it in`))
	}
	data, err := io.ReadAll(io.LimitReader(a.ui.in, 1<<20))
	return string(data), err
}

func (a *app) query(ctx context.Context, q metadata.Question) error {
	began := time.Now()
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	r := &result{app: a}
	behind, more := uint64(0), false
	for next := q; ; {
		answer := new(metadata.Answer)
		if err := s.Call(ctx, "query", next, answer); err != nil {
			return refused(err)
		}
		if err := r.add(answer); err != nil {
			return err
		}
		behind, more = max(behind, answer.Behind), answer.More
		if answer.Next == "" {
			break
		}
		next = metadata.Question{Next: answer.Next}
	}
	if err := r.end(); err != nil {
		return err
	}
	switch {
	case more:
		fmt.Fprintf(a.ui.err, "%s shown, there are more: --limit %d\n", plural(r.rows, "row"), min(max(2*r.rows, 100), metadata.MaxQueryLimit))
	case a.ui.errTerm && a.ui.outTerm && !a.flags.quiet:
		fmt.Fprintf(a.ui.err, "%s, %s\n", plural(r.rows, "row"), duration(time.Since(began)))
	}
	if behind > 0 {
		fmt.Fprintf(a.ui.err, "qarion: warning: the tables are %s ledger entries behind: qarion status\n", thousands(int(behind)))
	}
	return nil
}

// result prints the rows of an answer, part after part.
type result struct {
	app   *app
	names []string
	rows  int
	kept  [][]json.RawMessage // for a table, or for --jq
	csv   *csv.Writer
	out   *bufio.Writer
}

func (r *result) add(a *metadata.Answer) error {
	first := r.names == nil
	if first {
		r.names, r.out = distinct(a.Columns), bufio.NewWriter(r.app.ui.out)
	}
	r.rows += len(a.Rows)
	switch {
	case r.app.flags.quiet:
		for _, row := range a.Rows {
			fmt.Fprintln(r.out, cell(row[0]))
		}
	case r.app.flags.output == "csv":
		return r.addCSV(first, a)
	case r.app.json() && r.app.flags.jq == "":
		for i, row := range a.Rows {
			sep := ",\n"
			if first && i == 0 {
				sep = "[\n"
			}
			fmt.Fprintf(r.out, "%s%s", sep, r.object(row))
		}
	default:
		r.kept = append(r.kept, a.Rows...)
	}
	return nil
}

func (r *result) addCSV(first bool, a *metadata.Answer) error {
	if first {
		r.csv = csv.NewWriter(r.out)
		if err := r.csv.Write(a.Columns); err != nil {
			return err
		}
	}
	fields := make([]string, len(a.Columns))
	for _, row := range a.Rows {
		for i, v := range row {
			if fields[i] = cell(v); string(v) == "null" {
				fields[i] = ""
			}
		}
		if err := r.csv.Write(fields); err != nil {
			return err
		}
	}
	return nil
}

func (r *result) end() error {
	switch {
	case r.app.flags.quiet:
	case r.csv != nil:
		r.csv.Flush()
	case r.app.flags.jq != "":
		list := make([]json.RawMessage, len(r.kept))
		for i, row := range r.kept {
			list[i] = r.object(row)
		}
		return r.app.printJSON(list)
	case r.app.json() && r.rows == 0:
		fmt.Fprintln(r.out, "[]")
	case r.app.json():
		fmt.Fprint(r.out, "\n]\n")
	default:
		r.app.ui.printTable(r.table())
	}
	return r.out.Flush()
}

// object is a row as a JSON object, with its columns in order.
func (r *result) object(row []json.RawMessage) json.RawMessage {
	b := []byte{'{'}
	for i, v := range row {
		if i > 0 {
			b = append(b, ',')
		}
		name, _ := json.Marshal(r.names[i])
		b = append(append(append(b, name...), ':'), v...)
	}
	return append(b, '}')
}

// table is the rows for people. On a terminal the widest cells are cut until
// the rows fit.
func (r *result) table() *table {
	u := r.app.ui
	t := newTable(r.names...)
	cells := make([][]string, len(r.kept))
	widths := make([]int, len(r.names))
	for i, name := range r.names {
		widths[i] = text.StringWidth(name)
		numbers := len(r.kept) > 0
		for _, row := range r.kept {
			numbers = numbers && (isNumber(row[i]) || string(row[i]) == "null")
		}
		if numbers {
			t.alignRight(i)
		}
	}
	for n, row := range r.kept {
		for i, v := range row {
			c := escapeLines(cell(v))
			cells[n] = append(cells[n], c)
			widths[i] = max(widths[i], text.StringWidth(c))
		}
	}
	if u.outTerm {
		narrow(widths, u.width())
	}
	for n, row := range cells {
		for i := range row {
			if u.outTerm {
				row[i] = clip(row[i], widths[i])
			}
			if string(r.kept[n][i]) == "null" {
				row[i] = u.paint("null", dim)
			}
		}
		t.add(row...)
	}
	return t
}

// narrow cuts the widest columns until all fit into a width, with two blanks
// between them.
func narrow(widths []int, width int) {
	const least = 8
	total := 2 * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for total > width {
		widest := 0
		for i := range widths {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		if len(widths) == 0 || widths[widest] <= least {
			return
		}
		widths[widest]--
		total--
	}
}

// cell is a value as text: a text bare, anything else as JSON.
func cell(v json.RawMessage) string {
	var s string
	if len(v) > 0 && v[0] == '"' && json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

func isNumber(v json.RawMessage) bool {
	return len(v) > 0 && (v[0] == '-' || v[0] >= '0' && v[0] <= '9')
}

// escapeLines keeps a cell on one line, and control characters off the screen.
func escapeLines(s string) string {
	return printable(strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s))
}

// distinct gives columns of one name different ones: an object has each once.
func distinct(names []string) []string {
	out, seen := make([]string, len(names)), map[string]int{}
	for i, n := range names {
		seen[n]++
		if out[i] = n; seen[n] > 1 {
			out[i] = fmt.Sprintf("%s_%d", n, seen[n])
		}
	}
	return out
}
