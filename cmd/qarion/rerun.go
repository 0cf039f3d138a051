package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

func (a *app) rerunCommand() *cobra.Command {
	var in bus.RerunRun
	var vars startFlags
	var wait bool
	c := &cobra.Command{
		Use: "rerun RUN [--from failed|TASK|all]", Short: "Repeat a run, keeping what has succeeded", Args: cobra.ExactArgs(1),
		Long: "Starts a new run that repeats one which has ended, and keeps what has succeeded in it. That run itself stays as it is.\nWhere no node serves the data directory, the new run is made in this process, to its end.",
		Example: `  qarion runs rerun last --from failed           # what did not succeed, and what follows it
  qarion runs rerun last --from create_invoice   # that task too
  qarion runs rerun last --version newest        # with the flow as it is now
  qarion runs rerun last --dry-run`,
		RunE: func(c *cobra.Command, args []string) error {
			in.Run = args[0]
			return a.rerun(c.Context(), in, &vars, wait)
		},
	}
	f := c.Flags()
	f.StringVar(&in.From, "from", engine.RerunFailed, "failed: what did not succeed; a task: that one too; all: everything")
	f.StringVar(&in.Version, "version", "same", "of the flow: same as the run had, or newest")
	f.StringVar(&in.Keys, "keys", "auto", "idempotency keys: auto sends the same where it is open what became of a request, new never")
	f.BoolVar(&in.DryRun, "dry-run", false, "only say what would be done")
	f.BoolVar(&wait, "wait", false, "wait for the end")
	vars.vars.add(c)
	return c
}

func (a *app) rerun(ctx context.Context, in bus.RerunRun, vars *startFlags, wait bool) error {
	if err := vars.check(); err != nil {
		return err
	}
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	id, err := s.FindRun(ctx, in.Run)
	if err != nil {
		return refused2(err)
	}
	in.Run = string(id)
	var flow *engine.Flow
	if len(vars.vars.vars) > 0 {
		doc, err := s.Run(ctx, id)
		if err != nil {
			return refused(err)
		}
		flow = a.declaredBy(ctx, s, string(doc.FlowID), vars)
	}
	if in.Variables, err = vars.vars.read(a.ui.in, flow); err != nil {
		return err
	}
	out := new(engine.Rerunning)
	if err := s.Call(ctx, "run.rerun", in, out); err != nil {
		return refused(err)
	}
	follows := !in.DryRun && (wait || s.own != nil)
	if a.json() && !follows {
		return a.printJSON(out)
	}
	if !a.flags.quiet && !a.json() {
		a.printRerun(out)
	}
	switch {
	case in.DryRun:
		return nil
	case !follows && a.flags.quiet:
		fmt.Fprintln(a.ui.out, out.Run.RunID)
		return nil
	case !follows:
		fmt.Fprintf(a.ui.out, "accepted: %s, run %s (stored, survives a crash); watch it: qarion runs watch %s\n", out.Flow, out.Run.RunID, out.Run.RunID)
		return nil
	}
	a.warn(out.Run)
	end, err := a.followRun(ctx, s, out.Run, s.own != nil)
	if err != nil {
		return err
	}
	return a.conclude(end)
}

// printRerun says what is done again and what is kept.
func (a *app) printRerun(out *engine.Rerunning) {
	w := a.ui.err
	fmt.Fprintf(w, "again: %s; %s kept of run %s\n", nameSome(out.Tasks), plural(out.Kept, "task"), out.RerunOf)
	for _, line := range []struct {
		tasks []engine.TaskID
		text  string
	}{
		{out.GoOn, "goes on where it failed"},
		{out.SameKey, "sends the same idempotency key, where it has one: its answer leaves open what became of the request"},
		{out.Changed, "is kept, and stands otherwise in the flow now"},
	} {
		if len(line.tasks) > 0 {
			fmt.Fprintf(w, "%s: %s\n", nameSome(line.tasks), line.text)
		}
	}
	if out.Newer != "" {
		fmt.Fprintf(w, "the flow has a newer version: --version newest\n")
	}
}

// maxNamed bounds how many tasks a line names.
const maxNamed = 8

func nameSome(ids []engine.TaskID) string {
	var names []string
	for i, id := range ids {
		if i == maxNamed {
			names = append(names, fmt.Sprintf("and %d more", len(ids)-maxNamed))
			break
		}
		names = append(names, string(id))
	}
	return strings.Join(names, ", ")
}
