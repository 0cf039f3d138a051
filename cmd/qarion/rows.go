package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// rows are the lines of a run's view: one per task, from a snapshot of the
// run's state, cut to a width where there is one. It is pure: the same snapshot,
// width and time give the same lines.
func rows(d *engine.RunDoc, width int, now time.Time, color bool) []string {
	return slices.Concat(taskRows(d, width, now, color)...)
}

// taskRows are the lines of each task: its own, and those about its items.
func taskRows(d *engine.RunDoc, width int, now time.Time, color bool) [][]string {
	name := nameWidth(d)
	if width > 0 {
		name = min(name, max(8, width/3))
	}
	out := make([][]string, len(d.Tasks))
	for i := range d.Tasks {
		out[i] = append([]string{row(&d.Tasks[i], name, now, color)}, itemFailures(&d.Tasks[i], "    ")...)
		for n, line := range out[i] {
			if width > 0 {
				out[i][n] = clip(line, width)
			}
		}
	}
	return out
}

// nameWidth is how long the longest name of a run's tasks is.
func nameWidth(d *engine.RunDoc) int {
	name := 4
	for i := range d.Tasks {
		name = max(name, len(d.Tasks[i].TaskID))
	}
	return name
}

func row(t *engine.TaskDoc, name int, now time.Time, color bool) string {
	status, took, note := shownStatus(t.Status), "", ""
	method := strings.ToUpper(t.Operation)
	switch t.Status {
	case engine.Pending:
		method = ""
	case engine.Skipped, engine.Cancelled:
		method, note = "", t.Reason
	case engine.Ready, engine.Waiting:
		note = waitNote(t, now)
	case engine.Running:
		if t.StartTime != "" {
			took = since(t.StartTime, now)
		}
		note = turnNote(t)
	case engine.Interrupted:
		note = t.Reason
	case engine.Success:
		if t.KeptFrom != "" {
			method, note = "", "kept"
			break
		}
		fallthrough
	default:
		took = duration(time.Duration(t.DurationMS * float64(time.Millisecond)))
		note = joinNotes(joinNotes(turnNote(t), attemptsNote(t)), t.Note)
	}
	code := ""
	if t.StatusCode > 0 && t.KeptFrom == "" {
		code = fmt.Sprint(t.StatusCode)
	}
	line := fmt.Sprintf("  %-*s  %s  %-7s %3s  %6s  %s", name, clip(string(t.TaskID), name),
		paint(fmt.Sprintf("%-11s", status), statusStyle(status), color), method, code, took, note)
	return strings.TrimRight(line, " ")
}

// shownStatus is a task's status as people read it: one that is ready and that
// nobody has taken is waiting.
func shownStatus(s engine.Status) string {
	if s == engine.Ready {
		return "waiting"
	}
	return string(s)
}

// since is the time from a document's time to now.
func since(rfc3339 string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil || now.Before(t) {
		return ""
	}
	return fmt.Sprintf("%.1fs", now.Sub(t).Seconds())
}

// inFlight says since when a task's call is under way.
func inFlight(t *engine.TaskDoc, now time.Time) string {
	if d := since(t.StartTime, now); d != "" {
		return "call in flight for " + d
	}
	return "call in flight"
}

// waitNote says what a task waits for, and how long still.
func waitNote(t *engine.TaskDoc, now time.Time) string {
	if t.Status == engine.Waiting {
		return awaitNote(t, now)
	}
	if t.NotBefore == "" {
		return joinNotes(turnNote(t), "for a free slot")
	}
	at, err := time.Parse(time.RFC3339, t.NotBefore)
	if err != nil {
		return ""
	}
	in := duration(max(0, at.Sub(now)))
	if n := max(t.Attempts-1, len(t.History)); n > 0 {
		return fmt.Sprintf("retry %d in %s: %s", n, in, t.Reason)
	}
	if t.Reason == "" {
		return fmt.Sprintf("%s in %s", turnNote(t), in)
	}
	return fmt.Sprintf("%s; again in %s", t.Reason, in)
}

// awaitNote says what a waiting task waits for from outside, and how long at most:
// "for signal paid, at most 2m05s", "for 3.2s", "for approval: pay 12?".
func awaitNote(t *engine.TaskDoc, now time.Time) string {
	left := ""
	if at, err := time.Parse(time.RFC3339, t.NotBefore); err == nil {
		left = duration(max(0, at.Sub(now)))
	}
	text := "for " + t.Awaits
	switch {
	case t.Awaits == engine.AwaitTime:
		return "for " + left
	case left != "":
		text += ", at most " + left
	}
	if t.Reason != "" {
		text += ": " + t.Reason
	}
	return text
}

// turnNote says how far a task is that takes several turns: "turn 40", and "80
// turns" when it has ended.
func turnNote(t *engine.TaskDoc) string {
	switch {
	case t.Items != nil:
		return itemsNote(t.Items, t.Status.Final())
	case t.Turns == 0, t.Operation == "wait", t.Operation == "approval", t.Operation == "flow": // one before the wait, one after it
		return ""
	case t.Status == engine.Success:
		return fmt.Sprintf("%d turns", t.Turns)
	}
	return fmt.Sprintf("turn %d", t.Turns)
}

func joinNotes(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// attemptsNote tells of the attempts before the last: "3 attempts: 503, 503,
// then 201".
func attemptsNote(t *engine.TaskDoc) string {
	if len(t.History) < 2 || t.Turns > 0 {
		return ""
	}
	var answers []string
	for _, h := range t.History {
		answers = append(answers, shortAnswer(&h))
	}
	last := len(answers) - 1
	return fmt.Sprintf("%d attempts: %s, then %s", len(t.History), strings.Join(answers[:last], ", "), answers[last])
}

func shortAnswer(h *engine.AttemptDoc) string {
	if h.StatusCode > 0 {
		return fmt.Sprint(h.StatusCode)
	}
	message := h.Message
	if _, why, ok := strings.Cut(message, ": "); ok && strings.HasPrefix(message, "credential ") {
		message = why
	}
	if _, answer, ok := strings.Cut(message, " answered "); ok && strings.HasPrefix(message, "token endpoint ") {
		message = "token endpoint " + answer
	}
	word, _, _ := strings.Cut(message, ",")
	word, _, _ = strings.Cut(word, ":")
	return word
}

// heading is the first line of a run's view.
func heading(d *engine.RunDoc) string {
	return fmt.Sprintf("%s · run %s · batch %d", d.FlowID, d.RunID, d.BatchID)
}

// tally counts tasks and calls: "4 of 5 tasks · 5 calls · 2.4s".
func tally(d *engine.RunDoc, now time.Time) string {
	total, done := 0, 0
	for s, n := range d.Counts {
		total += n
		if s.Final() {
			done += n
		}
	}
	return fmt.Sprintf("%d of %d tasks · %s · %s", done, total, plural(d.Calls, "call"), since(d.StartTime, now))
}

// retries is how many calls of a run were repeats.
func retries(d *engine.RunDoc) (n int) {
	for i := range d.Tasks {
		n += max(0, len(d.Tasks[i].History)-1)
	}
	return n
}

func taskCount(d *engine.RunDoc) (total, good int) {
	for s, n := range d.Counts {
		total += n
		if s == engine.Success {
			good += n
		}
	}
	return total, good
}

// verdict is the last line of a run that went well.
func verdict(d *engine.RunDoc) string {
	total, _ := taskCount(d)
	again := ""
	if n := retries(d); n == 1 {
		again = " (1 retry)"
	} else if n > 1 {
		again = fmt.Sprintf(" (%d retries)", n)
	}
	return fmt.Sprintf("%s: %s, %s, %s%s in %s", d.Status, d.FlowID, plural(total, "task"), plural(d.Calls, "call"), again, millis(d.DurationMS))
}
