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
)

func (a *app) logsCommand() *cobra.Command {
	var f bus.LogFilter
	var since, run string
	c := &cobra.Command{
		Use: "logs", Short: "The operation log: one line per attempt", Args: cobra.NoArgs,
		Example: `  qarion logs --since 1h --status failed
  qarion logs --follow --flow orders`,
		RunE: func(c *cobra.Command, _ []string) error { return a.logs(c.Context(), f, since, run) },
	}
	c.Flags().BoolVarP(&f.Follow, "follow", "f", false, "go on with what comes")
	c.Flags().StringVar(&f.Flow, "flow", "", "only this flow")
	c.Flags().StringVar(&f.Task, "task", "", "only this task")
	c.Flags().StringVar(&f.Status, "status", "", "only this status: success, failed, retry, ...")
	c.Flags().StringVar(&run, "run", "", "only this run: last, an id or its end")
	c.Flags().StringVar(&since, "since", "", "from: 1h, 3d or an RFC 3339 time")
	return c
}

func (a *app) logs(ctx context.Context, f bus.LogFilter, since, run string) error {
	at, err := parseAge(since, a.ui.now())
	if err != nil {
		return err
	}
	f.Since = at
	if f.Follow && since == "" && run == "" {
		f.Since = a.ui.now()
	}
	for what, id := range map[string]string{"flow": f.Flow, "task": f.Task} {
		if _, err := engine.ParseFlowID(id); id != "" && err != nil {
			return usageError(fmt.Errorf("--%s %q is not an id", what, id))
		}
	}
	s, err := a.logSession(ctx, f.Follow)
	if err != nil {
		return err
	}
	defer s.Close()
	if run != "" {
		if f.Run, err = s.FindRun(ctx, run); err != nil {
			return refused2(err)
		}
	}
	if f.Follow && a.ui.errTerm && !a.flags.quiet {
		fmt.Fprintln(a.ui.err, "-- waiting for operations; Ctrl-C stops")
	}
	err = s.Logs(ctx, f, func(raw []byte, op *engine.Operation) error { return a.printOperation(raw, op) })
	if ctx.Err() != nil {
		return &cliError{code: exitCtrlC, err: ctx.Err(), silent: true}
	}
	return err
}

func (a *app) logSession(ctx context.Context, follow bool) (*session, error) {
	if follow {
		return a.needNode()
	}
	return a.anyNode(ctx)
}

func (a *app) printOperation(raw []byte, op *engine.Operation) error {
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
	if !op.Success {
		what = op.ErrorMessage
		if d.RetryAt != "" {
			what += "; retry at " + d.RetryAt
		}
	}
	what = printable(what)
	fields := []string{op.StartTime, fmt.Sprintf("%s.%s", op.FlowID, op.TaskID), fmt.Sprint(op.Attempt), d.Method, code, millis(op.DurationMS), bytesize(d.ResponseBytes), what}
	if !a.ui.outTerm {
		_, err := fmt.Fprintln(a.ui.out, strings.Join(fields, "\t"))
		return err
	}
	line := fmt.Sprintf("%s  %-24s %2s  %-5s %3s %7s %8s  %s", a.ui.clockMillis(op.StartTime, true), fields[1], fields[2], d.Method,
		a.ui.paint(code, statusStyle(op.Status)), fields[5], fields[6], what)
	_, err := fmt.Fprintln(a.ui.out, clip(line, a.ui.width()))
	return err
}
