package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/node"
)

// logFlags are the flags of logs.
type logFlags struct {
	bus.LogFilter
	since, run string
	limit      int
	verbose    bool
}

func (a *app) logsCommand() *cobra.Command {
	var f logFlags
	c := &cobra.Command{
		Use: "logs", Short: "The operation log: one line per attempt", Args: cobra.NoArgs,
		Example: `  qarion logs --since 1h --status failed -v
  qarion logs --flow orders --limit 100
  qarion logs --follow --flow orders`,
		RunE: func(c *cobra.Command, _ []string) error { return a.logs(c.Context(), &f) },
	}
	c.Flags().BoolVarP(&f.Follow, "follow", "f", false, "go on with what comes")
	c.Flags().StringVar(&f.Flow, "flow", "", "only this flow")
	c.Flags().StringVar(&f.Task, "task", "", "only this task")
	c.Flags().StringVar(&f.Status, "status", "", "only this status: success, failed, retry, ...")
	c.Flags().StringVar(&f.run, "run", "", "only this run: last, an id or its end")
	c.Flags().StringVar(&f.since, "since", "", "from: 1h, 3d or an RFC 3339 time")
	c.Flags().IntVarP(&f.limit, "limit", "n", 0, "only so many, the newest")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "with the request, the answer and what follows")
	return c
}

// check refuses flags that cannot be meant.
func (f *logFlags) check() error {
	for what, id := range map[string]string{"flow": f.Flow, "task": f.Task} {
		if _, err := engine.ParseFlowID(id); id != "" && err != nil {
			return usageError(fmt.Errorf("--%s %q is not an id", what, id))
		}
	}
	if err := node.CheckOperationStatus(f.Status); err != nil {
		return usageError(fmt.Errorf("--%s", strings.TrimPrefix(err.Error(), engine.ErrInvalid.Error()+": ")))
	}
	switch {
	case f.limit < 0:
		return usageError(fmt.Errorf("--limit is %d, want at least 1", f.limit))
	case f.limit > 0 && f.Follow:
		return usageError(errors.New("--follow and --limit exclude each other: --since says where to begin"))
	}
	return nil
}

func (a *app) logs(ctx context.Context, f *logFlags) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	if f.Since, err = parseAge(f.since, a.ui.now()); err != nil {
		return err
	}
	if f.Follow && f.since == "" && f.run == "" {
		f.Since = a.ui.now()
	}
	s, err := a.logSession(ctx, f.Follow)
	if err != nil {
		return err
	}
	defer s.Close()
	if f.run != "" {
		if f.Run, err = s.FindRun(ctx, f.run); err != nil {
			return refused2(err)
		}
	}
	if f.Follow && a.ui.errTerm && !a.flags.quiet {
		fmt.Fprintln(a.ui.err, "-- waiting for operations; Ctrl-C stops")
	}
	print := func(raw []byte, op *engine.Operation) error { return a.printOperation(raw, op, f.verbose) }
	if f.Follow {
		err = s.Logs(ctx, f.LogFilter, print)
	} else {
		err = s.operations(ctx, f.LogFilter, f.limit, print)
	}
	if ctx.Err() != nil {
		return &cliError{code: exitCtrlC, err: ctx.Err(), silent: true}
	}
	return refused2(err)
}

func (a *app) logSession(ctx context.Context, follow bool) (*session, error) {
	if follow {
		return a.needNode()
	}
	return a.anyNode(ctx)
}

func (a *app) printOperation(raw []byte, op *engine.Operation, verbose bool) error {
	if a.json() {
		if a.flags.jq != "" {
			return a.printJSON(json.RawMessage(raw))
		}
		_, err := fmt.Fprintf(a.ui.out, "%s\n", raw)
		return err
	}
	var d engine.Details
	if err := json.Unmarshal(op.Details, &d); err != nil {
		return errors.New("an operation's details are not JSON")
	}
	l := logLine(op, &d)
	if !a.ui.outTerm {
		if d.RetryAt != "" && !op.Success {
			l.what += "; retry at " + d.RetryAt
		}
		fields := []string{op.StartTime, l.task, l.attempt, l.method, l.code, l.took, l.size, l.what}
		if verbose {
			fields = append(fields, fmt.Sprintf("run=%s batch=%d %s", op.ExecutionID, op.BatchID, op.Details))
		}
		_, err := fmt.Fprintln(a.ui.out, strings.Join(fields, "\t"))
		return err
	}
	if wait := between(op.EndTime, d.RetryAt); wait > 0 && !op.Success {
		l.what += "; retry in " + duration(wait)
	}
	l.when = a.ui.clockMillis(op.StartTime, true)
	if !verbose {
		_, err := fmt.Fprintln(a.ui.out, l.fit(a.ui.width(), a.ui.color))
		return err
	}
	_, err := fmt.Fprintln(a.ui.out, l.fit(math.MaxInt, a.ui.color)+a.operationBlock(op, &d))
	return err
}

// logRow is what one line of the log says.
type logRow struct {
	when, task, attempt, method, code, took, size string
	what                                          string // the address, or what went wrong
	style                                         style  // of code
}

func logLine(op *engine.Operation, d *engine.Details) *logRow {
	l := &logRow{
		task: fmt.Sprintf("%s.%s", op.FlowID, op.TaskID), attempt: fmt.Sprint(op.Attempt), method: d.Method, code: "-",
		took: millis(op.DurationMS), size: bytesize(d.ResponseBytes), what: strings.TrimPrefix(d.URL, "https://"), style: statusStyle(op.Status),
	}
	if d.StatusCode > 0 {
		l.code = fmt.Sprint(d.StatusCode)
	}
	if d.Database != "" {
		l.method, l.size, l.what = strings.ToUpper(op.OperationSubtype), plural(int(d.RowsProcessed), "row"), d.Database
	}
	if !op.Success {
		l.what = op.ErrorMessage
	}
	l.what = printable(l.what)
	return l
}

// The widths of a terminal under which a line of the log leaves something out:
// the size, then the method, then the attempt and parts of seconds. When, which
// task, how it ended and what it said are what is looked for.
const (
	logSize   = 100
	logMethod = 80
	logBrief  = 60
	logWhat   = 10 // columns that are worth beginning with what it said
	logTask   = 8  // columns that the task always has
)

// fit writes the line for a terminal.
func (l *logRow) fit(width int, color bool) string {
	when, rest := l.when, ""
	if width < logBrief {
		when, _, _ = strings.Cut(when, ".")
	} else {
		rest = fmt.Sprintf(" %2s", l.attempt)
	}
	if width >= logMethod {
		rest += fmt.Sprintf("  %-5s", l.method)
	}
	rest += "  " + paint(fmt.Sprintf("%3s", l.code), l.style, color) + fmt.Sprintf(" %7s", l.took)
	if width >= logSize {
		rest += fmt.Sprintf(" %8s", l.size)
	}
	most := max(logTask, width-screenWidth(when)-2-screenWidth(rest))
	task := clip(l.task, most)
	line := when + "  " + task + strings.Repeat(" ", max(0, min(24, most)-screenWidth(task))) + rest
	if width-screenWidth(line) >= logWhat {
		line += "  " + l.what
	}
	return clip(strings.TrimRight(line, " "), width)
}

// operationBlock is what a person sees of an operation beside its line.
func (a *app) operationBlock(op *engine.Operation, d *engine.Details) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  run %s · batch %d · %s", op.ExecutionID, op.BatchID, op.Status)
	if op.Superseded {
		b.WriteString(" (too late: it changed nothing)")
	}
	a.request(&b, d)
	for _, line := range d.Validation {
		fmt.Fprintf(&b, "    %s\n", printable(line))
	}
	a.answer(&b, lastAttempt([]engine.AttemptDoc{{Turn: op.Turn, Attempt: op.Attempt}}), d, false, fmt.Sprintf("qarion runs show %s --task %s --body", op.ExecutionID, op.TaskID))
	for _, hint := range hintsOf(d) {
		fmt.Fprintf(&b, "\n  hint: %s\n", hint)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
