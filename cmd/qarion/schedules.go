package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

func (a *app) schedulesCommand() *cobra.Command {
	c := &cobra.Command{Use: "schedules", Short: "The schedules of flows"}
	c.AddCommand(
		&cobra.Command{Use: "list", Short: "List the schedules, with their next times", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return a.listSchedules(c.Context()) }},
		a.nextCommand(), a.pauseCommand(), a.resumeCommand())
	return c
}

const triggerHelp = "id of the schedule, where the flow has more than one"

func (a *app) nextCommand() *cobra.Command {
	var in bus.NextTicks
	c := &cobra.Command{
		Use: "next FLOW", Short: "Show the times of a schedule", Args: cobra.ExactArgs(1),
		Example: `  qarion schedules next orders
  qarion schedules next orders --trigger nightly --from 2026-03-28T00:00:00Z --limit 3`,
		RunE: func(c *cobra.Command, args []string) error {
			in.Flow = engine.FlowID(args[0])
			return a.nextTicks(c.Context(), in)
		},
	}
	c.Flags().StringVar(&in.Trigger, "trigger", "", triggerHelp)
	c.Flags().StringVar(&in.From, "from", "", "RFC 3339; default now")
	c.Flags().StringVar(&in.To, "to", "", "RFC 3339, not itself; default a year later")
	c.Flags().IntVar(&in.Limit, "limit", bus.DefaultTicks, "how many")
	return c
}

func (a *app) pauseCommand() *cobra.Command {
	var in bus.RestSchedule
	c := &cobra.Command{
		Use: "pause FLOW", Short: "Let a schedule rest: it starts nothing", Args: cobra.ExactArgs(1),
		Example: "  qarion schedules pause orders --trigger nightly",
		RunE: func(c *cobra.Command, args []string) error {
			in.Flow = engine.FlowID(args[0])
			return a.restSchedule(c.Context(), "schedule.pause", in)
		},
	}
	c.Flags().StringVar(&in.Trigger, "trigger", "", triggerHelp)
	return c
}

func (a *app) resumeCommand() *cobra.Command {
	var in bus.RestSchedule
	c := &cobra.Command{
		Use: "resume FLOW", Short: "Let a schedule go on, from now", Args: cobra.ExactArgs(1),
		Example: "  qarion schedules resume orders --trigger nightly --catchup",
		RunE: func(c *cobra.Command, args []string) error {
			in.Flow = engine.FlowID(args[0])
			return a.restSchedule(c.Context(), "schedule.resume", in)
		},
	}
	c.Flags().StringVar(&in.Trigger, "trigger", "", triggerHelp)
	c.Flags().BoolVar(&in.CatchUp, "catchup", false, "what passed meanwhile counts as missed: what follows says the schedule's own catchup")
	return c
}

func (a *app) listSchedules(ctx context.Context) error {
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	var out struct {
		Schedules []engine.ScheduleInfo `json:"schedules"`
	}
	if err := s.Call(ctx, "schedule.list", nil, &out); err != nil {
		return refused(err)
	}
	switch {
	case a.json():
		return a.printJSON(out.Schedules)
	case len(out.Schedules) == 0:
		fmt.Fprintln(a.ui.err, "no flow has a schedule")
		return nil
	}
	t := newTable("FLOW", "TRIGGER", "SCHEDULE", "TIMEZONE", "LAST", "NEXT")
	for _, i := range out.Schedules {
		next := cmp.Or(a.tickTime(i.NextTick), "-")
		if i.Paused {
			next = "paused"
		}
		t.add(string(i.FlowID), i.TriggerID, i.Schedule, i.Timezone, cmp.Or(a.tickTime(i.LastTick), "-"), cmp.Or(i.Problem, next))
	}
	a.ui.printTable(t)
	return nil
}

// tickTime is the time of a schedule as people read it: to the second.
func (a *app) tickTime(text string) string {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return ""
	}
	return at.UTC().Format("2006-01-02T15:04:05Z")
}

func (a *app) nextTicks(ctx context.Context, in bus.NextTicks) error {
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	var out bus.Ticks
	if err := s.Call(ctx, "schedule.next", in, &out); err != nil {
		return refused(err)
	}
	if a.json() {
		return a.printJSON(out)
	}
	for _, tick := range out.Ticks {
		done := ""
		if tick.Done {
			done = "  done"
		}
		fmt.Fprintf(a.ui.out, "%s%s\n", a.tickTime(tick.Tick), done)
	}
	if len(out.Ticks) == 0 {
		fmt.Fprintln(a.ui.err, "no time in this span")
	}
	return nil
}

func (a *app) restSchedule(ctx context.Context, endpoint string, in bus.RestSchedule) error {
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	var out engine.ScheduleInfo
	if err := s.Call(ctx, endpoint, in, &out); err != nil {
		return refused(err)
	}
	switch {
	case a.json():
		return a.printJSON(out)
	case out.Paused:
		fmt.Fprintf(a.ui.out, "%s of %s rests; it goes on with: qarion schedules resume %s --trigger %s\n", out.TriggerID, out.FlowID, out.FlowID, out.TriggerID)
	default:
		fmt.Fprintf(a.ui.out, "%s of %s goes on; it comes next at %s\n", out.TriggerID, out.FlowID, a.tickTime(out.NextTick))
	}
	return nil
}
