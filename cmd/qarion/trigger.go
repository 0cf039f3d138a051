package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

func (a *app) triggerCommand() *cobra.Command {
	var start startFlags
	var in bus.StartRun
	var wait, from string
	c := &cobra.Command{
		Use: "trigger FLOW", Short: "Start a run on the serving node",
		Example: `  qarion trigger orders --var customer=7 --wait
  qarion trigger orders --json '{"customer": 7}' --batch-id 42
  qarion trigger --flow-id orders --trigger-id nightly
  qarion trigger --from runs.jsonl        # {"flow": "orders", "variables": {"customer": 7}, "id": "k-7"} a line`,
		Args: func(c *cobra.Command, args []string) error { return cobra.MaximumNArgs(1)(c, waitGiven(args, &wait)) },
		RunE: func(c *cobra.Command, args []string) error {
			if args = waitGiven(args, &wait); len(args) == 1 {
				if in.Flow != "" && in.Flow != args[0] {
					return usageError(errors.New("the flow is named twice: as an argument and with --flow-id"))
				}
				in.Flow = args[0]
			}
			if c.Flags().Changed("from") {
				return a.triggerFrom(c, from, in.Flow)
			}
			if in.Flow == "" {
				return usageError(errors.New("which flow? qarion trigger FLOW"))
			}
			return a.trigger(c, in, &start, wait)
		},
	}
	start.add(c)
	f := c.Flags()
	f.StringVar(&in.Flow, "flow-id", "", "the flow, instead of the argument")
	f.StringVar(&in.TriggerID, "trigger-id", "", "which trigger asks")
	f.StringVar(&in.ID, "id", "", "your own key: the same within 24 h starts nothing new")
	f.StringVar(&from, "from", "", "start a run for every line of a file (- for standard input), as JSON; FLOW is that of lines that name none")
	f.StringVar(&wait, "wait", "", "wait for the end; with a time span, at most so long (--wait=30s)")
	f.Lookup("wait").NoOptDefVal = "forever"
	a.envFlag(c).Flags().Lookup("env").Usage = "the environment that the node must serve (QARION_ENV)"
	return c
}

// waitGiven takes the time span of --wait 30s out of the arguments, which
// otherwise takes it only as --wait=30s: no flow's name begins with a digit.
func waitGiven(args []string, wait *string) []string {
	if *wait == "" {
		return args
	}
	for i, arg := range args {
		if d, err := time.ParseDuration(arg); err == nil && d > 0 {
			*wait = arg
			return slices.Delete(slices.Clone(args), i, i+1)
		}
	}
	return args
}

func (a *app) trigger(c *cobra.Command, in bus.StartRun, start *startFlags, wait string) error {
	ctx, waits := c.Context(), c.Flags().Changed("wait")
	var limit time.Duration
	if waits && wait != "forever" {
		var err error
		if limit, err = time.ParseDuration(wait); err != nil || limit <= 0 {
			return usageError(fmt.Errorf("--wait is %s, want a time span such as 30s", value.Quoted(wait)))
		}
	}
	if err := start.check(); err != nil {
		return err
	}
	if name, isFile := strings.CutSuffix(filepath.Base(in.Flow), ".toml"); isFile {
		return usageError(fmt.Errorf("%s is a file; the node knows flows by their ids: qarion trigger %s", value.Quoted(in.Flow), name))
	}
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	if err := start.fill(c, a.ui.in, a.declaredBy(ctx, s, in.Flow, start), &in); err != nil {
		return err
	}
	in.TriggerType, in.Environment = "cli", a.envName()
	doc := new(engine.RunDoc)
	if err := s.Call(ctx, "run.start", in, doc); err != nil {
		return refused(err)
	}
	a.warn(doc)
	if !waits {
		switch {
		case a.json():
			return a.printJSON(doc)
		case a.flags.quiet:
			fmt.Fprintln(a.ui.out, doc.RunID)
		default:
			fmt.Fprintf(a.ui.out, "accepted: %s, run %s (stored, survives a crash)\n", doc.FlowID, doc.RunID)
			fmt.Fprintf(a.ui.err, "watch it: qarion runs watch %s\n", doc.RunID)
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

// declaredBy is the flow that says of what types --var is; nil when there is no
// --var, or when the node does not say: then the start finds out.
func (a *app) declaredBy(ctx context.Context, s *session, id string, start *startFlags) *engine.Flow {
	if len(start.vars.vars) == 0 {
		return nil
	}
	def := json.RawMessage{}
	if err := s.Call(ctx, "flow.get", map[string]string{"flow": id}, &def); err != nil {
		return nil
	}
	flow, err := engine.DecodeFlow(def)
	if err != nil {
		return nil
	}
	return flow
}

var errWaited = errors.New("the time to wait is over")
