package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	code := "-"
	if d.StatusCode > 0 {
		code = fmt.Sprint(d.StatusCode)
	}
	what := strings.TrimPrefix(d.URL, "https://")
	method, size := d.Method, bytesize(d.ResponseBytes)
	if d.Database != "" {
		method, size = strings.ToUpper(op.OperationSubtype), plural(int(d.RowsProcessed), "row")
		what = d.Database
	}
	if !op.Success {
		what = op.ErrorMessage
		if d.RetryAt != "" {
			what += "; retry at " + d.RetryAt
		}
	}
	what = printable(what)
	fields := []string{op.StartTime, fmt.Sprintf("%s.%s", op.FlowID, op.TaskID), fmt.Sprint(op.Attempt), method, code, millis(op.DurationMS), size, what}
	if !a.ui.outTerm {
		if verbose {
			fields = append(fields, fmt.Sprintf("run=%s batch=%d %s", op.ExecutionID, op.BatchID, op.Details))
		}
		_, err := fmt.Fprintln(a.ui.out, strings.Join(fields, "\t"))
		return err
	}
	line := fmt.Sprintf("%s  %-24s %2s  %-5s %3s %7s %8s  %s", a.ui.clockMillis(op.StartTime, true), fields[1], fields[2], method,
		a.ui.paint(code, statusStyle(op.Status)), fields[5], fields[6], what)
	if !verbose {
		_, err := fmt.Fprintln(a.ui.out, clip(line, a.ui.width()))
		return err
	}
	_, err := fmt.Fprintln(a.ui.out, line+a.operationBlock(op, &d))
	return err
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
	a.answer(&b, op.Attempt, d, false, fmt.Sprintf("qarion runs show %s --task %s --body", op.ExecutionID, op.TaskID))
	for _, hint := range hintsOf(d) {
		fmt.Fprintf(&b, "\n  hint: %s\n", hint)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
