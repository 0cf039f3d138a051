package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// rejected is what --status takes beside the states of runs: triggers that were
// refused. They became no run, and are told as events.
const rejected = "rejected"

// runStatuses are what --status takes.
func runStatuses() []string {
	out := make([]string, 0, len(engine.ListStatuses)+1)
	for _, s := range engine.ListStatuses {
		out = append(out, string(s))
	}
	return append(out, rejected)
}

// runList are the flags of runs list.
type runList struct {
	flow, status, trigger, since, before string
	limit                                int
	all                                  bool
}

func (a *app) runListCommand() *cobra.Command {
	var l runList
	c := &cobra.Command{
		Use: "list", Short: "List runs, newest first", Args: cobra.NoArgs,
		Example: `  qarion runs list --flow orders --status failed --since 24h
  qarion runs list --status rejected
  qarion runs list --all --jq .run_id`,
		RunE: func(c *cobra.Command, _ []string) error {
			if l.all && c.Flags().Changed("limit") {
				return usageError(errors.New("--all and --limit exclude each other"))
			}
			return a.listRuns(c.Context(), &l)
		},
	}
	f := c.Flags()
	f.StringVar(&l.flow, "flow", "", "only runs of this flow")
	f.StringVar(&l.status, "status", "", "only runs of this status: "+strings.Join(runStatuses(), ", "))
	f.StringVar(&l.trigger, "trigger", "", "only runs that this has started: cli, api, ui or another type, or the id of a trigger")
	f.StringVar(&l.since, "since", "", "only runs started since: 2h, 3d or an RFC 3339 time")
	f.StringVar(&l.before, "before", "", "only runs older than this one: the next page")
	f.IntVar(&l.limit, "limit", engine.DefaultRunLimit, "how many at the most")
	f.BoolVar(&l.all, "all", false, "all of them; as JSON, one object per line")
	return c
}

// check refuses flags that cannot be meant.
func (l *runList) check() error {
	known := runStatuses()
	switch {
	case l.limit < 1:
		return usageError(fmt.Errorf("--limit is %d, want at least 1; for everything: --all", l.limit))
	case l.status != "" && !slices.Contains(known, l.status):
		err := fmt.Errorf("--status is %s, want one of %s", value.Quoted(l.status), strings.Join(known, ", "))
		if near := engine.Nearest(l.status, known); near != "" {
			err = fmt.Errorf("%w (did you mean %q?)", err, near)
		}
		return usageError(err)
	case l.status == rejected && l.trigger != "":
		return usageError(errors.New("--trigger is for runs, not for triggers that were refused; use --flow"))
	case l.status == rejected && l.before != "":
		return usageError(errors.New("--before is for runs, not for triggers that were refused; use --since"))
	}
	return nil
}

func (a *app) listRuns(ctx context.Context, l *runList) error {
	if err := l.check(); err != nil {
		return err
	}
	since, err := parseAge(l.since, a.ui.now())
	if err != nil {
		return err
	}
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if l.status == rejected {
		return a.listRejected(ctx, s, l, since)
	}
	in := bus.ListRuns{Flow: l.flow, Status: l.status, Trigger: l.trigger}
	if !since.IsZero() {
		in.Since = since.UTC().Format(time.RFC3339)
	}
	if l.before != "" {
		id, err := s.FindRun(ctx, l.before)
		if err != nil {
			return refused2(err)
		}
		in.Before = string(id)
	}
	if l.all {
		return a.listAll(ctx, s, l, in)
	}
	runs, more, err := pages(ctx, s, in, l.limit)
	if err != nil {
		return err
	}
	if err := a.printRuns(s, l, runs, true); err != nil || !more || a.json() || a.flags.quiet {
		return err
	}
	fmt.Fprintf(a.ui.err, "%s shown, there are more; the next: %s\n", plural(len(runs), "run"), l.next(runs[len(runs)-1].RunID))
	return nil
}

// pages reads up to limit runs, page by page.
func pages(ctx context.Context, s *session, in bus.ListRuns, limit int) (runs []*engine.RunDoc, more bool, err error) {
	for {
		in.Limit = min(limit-len(runs), engine.MaxRunLimit)
		var list bus.RunList
		if err := s.Call(ctx, "run.list", in, &list); err != nil {
			return nil, false, refused(err)
		}
		runs = append(runs, list.Runs...)
		if !list.More || len(list.Runs) == 0 || len(runs) >= limit {
			return runs, list.More, nil
		}
		in.Before = string(list.Runs[len(list.Runs)-1].RunID)
	}
}

// listAll prints every run, page by page.
func (a *app) listAll(ctx context.Context, s *session, l *runList, in bus.ListRuns) error {
	for first := true; ; first = false {
		runs, more, err := pages(ctx, s, in, engine.MaxRunLimit)
		if err != nil {
			return err
		}
		if a.json() {
			for _, d := range runs {
				if err := a.printJSON(d); err != nil {
					return err
				}
			}
		} else if len(runs) > 0 || first {
			if err := a.printRuns(s, l, runs, first); err != nil {
				return err
			}
		}
		if !more || len(runs) == 0 {
			return nil
		}
		in.Before = string(runs[len(runs)-1].RunID)
	}
}

// next is the command for the next page.
func (l *runList) next(last engine.RunID) string {
	out := "qarion runs list --before " + string(last)
	for _, f := range [][2]string{{"flow", l.flow}, {"status", l.status}, {"trigger", l.trigger}, {"since", l.since}} {
		if f[1] != "" {
			out += " --" + f[0] + " " + f[1]
		}
	}
	if l.limit != engine.DefaultRunLimit {
		out += fmt.Sprintf(" --limit %d", l.limit)
	}
	return out + "; or --all"
}

// nobodyWorks is said of an open run where no node serves.
const nobodyWorks = "no node works on it; it goes on with: qarion serve"

// stopped reports whether a run, which no node works on, would go on with one.
func stopped(d *engine.RunDoc) bool { return !d.Final && d.Status != engine.Interrupted }

func (a *app) printRuns(s *session, l *runList, runs []*engine.RunDoc, head bool) error {
	switch {
	case a.json():
		if runs == nil {
			runs = []*engine.RunDoc{}
		}
		return a.printJSON(runs)
	case a.flags.quiet:
		for _, d := range runs {
			fmt.Fprintln(a.ui.out, d.RunID)
		}
		return nil
	case len(runs) == 0:
		fmt.Fprintln(a.ui.err, "no runs"+l.note())
		return nil
	}
	t := newTable("RUN", "FLOW", "STATUS", "STARTED", "TIME", "TASKS", "NOTE").alignRight(4, 5).narrow(6, 5, 4).shorten(6, 1)
	t.ids = true
	for _, d := range runs {
		total, good := taskCount(d)
		took := millis(d.DurationMS)
		if !d.Final {
			took = since2(d.StartTime, a.ui.now())
		}
		status, about := string(d.Status), note(d)
		if task := d.Waiting; task != nil {
			status, about = shownStatus(task.Status), string(task.TaskID)+": "+waitNote(task, a.ui.now())
		}
		if s.own != nil && stopped(d) {
			took, about = "", nobodyWorks
		}
		t.add(string(d.RunID), string(d.FlowID), a.ui.paint(status, statusStyle(status)),
			a.ui.clock(d.StartTime, a.ui.outTerm), took, fmt.Sprintf("%d/%d", good, total), about)
	}
	lines := t.lines(a.ui.outTerm, a.ui.width())
	if !head {
		lines = lines[1:]
	}
	for _, line := range lines {
		fmt.Fprintln(a.ui.out, line)
	}
	return nil
}

// refusal is the event of a trigger that was refused.
type refusal struct {
	RunID  engine.RunID `json:"run_id"`
	FlowID string       `json:"flow_id"`
	Status string       `json:"status"`
	Reason string       `json:"reason"`
	Time   string       `json:"time"`
	More   uint64       `json:"more,omitempty"` // refused since the one before, which have no event
}

// listRejected prints the triggers that were refused, newest first.
func (a *app) listRejected(ctx context.Context, s *session, l *runList, since time.Time) error {
	if _, err := engine.ParseFlowID(l.flow); l.flow != "" && err != nil {
		return usageError(fmt.Errorf("--flow %s is not an id", value.Quoted(l.flow)))
	}
	var list []refusal
	err := s.Events(ctx, "", since, false, func(kind string, raw []byte) error {
		var r refusal
		if kind != string(engine.RunRejected) || json.Unmarshal(raw, &r) != nil || l.flow != "" && r.FlowID != l.flow {
			return nil
		}
		r.Status = rejected
		list = append(list, r)
		if !l.all && len(list) > l.limit {
			list = list[1:]
		}
		return nil
	})
	if err != nil {
		return refused2(err)
	}
	slices.Reverse(list)
	switch {
	case a.json() && l.all:
		for _, r := range list {
			if err := a.printJSON(r); err != nil {
				return err
			}
		}
		return nil
	case a.json():
		if list == nil {
			list = []refusal{}
		}
		return a.printJSON(list)
	case len(list) == 0:
		fmt.Fprintln(a.ui.err, "no triggers were refused"+strings.TrimPrefix(l.note(), "; start one: qarion run FILE"))
		return nil
	}
	t := newTable("RUN", "FLOW", "STATUS", "REFUSED", "REASON").narrow().shorten(4, 1)
	t.ids = true
	for _, r := range list {
		if a.flags.quiet {
			fmt.Fprintln(a.ui.out, r.RunID)
			continue
		}
		reason := printable(r.Reason)
		if r.More > 0 {
			reason += fmt.Sprintf(" (and %d more before it)", r.More)
		}
		t.add(string(r.RunID), printable(r.FlowID), a.ui.paint(rejected, statusStyle("failed")), a.ui.clock(r.Time, a.ui.outTerm), strings.ReplaceAll(reason, "\n", " "))
	}
	if !a.flags.quiet {
		a.ui.printTable(t)
	}
	return nil
}

// note says what a list was asked for.
func (l *runList) note() string {
	var parts []string
	for _, p := range [][2]string{{"flow", l.flow}, {"status", l.status}, {"trigger", l.trigger}, {"since", l.since}, {"before", l.before}} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+p[1])
		}
	}
	if len(parts) == 0 {
		return "; start one: qarion run FILE"
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func since2(start string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, start)
	if err != nil {
		return ""
	}
	return duration(now.Sub(t))
}

// note is what a list says about a run beside its status.
func note(d *engine.RunDoc) string {
	switch {
	case d.Error != nil && d.Error.TaskID != "":
		return fmt.Sprintf("%s: %s", d.Error.TaskID, d.Error.Message)
	case d.Error != nil:
		return d.Error.Message
	case d.Counts[engine.Interrupted] > 0:
		return plural(d.Counts[engine.Interrupted], "task") + " to resolve"
	case !d.Final:
		total, left := 0, 0
		for s, n := range d.Counts {
			total += n
			if !s.Final() {
				left += n
			}
		}
		return fmt.Sprintf("%d left", left)
	}
	return ""
}
