package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

func (a *app) runCommand() *cobra.Command {
	var start startFlags
	c := &cobra.Command{
		Use: "run FILE", Short: "Run one flow to its end",
		Long: "Runs one flow, a file or the id of one in the flow folder, in this process, or on the node that serves the data directory.\nExit code 0 on success, 1 on failure. Ctrl-C cancels the run; a second one stops now.",
		Example: `  qarion run flows/orders.toml --var customer=7
  qarion run flows/orders.toml --env prod
  qarion run flows/orders.toml --json '{"customer": 7}' --output json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.run(c, args[0], &start) },
	}
	start.add(c)
	return a.envFlag(c)
}

func (a *app) run(c *cobra.Command, name string, start *startFlags) error {
	ctx := c.Context()
	if err := start.check(); err != nil {
		return err
	}
	types, done, err := a.taskTypes()
	if err != nil {
		return err
	}
	defer done()
	flow, err := a.findFlow(name, types)
	if err != nil {
		return err
	}
	in := bus.RunFlow{StartRun: bus.StartRun{TriggerType: "cli"}}
	if err := start.fill(c, a.ui.in, flow, &in.StartRun); err != nil {
		return err
	}
	if err := engine.CheckVariables(flow, in.Variables); err != nil {
		return fail(err)
	}
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if in.Flow, _, err = flow.Encode(); err != nil {
		return err
	}
	doc := new(engine.RunDoc)
	if err := s.Admin(ctx, "flow.run", in, doc); err != nil {
		return refused(err)
	}
	a.warn(doc)
	end, err := a.followRun(ctx, s, doc, true)
	if err != nil {
		return err
	}
	err = a.conclude(end)
	var e *cliError
	if ctx.Err() != nil && errors.As(err, &e) {
		e.code = exitCtrlC
	}
	return err
}

// warn prints what the answer to a start warns of.
func (a *app) warn(doc *engine.RunDoc) {
	for _, w := range doc.Warnings {
		a.ui.problem("warning", errors.New(w))
	}
}

// refused is the node's no to a request: a failure, not a missing server.
func refused(err error) error {
	var call *bus.CallError
	if errors.As(err, &call) {
		return fail(err)
	}
	return err
}

// followRun watches a run to its end. With cancels, Ctrl-C cancels the run and
// a second one stops watching; else Ctrl-C ends only the watching.
func (a *app) followRun(ctx context.Context, s *session, doc *engine.RunDoc, cancels bool) (*engine.RunDoc, error) {
	if !a.flags.quiet && !a.json() {
		head := heading(doc)
		if a.ui.errTerm {
			head = clip(head, a.ui.width())
		}
		fmt.Fprintln(a.ui.err, head)
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if cancels {
		defer context.AfterFunc(ctx, func() { a.cancelOnce(s, doc.RunID, stop) })()
	} else {
		defer context.AfterFunc(ctx, stop)()
	}
	var view *live
	a.told = map[engine.TaskID]engine.Status{}
	end, err := s.Watch(watching, doc.RunID, func(d *engine.RunDoc) {
		if view == nil {
			view = a.newLive(ctx, len(d.Tasks)+2)
		}
		if view != nil {
			view.show(func() []string {
				return append(rows(d, a.ui.width()-3, a.ui.now(), a.ui.errColor), "", "  "+tally(d, a.ui.now()))
			})
		} else if !a.flags.quiet && !a.json() {
			a.plainProgress(d)
		}
	})
	view.erase()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return end, a.leave(end, cancels)
	}
	return end, err
}

// leave is what a person reads who has stopped watching.
func (a *app) leave(d *engine.RunDoc, cancelled bool) error {
	if d == nil || cancelled {
		return &cliError{code: exitCtrlC, err: errors.New("stopped"), silent: true}
	}
	return &cliError{code: exitCtrlC, err: fmt.Errorf("stopped watching; run %s goes on: %s", d.RunID, waitingFor(d, a.ui.now())),
		hints: []string{"come back with: qarion runs watch " + string(d.RunID)}}
}

// cancelOnce cancels a run at the first Ctrl-C; a second one gives up.
func (a *app) cancelOnce(s *session, id engine.RunID, giveUp func()) {
	fmt.Fprintln(a.ui.err, "cancelling: calls in flight are cut off; Ctrl-C again stops now")
	second := make(chan os.Signal, 1)
	signal.Notify(second, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(second)
	ctx, done := context.WithTimeout(context.Background(), engine.DefaultGrace)
	defer done()
	if err := s.Call(ctx, "run.cancel", bus.RunRef{Run: string(id), Reason: "by hand"}, nil); err != nil {
		giveUp()
		return
	}
	select {
	case <-second:
	case <-ctx.Done():
	}
	giveUp()
}

// worthTelling is the wait from which on a run that does nothing else says so
// where nothing may repaint.
const worthTelling = 2 * time.Second

// plainProgress prints a line per task that ended, where nothing may repaint,
// and one for a long wait.
func (a *app) plainProgress(d *engine.RunDoc) {
	for i := range d.Tasks {
		t := &d.Tasks[i]
		if t.Status.Final() && a.told[t.TaskID] != t.Status {
			a.told[t.TaskID] = t.Status
			fmt.Fprintln(a.ui.err, row(t, nameWidth(d), a.ui.now(), a.ui.errColor))
		}
	}
	if t := d.Waiting; t != nil && a.told[t.TaskID] != engine.Ready {
		at, err := time.Parse(time.RFC3339, t.NotBefore)
		if t.Status == engine.Waiting && t.NotBefore == "" || err == nil && at.Sub(a.ui.now()) > worthTelling {
			a.told[t.TaskID] = engine.Ready
			fmt.Fprintln(a.ui.err, row(t, nameWidth(d), a.ui.now(), a.ui.errColor))
		}
	}
}

// waitingFor says in one line what a run waits for.
func waitingFor(d *engine.RunDoc, now time.Time) string {
	for i := range d.Tasks {
		t := &d.Tasks[i]
		switch t.Status {
		case engine.Ready, engine.Waiting:
			return fmt.Sprintf("waiting for %s: %s", t.TaskID, waitNote(t, now))
		case engine.Running:
			return fmt.Sprintf("waiting for %s: %s", t.TaskID, inFlight(t, now))
		case engine.Interrupted:
			return fmt.Sprintf("%s is interrupted", t.TaskID)
		}
	}
	return string(d.Status)
}

// finalRows prints a line per task; where progress and result go to one place, only
// those that were not told there.
func (a *app) finalRows(d *engine.RunDoc) {
	width := 0 // in a pipe nothing is cut
	if a.ui.outTerm {
		width = a.ui.width()
	}
	for i, lines := range taskRows(d, width, a.ui.now(), a.ui.color) {
		t := &d.Tasks[i]
		if !a.ui.oneStream || a.told[t.TaskID] != t.Status {
			fmt.Fprintln(a.ui.out, strings.Join(lines, "\n"))
		}
	}
	fmt.Fprintln(a.ui.out)
}

// conclude prints how a run ended, and returns the error that its exit code
// needs.
func (a *app) conclude(d *engine.RunDoc) error {
	if a.json() {
		if err := a.printJSON(d); err != nil {
			return err
		}
	} else if a.flags.quiet {
		fmt.Fprintln(a.ui.out, d.RunID)
	} else {
		a.finalRows(d)
		if d.Status == engine.Success {
			fmt.Fprintln(a.ui.out, verdict(d))
			if task := lastSuccess(d); task != "" {
				fmt.Fprintf(a.ui.out, "values: qarion xcom get %s %s\n", d.RunID, task)
			}
		} else if block := a.failureBlock(d); block != "" {
			fmt.Fprintln(a.ui.out, block)
		}
	}
	switch d.Status {
	case engine.Success:
		return nil
	case engine.Interrupted:
		return a.interrupted(d)
	}
	return runError(d, string(d.RunID))
}

// interrupted tells of a task whose outcome a person must say.
func (a *app) interrupted(d *engine.RunDoc) error {
	for i := range d.Tasks {
		if t := &d.Tasks[i]; t.Status == engine.Interrupted {
			return &cliError{code: exitGoingOn, err: fmt.Errorf("run %s is interrupted: %s: %s", d.RunID, t.TaskID, t.Reason),
				hints: []string{
					fmt.Sprintf("see its request, and how to go on: qarion runs show %s --task %s", d.RunID, t.TaskID),
				}}
		}
	}
	return &cliError{code: exitGoingOn, err: fmt.Errorf("run %s is interrupted", d.RunID)}
}

func lastSuccess(d *engine.RunDoc) engine.TaskID {
	for i := len(d.Tasks) - 1; i >= 0; i-- {
		if d.Tasks[i].Status == engine.Success {
			return d.Tasks[i].TaskID
		}
	}
	return ""
}
