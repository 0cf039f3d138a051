package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

func (a *app) triggerCommand() *cobra.Command {
	var vars variableFlags
	var in bus.StartRun
	var batch int64
	var wait string
	c := &cobra.Command{
		Use: "trigger FLOW", Short: "Start a run on the serving node",
		Example: `  qarion trigger orders --var customer=7 --wait
  qarion trigger orders --json '{"customer": 7}' --batch-id 42
  qarion trigger --flow-id orders --trigger-id nightly`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				if in.Flow != "" && in.Flow != args[0] {
					return usageError(errors.New("the flow is named twice: as an argument and with --flow-id"))
				}
				in.Flow = args[0]
			}
			if in.Flow == "" {
				return usageError(errors.New("which flow? qarion trigger FLOW"))
			}
			if c.Flags().Changed("batch-id") {
				in.BatchID = &batch
			}
			return a.trigger(c.Context(), in, &vars, c.Flags().Changed("wait"), wait)
		},
	}
	vars.add(c)
	f := c.Flags()
	f.StringVar(&in.Flow, "flow-id", "", "the flow, instead of the argument")
	f.StringVar(&in.TriggerID, "trigger-id", "", "which trigger asks")
	f.StringVar(&in.ID, "id", "", "your own key: the same within 24 h starts nothing new")
	f.Int64Var(&batch, "batch-id", 0, "the batch id (default: counted per flow)")
	f.StringVar(&in.ExecutionDate, "execution-date", "", "RFC 3339 time (default: now)")
	f.StringVar(&wait, "wait", "", "wait for the end; with a time span, at most so long (--wait=30s)")
	f.Lookup("wait").NoOptDefVal = "forever"
	c.ValidArgsFunction = a.completeFlows
	return c
}

func (a *app) trigger(ctx context.Context, in bus.StartRun, vars *variableFlags, waits bool, wait string) error {
	var limit time.Duration
	if waits && wait != "forever" {
		var err error
		if limit, err = time.ParseDuration(wait); err != nil || limit <= 0 {
			return usageError(fmt.Errorf("--wait is %q, want a time span such as 30s", wait))
		}
	}
	var err error
	if in.Variables, err = vars.read(a.ui.in); err != nil {
		return err
	}
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	in.TriggerType = "cli"
	doc := new(engine.RunDoc)
	if err := s.Call(ctx, "run.start", in, doc); err != nil {
		return refused(err)
	}
	if !waits {
		switch {
		case a.json():
			return a.printJSON(doc)
		case a.flags.quiet:
			fmt.Fprintln(a.ui.out, doc.RunID)
		default:
			fmt.Fprintf(a.ui.out, "accepted: %s, run %s (stored, survives a crash)\n", doc.FlowID, doc.RunID)
		}
		return nil
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errWaited)
		defer cancel()
	}
	end, err := a.followRun(ctx, s, doc, false)
	if errors.Is(context.Cause(ctx), errWaited) && end != nil && !end.Final {
		if a.json() {
			if err := a.printJSON(end); err != nil {
				return err
			}
		}
		return &cliError{code: exitGoingOn, err: fmt.Errorf("run %s goes on: %s", end.RunID, waitingFor(end, a.ui.now())),
			hints: []string{"come back with: qarion runs watch " + string(end.RunID)}}
	}
	if err != nil {
		return err
	}
	return a.conclude(end)
}

var errWaited = errors.New("the time to wait is over")
