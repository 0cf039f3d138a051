package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

func (a *app) signalCommand() *cobra.Command {
	var in bus.SendSignal
	var byKey bool
	var val string
	c := &cobra.Command{
		Use: "signal RUN NAME | --key FLOW NAME KEY", Short: "Wake a task that waits for a signal",
		Long: "Tells a run something from outside: a task of type wait that waits for the signal goes on, and leaves what comes with it.\nOne that comes early is kept for 24 hours.",
		Example: `  qarion signal last paid --json '{"sum": 12.5}'
  qarion signal --key orders paid 4711      # whichever run of orders waits for 4711`,
		Args: func(c *cobra.Command, args []string) error {
			if byKey {
				return cobra.ExactArgs(3)(c, args)
			}
			return cobra.ExactArgs(2)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if in.Signal = args[1]; byKey {
				in.Flow, in.Key = args[0], args[2]
			} else {
				in.Run = args[0]
			}
			return a.signal(c.Context(), in, val)
		},
	}
	c.Flags().BoolVar(&byKey, "key", false, "name a flow and a key instead of a run")
	c.Flags().StringVar(&val, "json", "", "what comes with it, as JSON")
	c.Flags().StringVar(&in.ID, "id", "", "of the message: the same within 24 hours wakes nothing more")
	return c
}

// errNoJSON is what a person hears who gives no JSON with a flag.
func errNoJSON(flag string) error {
	return usageError(fmt.Errorf("--%s is not JSON; a text stands in double quotes of its own: '\"text\"'", flag))
}

func (a *app) signal(ctx context.Context, in bus.SendSignal, val string) error {
	if val != "" && !json.Valid([]byte(val)) {
		return errNoJSON("json")
	}
	in.Value = json.RawMessage(val)
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	if in.Run != "" {
		id, err := s.FindRun(ctx, in.Run)
		if err != nil {
			return refused2(err)
		}
		in.Run = string(id)
	}
	var out engine.Signalled
	if err := s.Admin(ctx, "run.signal", in, &out); err != nil {
		return refused(err)
	}
	switch {
	case a.json():
		return a.printJSON(out)
	case out.Known:
		fmt.Fprintf(a.ui.out, "signal %s with the id %s came before: nothing more happens\n", out.Name, in.ID)
	case out.Kept && out.Run == "":
		fmt.Fprintf(a.ui.out, "no run of %s waits for signal %s (key %s) yet: it is kept for 24 hours\n", in.Flow, out.Name, in.Key)
	case out.Kept:
		fmt.Fprintf(a.ui.out, "run %s does not wait for signal %s yet: it is kept for 24 hours\n", out.Run, out.Name)
	default:
		fmt.Fprintf(a.ui.out, "%s goes on; watch the run: qarion runs watch %s\n", out.Task, out.Run)
	}
	return nil
}

// decideCommand is runs approve or runs reject.
func (a *app) decideCommand(as, short string) *cobra.Command {
	in := bus.DecideTask{As: as}
	var val string
	c := &cobra.Command{
		Use: as + " RUN TASK", Short: short, Args: cobra.ExactArgs(2),
		Example: fmt.Sprintf("  qarion runs %s last release --comment 'seen by both'", as),
		RunE: func(c *cobra.Command, args []string) error {
			in.Run, in.Task = args[0], args[1]
			return a.decide(c.Context(), in, val)
		},
	}
	c.Flags().StringVar(&in.Comment, "comment", "", "why, for those who read the run")
	c.Flags().StringVar(&val, "json", "", "what the task leaves beside the decision, as JSON")
	return c
}

func (a *app) decide(ctx context.Context, in bus.DecideTask, val string) error {
	if val != "" && !json.Valid([]byte(val)) {
		return errNoJSON("json")
	}
	in.Value = json.RawMessage(val)
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	id, err := s.FindRun(ctx, in.Run)
	if err != nil {
		return refused2(err)
	}
	in.Run = string(id)
	d := new(engine.RunDoc)
	if err := s.Signed(ctx, "run.decide", in, d); err != nil {
		if errors.Is(err, engine.ErrConflict) {
			return fail(err, "qarion runs show "+in.Run)
		}
		return refused(err)
	}
	if a.json() {
		return a.printJSON(d)
	}
	fmt.Fprintf(a.ui.out, "%s is %sed; watch the run: qarion runs watch %s\n", in.Task, map[string]string{"approve": "approv", "reject": "reject"}[in.As], id)
	return nil
}
