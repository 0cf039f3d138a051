package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

func (a *app) runsCommand() *cobra.Command {
	c := &cobra.Command{Use: "runs", Short: "List, show, watch, cancel, resolve, approve and repeat runs"}
	var task string
	var body bool
	show := &cobra.Command{
		Use: "show RUN", Short: "Show a run: tasks, attempts and waits", Args: cobra.ExactArgs(1),
		Example: "  qarion runs show last\n  qarion runs show last --task create_invoice --body",
		RunE:    func(c *cobra.Command, args []string) error { return a.showRun(c.Context(), args[0], task, body) },
	}
	show.Flags().StringVar(&task, "task", "", "everything about this task")
	show.Flags().BoolVar(&body, "body", false, "with --task: the whole kept part of the answer, the whole value")
	var as, value string
	var item int
	resolve := &cobra.Command{
		Use: "resolve RUN TASK --as success|failed|retry", Short: "Say how an interrupted task ended", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return a.resolveRun(c.Context(), args[0], args[1], item, as, value)
		},
	}
	resolve.Flags().StringVar(&as, "as", "", "success, failed or retry")
	resolve.Flags().IntVar(&item, "item", 0, "of a task with for_each: the number of the item")
	resolve.Flags().StringVar(&value, "value", "", "with success: the value for others, as JSON")
	c.AddCommand(a.runListCommand(), show,
		&cobra.Command{Use: "watch RUN", Short: "Watch a run to its end", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return a.watchRun(c.Context(), args[0]) }},
		&cobra.Command{Use: "cancel RUN", Short: "Cancel a run", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return a.cancelRun(c.Context(), args[0]) }},
		resolve, a.decideCommand("approve", "Approve what a task waits for"), a.decideCommand("reject", "Reject what a task waits for: it fails"), a.rerunCommand())
	return c
}

func (a *app) showRun(ctx context.Context, ref, task string, body bool) error {
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	id, err := s.FindRun(ctx, ref)
	if err != nil {
		return refused2(err)
	}
	d, err := s.Run(ctx, id)
	if err != nil {
		return refused(err)
	}
	switch {
	case task != "" && !a.flags.quiet:
		return a.showTask(ctx, s, d, ref, task, body)
	case a.json():
		return a.printJSON(d)
	case a.flags.quiet:
		fmt.Fprintln(a.ui.out, d.RunID)
		return nil
	}
	a.printRun(d, ref)
	if s.own != nil && stopped(d) {
		fmt.Fprintln(a.ui.out, "              ", nobodyWorks)
	}
	return nil
}

// refused2 is refused for what the client itself finds out.
func refused2(err error) error {
	if errors.Is(err, engine.ErrInvalid) || errors.Is(err, engine.ErrNotFound) {
		return fail(err)
	}
	return refused(err)
}

// printRun draws a run: heading, tasks, and their attempts on a time line.
func (a *app) printRun(d *engine.RunDoc, ref string) {
	w := a.ui.out
	status := string(d.Status)
	if d.Waiting != nil {
		status = shownStatus(engine.Ready)
	}
	head := fmt.Sprintf("%s · run %s · %s", d.FlowID, d.RunID, a.ui.paint(status, statusStyle(status)))
	if d.Error != nil {
		head += ": " + note(d)
	}
	fmt.Fprintln(w, head)
	when := a.ui.clock(d.StartTime, a.ui.outTerm)
	if d.EndTime != "" {
		when += fmt.Sprintf(" to %s (%s)", a.ui.clock(d.EndTime, a.ui.outTerm), millis(d.DurationMS))
	}
	line := fmt.Sprintf("%s · trigger %s · batch %d", when, d.TriggerType, d.BatchID)
	if d.RerunOf != "" {
		line += " · repeats " + string(d.RerunOf)
	}
	if d.Environment != "" {
		line += " · environment " + d.Environment
	}
	for k, v := range d.Variables.All() {
		if data, err := json.Marshal(v); err == nil {
			line += fmt.Sprintf(" · %s=%s", k, data)
		}
	}
	fmt.Fprintln(w, line)
	fmt.Fprintln(w)
	for _, l := range timeline(d, a.ui) {
		fmt.Fprintln(w, l)
	}
	fmt.Fprintln(w)
	if d.Error != nil && d.Error.TaskID != "" {
		var details engine.Details
		_ = json.Unmarshal(d.Error.Details, &details)
		for _, hint := range hintsOf(&details) {
			fmt.Fprintf(w, "hint:          %s\n", hint)
		}
		fmt.Fprintf(w, "why it failed: qarion runs show %s --task %s\n", ref, d.Error.TaskID)
	}
	if task := leftUnknown(d); task != "" {
		fmt.Fprintln(w, "look there:   ", mayHave(task))
	}
	if d.Final && d.Status != engine.Success {
		fmt.Fprintf(w, "do it again:   qarion runs rerun %s --from failed\n", ref)
	}
	for i := range d.Tasks {
		t := &d.Tasks[i]
		if t.Status == engine.Interrupted {
			fmt.Fprintf(w, "to resolve:    qarion runs show %s --task %s\n", ref, t.TaskID)
		}
		for _, c := range wakeCommands(d, t) {
			fmt.Fprintf(w, "to go on:      %s\n", c)
		}
	}
	if task := lastSuccess(d); task != "" {
		fmt.Fprintf(w, "values:        qarion xcom get %s %s\n", ref, task)
	}
}

// wakeCommands are the commands that a waiting task waits for.
func wakeCommands(d *engine.RunDoc, t *engine.TaskDoc) []string {
	name, isSignal := strings.CutPrefix(t.Awaits, "signal ")
	switch {
	case t.Status != engine.Waiting:
	case isSignal:
		name, _, _ = strings.Cut(name, " ")
		return []string{fmt.Sprintf("qarion signal %s %s --json '{}'", d.RunID, name)}
	case t.Awaits == engine.AwaitApproval:
		return []string{fmt.Sprintf("qarion runs approve %s %s", d.RunID, t.TaskID), fmt.Sprintf("qarion runs reject %s %s", d.RunID, t.TaskID)}
	}
	return nil
}

// chartWidth is how many columns the time line has, and chartMin the terminal
// width under which it goes.
const (
	chartWidth = 40
	chartMin   = 70
)

// timeline draws the tasks with their attempts and waits.
func timeline(d *engine.RunDoc, u *ui) []string {
	chart := !u.outTerm || u.width() >= chartMin
	span := d.DurationMS
	if !d.Final {
		if start, err := time.Parse(time.RFC3339, d.StartTime); err == nil {
			span = float64(u.now().Sub(start).Milliseconds())
		}
	}
	head := ""
	if chart {
		head = scale(span)
	}
	t := newTable("TASK", "STATUS", "TRIES", "TIME", head).alignRight(2, 3).narrow(2, 3).shorten(4, 0)
	var notes []string
	drawn := false
	for i := range d.Tasks {
		task := &d.Tasks[i]
		tries, took := "-", "-"
		if n := task.Attempts; n > 0 {
			if task.Status == engine.Ready || task.Status == engine.Waiting {
				n-- // the last one is still to come
			}
			if task.Turns > 0 {
				n += task.Turns - 1
			}
			tries, took = fmt.Sprint(n), millis(task.DurationMS)
		}
		last := task.Reason
		switch {
		case task.Status == engine.Ready || task.Status == engine.Waiting:
			last = waitNote(task, u.now())
		case chart && task.StartTime != "" && span > 0:
			last, drawn = bar(task, d.StartTime, span, u), true
		}
		if chart && task.KeptFrom != "" {
			last = "kept"
		}
		if note := turnNote(task); note != "" {
			notes = append(notes, fmt.Sprintf("%s: %s", task.TaskID, note))
			notes = append(notes, itemFailures(task, "  ")...)
		}
		if task.Note != "" {
			notes = append(notes, fmt.Sprintf("%s: %s", task.TaskID, task.Note))
		}
		status := shownStatus(task.Status)
		t.add(string(task.TaskID), u.paint(status, statusStyle(status)), tries, took, last)
	}
	lines := t.lines(u.outTerm, u.width())
	if drawn {
		lines = append(lines, u.legend(strings.Index(lines[0], head)))
	}
	if len(notes) > 0 {
		lines = append(append(lines, ""), notes...)
	}
	return lines
}

func scale(span float64) string {
	return fmt.Sprintf("%-*s%s", chartWidth-6, "0s", millis(span))
}

// marks are what the time line is drawn with: a call that succeeded, one that
// failed, and waiting.
func (u *ui) marks() (good, bad, idle rune) {
	if u.ascii {
		return '#', 'x', '.'
	}
	return '█', '▒', '·'
}

// legend says what the marks mean, below a time line that begins at a column.
func (u *ui) legend(at int) string {
	good, bad, idle := u.marks()
	text := fmt.Sprintf("%c call succeeded  %c call failed  %c waiting", good, bad, idle)
	if u.outTerm {
		at = min(at, u.width()-screenWidth(text))
	}
	return strings.Repeat(" ", max(0, at)) + text
}

// bar marks when a task's calls were made: succeeded, failed, waiting.
func bar(t *engine.TaskDoc, start string, span float64, u *ui) string {
	good, bad, idle := u.marks()
	cells := []rune(strings.Repeat(" ", chartWidth))
	mark := func(from, to string, r rune) {
		a := int(float64(between(start, from).Milliseconds()) / span * chartWidth)
		b := int(float64(between(start, to).Milliseconds()) / span * chartWidth)
		for i := max(0, min(a, chartWidth-1)); i <= min(b, chartWidth-1); i++ {
			cells[i] = r
		}
	}
	if len(t.History) == 0 {
		end := t.EndTime
		if end == "" {
			end = engine.FormatTime(u.now())
		}
		r := good
		if t.Status != engine.Success {
			r = bad
		}
		mark(t.StartTime, end, r)
		return strings.TrimRight(string(cells), " ")
	}
	last := t.History[len(t.History)-1]
	mark(t.StartTime, last.EndTime, idle)
	for _, h := range t.History {
		r := bad
		if engine.Outcome(h.Status).Good() {
			r = good
		}
		mark(h.StartTime, h.EndTime, r)
	}
	return strings.TrimRight(string(cells), " ")
}

func (a *app) watchRun(ctx context.Context, ref string) error {
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	id, err := s.FindRun(ctx, ref)
	if err != nil {
		return refused2(err)
	}
	d, err := s.Run(ctx, id)
	if err != nil {
		return refused(err)
	}
	if a.json() {
		end, err := s.Watch(ctx, id, func(d *engine.RunDoc) { _ = a.printJSON(d) })
		if err != nil {
			return err
		}
		if end.Status == engine.Success {
			return nil
		}
		return runError(end, string(end.RunID))
	}
	end, err := a.followRun(ctx, s, d, false)
	if err != nil {
		return err
	}
	return a.conclude(end)
}

func (a *app) cancelRun(ctx context.Context, ref string) error {
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	id, err := s.FindRun(ctx, ref)
	if err != nil {
		return refused2(err)
	}
	d := new(engine.RunDoc)
	if err := s.Call(ctx, "run.cancel", bus.RunRef{Run: string(id), Reason: "by hand"}, d); err != nil {
		return refused(err)
	}
	if d, err = s.Watch(ctx, id, func(*engine.RunDoc) {}); err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(d)
	}
	fmt.Fprintf(a.ui.out, "%s: run %s\n", d.Status, d.RunID)
	return nil
}

func (a *app) resolveRun(ctx context.Context, ref, task string, item int, as, value string) error {
	if as == "" {
		return usageError(errors.New("--as is missing: success, failed or retry"))
	}
	if value != "" && !json.Valid([]byte(value)) {
		return usageError(errors.New("--value is not JSON; a text stands in double quotes of its own: '\"text\"'"))
	}
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	id, err := s.FindRun(ctx, ref)
	if err != nil {
		return refused2(err)
	}
	d := new(engine.RunDoc)
	in := bus.ResolveTask{Run: string(id), Task: task, Item: item, As: as, Value: json.RawMessage(value)}
	if err := s.Call(ctx, "run.resolve", in, d); err != nil {
		if as == "success" && value == "" && errors.Is(err, engine.ErrInvalid) {
			return fail(err, fmt.Sprintf("qarion runs resolve %s %s --as success --value '{\"id\": 7}'", id, task))
		}
		return refused(err)
	}
	if a.json() {
		return a.printJSON(d)
	}
	fmt.Fprintf(a.ui.out, "%s is resolved as %s; watch the run: qarion runs watch %s\n", task, as, id)
	return nil
}
