package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/node"
)

// nodeInfo is the answer of node.status.
type nodeInfo struct {
	Engine      engine.NodeStatus `json:"engine"`
	Version     string            `json:"version"`
	UptimeMS    int64             `json:"uptime_ms"`
	PID         int               `json:"pid"`
	NATS        string            `json:"nats"`
	HTTP        string            `json:"http"`
	Sync        string            `json:"sync"`
	Streams     []node.Stream     `json:"streams"`
	Store       bus.Health        `json:"store"`
	DataDir     string            `json:"data_dir"`
	DataBytes   int64             `json:"data_bytes"`
	Environment *struct {
		Name      string   `json:"name"`
		Variables []string `json:"variables"`
	} `json:"environment,omitempty"`
	FlowFiles *struct {
		Dir     string   `json:"dir"`
		Loaded  int      `json:"loaded"`
		LeftOut []string `json:"left_out"`
	} `json:"flow_files,omitempty"`
}

func (a *app) statusCommand() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use: "status", Short: "How the serving node is", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.status(c.Context(), check) },
	}
	c.Flags().BoolVar(&check, "check", false, "only the exit code: 0 healthy, 1 not, 3 nobody serves")
	return c
}

func (a *app) status(ctx context.Context, check bool) error {
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	var raw json.RawMessage
	if err := s.Call(ctx, "node.status", nil, &raw); err != nil {
		if check {
			return &cliError{code: exitFailed, err: err, silent: true}
		}
		return refused(err)
	}
	if check {
		return nil
	}
	if a.json() {
		return a.printJSON(raw)
	}
	var in nodeInfo
	if err := json.Unmarshal(raw, &in); err != nil {
		return err
	}
	a.printStatus(s.Target(), &in)
	if list, err := s.breakers(ctx); err == nil { // not for clients without a login
		a.printOpenBreakers(list)
	}
	return nil
}

// printOpenBreakers adds a row for each host whose calls wait.
func (a *app) printOpenBreakers(list []apicall.BreakerStatus) {
	for _, b := range list {
		if b.State != apicall.BreakerClosed {
			fmt.Fprintf(a.ui.out, "%-9s  %s %s, next probe in %s (%d failures in a row)\n", "breaker", b.State, b.Key, duration(time.Until(b.Until)), b.Failures)
		}
	}
}

// viewReason says why a view is behind, as far as that is known.
func viewReason(v *engine.ViewStatus) string {
	switch {
	case v.Problem != "":
		return ": " + v.Problem
	case len(v.WaitsFor) > 0:
		return ": the end of a run is told when " + strings.Join(v.WaitsFor, ", ") + " shows it"
	case v.Rereads:
		return ", reading the ledger again"
	}
	return ""
}

// runCounts says how runs ended within a time: "last hour: 12 success, 3 failed".
func runCounts(when string, c engine.RunCounts) string {
	text := fmt.Sprintf("%s: %s success, %s failed", when, thousands(int(c.Success)), thousands(int(c.Failed)))
	if c.Cancelled > 0 {
		text += fmt.Sprintf(", %s cancelled", thousands(int(c.Cancelled)))
	}
	if c.Rejected > 0 {
		text += fmt.Sprintf(", %s refused", plural(int(c.Rejected), "trigger"))
	}
	return text
}

// statusName is how wide the names before the rows of a status are.
const statusName = 11

// streamLines says what the streams hold that hold anything, in lines that fit:
// "ledger 1,204 messages, 3.1 MB · runs 40, 22.1 KB".
func streamLines(list []node.Stream, width int) (lines []string) {
	unit := " messages"
	for _, s := range list {
		if s.Messages == 0 {
			continue
		}
		name := s.Name
		for _, prefix := range []string{"QARION_", "KV_qarion_", "OBJ_qarion_"} {
			name = strings.TrimPrefix(name, prefix)
		}
		text := fmt.Sprintf("%s %s%s, %s", strings.ToLower(name), thousands(int(s.Messages)), unit, bytesize(int64(s.Bytes)))
		unit = "" // said once
		if n := len(lines); n > 0 && len(lines[n-1])+len(text)+3 <= width {
			lines[n-1] += " · " + text
			continue
		}
		lines = append(lines, text)
	}
	return lines
}

// waits is what a store that does not write holds up.
func waits(e *engine.NodeStatus) string {
	return fmt.Sprintf("%s, %s in flight and %d triggers", plural(e.OpenRuns, "run"), plural(e.InFlight, "call"), e.Triggers)
}

func (a *app) printStatus(target string, in *nodeInfo) {
	w, e := a.ui.out, &in.Engine
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-9s  %s\n", name, fmt.Sprintf(format, args...))
	}
	row("node", "qarion %s, up %s, pid %d", in.Version, duration(time.Duration(in.UptimeMS)*time.Millisecond), in.PID)
	row("server", "%s", strings.Join(slices.DeleteFunc([]string{target, in.HTTP}, func(s string) bool { return s == "" }), " · "))
	behind := int64(e.LedgerSeq) - int64(e.ProjectedSeq)
	row("data", "%s, %s, sync %s, projections %s", in.DataDir, bytesize(in.DataBytes), in.Sync, map[bool]string{true: "current (0 behind)", false: fmt.Sprintf("%d behind", behind)}[behind <= 0])
	for i, line := range streamLines(in.Streams, a.ui.width()-statusName) {
		row([]string{"streams", ""}[min(i, 1)], "%s", line)
	}
	switch {
	case in.Store.Broken != "":
		row("store", "a write failed, it is reopened as soon as there is space (%s free): %s; %s wait", bytesize(in.Store.Free), in.Store.Broken, waits(e))
	case in.Store.Full:
		row("store", "store full: %s used, %s free on its disk; nothing is written until there is space; %s wait", bytesize(in.Store.Used), bytesize(in.Store.Free), waits(e))
	}
	if e.Triggers > 0 {
		row("triggers", "%d published by clients wait for room", e.Triggers)
	}
	for _, v := range e.Views {
		if v.Behind > 0 {
			row("view", "%s is %s behind%s", v.View, plural(int(v.Behind), "ledger sequence"), viewReason(&v))
		}
	}
	if f := in.FlowFiles; f != nil {
		left := ""
		if len(f.LeftOut) > 0 {
			left = fmt.Sprintf(", %d left out: %s", len(f.LeftOut), f.LeftOut[0])
		}
		row("flows", "%d loaded%s", f.Loaded, left)
	}
	if env := in.Environment; env != nil {
		row("for", "environment %s: %s", env.Name, orText(strings.Join(env.Variables, ", "), "no values"))
	}
	row("runs", "%d open · %d interrupted · %s", e.OpenRuns, len(e.Interrupted), runCounts("last hour", e.LastHour))
	row("", "%s", runCounts("last 24 h", e.LastDay))
	parked, short := 0, ""
	var limits []string
	for key, n := range e.Parked {
		if limit, is := strings.CutPrefix(key, "limit "); is {
			limits = append(limits, fmt.Sprintf("%s for %s", plural(n, "task"), limit))
			continue
		}
		if what, ours := strings.CutPrefix(key, engine.NodeShort); ours {
			short = fmt.Sprintf("the node has no %s left; %s", what, plural(n, "task")+" wait")
			continue
		}
		parked += n
	}
	row("tasks", "%d in flight of %d slots · %d ready · %d waiting for their time or for word · %d waiting for a breaker", e.InFlight, e.Slots, e.ReadyTasks, e.Waiting, parked)
	if short != "" {
		row("short", "%s", short)
	}
	if slices.Sort(limits); len(limits) > 0 {
		row("limits", "%s", strings.Join(limits, " · "))
	}
	if e.BadRecords > 0 {
		row("ledger", "%s cannot be read and are skipped", plural(e.BadRecords, "record"))
	}
	if e.DedupeFull {
		row("dedupe", "more than %d caller keys in 24 h: the oldest are forgotten", fold.MaxDedupe)
	}
	for _, t := range e.Interrupted {
		row("needs you", "qarion runs show %s --task %s", t.Run, t.Task)
	}
}
