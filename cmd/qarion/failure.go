package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"

	"github.com/qarion/qarion/engine"
)

// maxBodyLines and maxBodyBytes bound how much of an answer a failure shows by
// itself.
const (
	maxBodyLines = 10
	maxBodyBytes = 1000
)

// failureBlock tells why a run failed: the task, the request as it was sent
// (redacted), every attempt with its answer, wait and reason, and the answer's
// body.
func (a *app) failureBlock(d *engine.RunDoc) string {
	e := d.Error
	if e == nil {
		return ""
	}
	var b strings.Builder
	if e.TaskID == "" {
		fmt.Fprintf(&b, "run %s: %s\n", d.Status, e.Message)
		return b.String()
	}
	place := ""
	for i := range d.Tasks {
		if d.Tasks[i].TaskID == e.TaskID && d.File != "" && d.Tasks[i].Line > 0 {
			place = fmt.Sprintf("  %s:%d", d.File, d.Tasks[i].Line)
		}
	}
	fmt.Fprintf(&b, "task %s failed: %s%s\n", e.TaskID, e.Message, a.ui.paint(place, dim))
	var details engine.Details
	if len(e.Details) > 0 {
		_ = json.Unmarshal(e.Details, &details)
	}
	a.request(&b, &details)
	a.attempts(&b, e.Attempts, &engine.TaskDoc{Status: engine.Failed}, &details)
	for _, v := range details.Validation {
		a.ui.indented(&b, "    ", 0, v)
	}
	a.answer(&b, lastAttempt(e.Attempts), &details, false, fmt.Sprintf("qarion runs show %s --task %s --body", d.RunID, e.TaskID))
	a.otherFailures(&b, d)
	return b.String()
}

// maxOtherFailures bounds how many more failed tasks are named.
const maxOtherFailures = 10

// otherFailures names every other task that failed, with its reason, in a line
// each.
func (a *app) otherFailures(b *strings.Builder, d *engine.RunDoc) {
	named, more := engine.TaskID(""), 0
	for i, n := 0, 0; i < len(d.Tasks); i++ {
		task := &d.Tasks[i]
		if task.Status != engine.Failed || task.TaskID == d.Error.TaskID {
			continue
		}
		if n++; n > maxOtherFailures {
			more++
			continue
		}
		if named == "" {
			b.WriteString("\n")
			named = task.TaskID
		}
		reason, _, _ := strings.Cut(task.Reason, "\n")
		fmt.Fprintf(b, "task %s failed too: %s\n", task.TaskID, clip(printable(reason), maxBodyBytes))
	}
	if more > 0 {
		fmt.Fprintf(b, "and %d more: qarion runs show %s\n", more, d.RunID)
	}
	if named != "" {
		fmt.Fprintf(b, "see each: qarion runs show %s --task %s\n", d.RunID, named)
	}
}

func (a *app) request(b *strings.Builder, d *engine.Details) {
	if d.Database != "" {
		a.statements(b, d)
	}
	if d.URL == "" {
		return
	}
	b.WriteString("\n")
	a.ui.indented(b, "  ", len(d.Method)+1, d.Method+" "+d.URL)
	names := make([]string, 0, len(d.RequestHeaders))
	for n := range d.RequestHeaders {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		note := ""
		switch {
		case n == "Authorization" && d.Credential != "":
			note = "  credential " + d.Credential
		case n == "Idempotency-Key":
			note = "  the same in all attempts"
		}
		fmt.Fprintf(b, "    %s: %s%s\n", n, d.RequestHeaders[n], a.ui.paint(note, dim))
	}
	if d.CookieJar != "" {
		fmt.Fprintf(b, "    cookie jar %s\n", printable(d.CookieJar))
	}
	if d.RequestBody != "" {
		a.ui.indented(b, "    ", 0, firstLines(d.RequestBody, false))
	}
	if d.RequestBody == "" && len(d.RequestHeaders) == 0 && d.RequestBytes > 0 {
		fmt.Fprintf(b, "    %s\n", a.ui.paint(fmt.Sprintf("headers and the body of %s are kept of attempts that fail", bytesize(d.RequestBytes)), dim))
	}
	if d.Note != "" {
		fmt.Fprintf(b, "    %s\n", printable(d.Note))
	}
}

// statements shows what ran on a database; the last one of a failed attempt is
// the one that failed.
func (a *app) statements(b *strings.Builder, d *engine.Details) {
	fmt.Fprintf(b, "\n  on %s\n", printable(d.Database))
	for _, st := range d.Statements {
		text, _ := a.firstLine(st.SQL)
		fmt.Fprintf(b, "    %s%s\n", text, a.ui.paint(fmt.Sprintf("  %s, %s", plural(int(st.Rows), "row"), millis(st.DurationMS)), dim))
	}
	if d.Note != "" {
		fmt.Fprintf(b, "    %s\n", printable(d.Note))
	}
}

// firstLine is the first line of a text, and whether there are others.
func (a *app) firstLine(s string) (line string, more bool) {
	line, _, more = strings.Cut(strings.TrimSpace(s), "\n")
	if more {
		line += " ..."
	}
	return clip(printable(line), 120), more
}

// attempts draws a line per attempt of a task.
func (a *app) attempts(b *strings.Builder, list []engine.AttemptDoc, task *engine.TaskDoc, d *engine.Details) {
	if len(list) == 0 {
		return
	}
	turns := hasTurns(list)
	t := newTable("ATTEMPT", "SENT", "ANSWER", "TOOK", "THEN").narrow(3, 1).shorten(2, 4)
	if turns {
		t = newTable("TURN", "ATTEMPT", "SENT", "ANSWER", "TOOK", "THEN").narrow(4, 2).shorten(3, 5)
	}
	for i := range list {
		at := &list[i]
		next := ""
		switch {
		case i+1 < len(list):
			next = waited(at, list[i+1].StartTime)
		case task.Status == engine.Interrupted:
			next = "waits for a person"
		case task.Status == engine.Waiting:
			next = awaitNote(task, a.ui.now())
		case task.NotBefore != "":
			next = "the next at " + a.ui.clockMillis(task.NotBefore, a.ui.outTerm)
		case !task.Status.Final():
			next = "the next is under way"
		default:
			next = final(at, d)
		}
		cells := []string{fmt.Sprint(at.Attempt), a.ui.clockMillis(at.StartTime, a.ui.outTerm), answerOf(at), duration(between(at.StartTime, at.EndTime)), next}
		if turns {
			cells = append([]string{fmt.Sprint(at.Turn + 1)}, cells...)
		}
		t.add(cells...)
	}
	b.WriteString("\n")
	for _, line := range t.lines(a.ui.outTerm, a.ui.width()-2) {
		b.WriteString("  " + line + "\n")
	}
}

// hasTurns reports whether attempts are of a task that takes several turns: pages
// or polls.
func hasTurns(list []engine.AttemptDoc) bool {
	return slices.ContainsFunc(list, func(at engine.AttemptDoc) bool { return at.Turn > 0 })
}

// lastAttempt names the last of some attempts: "attempt 2", or "turn 4, attempt
// 1" where there are turns.
func lastAttempt(list []engine.AttemptDoc) string {
	if len(list) == 0 {
		return "attempt 1"
	}
	at := &list[len(list)-1]
	if hasTurns(list) {
		return fmt.Sprintf("turn %d, attempt %d", at.Turn+1, at.Attempt)
	}
	return fmt.Sprintf("attempt %d", at.Attempt)
}

// answerOf says what came back: a status, or what went wrong.
func answerOf(at *engine.AttemptDoc) string {
	if at.StatusCode > 0 && !strings.HasPrefix(at.Message, fmt.Sprint(at.StatusCode)) {
		return strings.TrimSpace(fmt.Sprintf("%d %s", at.StatusCode, http.StatusText(at.StatusCode)))
	}
	if at.Message == "" {
		return at.Status
	}
	text, _, _ := strings.Cut(at.Message, "; ")
	return text
}

// waited says how long the next attempt was waited for, whatever for.
func waited(at *engine.AttemptDoc, next string) string {
	text := "waited " + duration(between(at.EndTime, next))
	if lower := strings.ToLower(at.Reason); strings.Contains(lower, "retry-after") || strings.Contains(lower, "ratelimit") || strings.Contains(lower, "rate-limit") { // the header that asked for it
		text += " (" + at.Reason + ")"
	}
	return text
}

// final says why no attempt followed.
func final(at *engine.AttemptDoc, d *engine.Details) string {
	switch {
	case engine.Outcome(at.Status).Good():
		return "done"
	case at.Reason != "" && at.RetryAt == "":
		return "final: " + at.Reason
	case d.NotRetried != "":
		return "final: " + d.NotRetried
	}
	return "final"
}

// answer shows what came back to an attempt, as far as it was kept. more is the
// command that shows all of it.
func (a *app) answer(b *strings.Builder, attempt string, d *engine.Details, whole bool, more string) {
	if d.ResponseExcerpt == "" {
		return
	}
	fmt.Fprintf(b, "\n  response to %s (%s, %s)\n", attempt, orText(d.ContentType, "no content type"), bytesize(d.ResponseBytes))
	body := d.ResponseExcerpt
	if !whole {
		body = firstLines(body, true)
	}
	a.ui.indented(b, "    ", 0, printable(body))
	if shown := len(body); !whole && d.ResponseBytes > int64(shown) {
		fmt.Fprintf(b, "    ... %s more: %s\n", bytesize(d.ResponseBytes-int64(shown)), more)
	}
}

func orText(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// firstLines cuts a body for the screen.
func firstLines(s string, many bool) string {
	if !many {
		s, _, _ = strings.Cut(s, "\n")
	}
	lines := strings.SplitN(s, "\n", maxBodyLines+1)
	if len(lines) > maxBodyLines {
		lines = lines[:maxBodyLines]
	}
	s = strings.Join(lines, "\n")
	if len(s) > maxBodyBytes {
		s = strings.ToValidUTF8(s[:maxBodyBytes], "")
	}
	return s
}

// printable takes control characters out of text from a server: it must not
// steer the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return '·'
		}
		return r
	}, s)
}

// leftUnknown names the tasks of a run that has ended whose calls may have been
// carried out.
func leftUnknown(d *engine.RunDoc) string {
	var names []string
	for i := range d.Tasks {
		if t := &d.Tasks[i]; t.Status == engine.Cancelled && strings.HasPrefix(t.Reason, engine.UnknownOutcome) {
			names = append(names, string(t.TaskID))
		}
	}
	if len(names) > maxOtherFailures {
		names = append(names[:maxOtherFailures], "...")
	}
	return strings.Join(names, ", ")
}

// mayHave is the hint for such tasks.
func mayHave(tasks string) string {
	return fmt.Sprintf("the server may have carried out %s: look there before you start it again", tasks)
}

// runError is the error line of a run that did not succeed, with what to do.
func runError(d *engine.RunDoc, target string) error {
	message := fmt.Sprintf("run %s %s", d.RunID, d.Status)
	var hints []string
	if e := d.Error; e != nil {
		if e.TaskID != "" {
			message += fmt.Sprintf(": %s: %s", e.TaskID, e.Message)
		} else {
			message += ": " + e.Message
		}
		var details engine.Details
		if len(e.Details) > 0 && json.Unmarshal(e.Details, &details) == nil {
			hints = append(hints, hintsOf(&details)...)
		}
		if task := leftUnknown(d); task != "" {
			hints = append(hints, mayHave(task))
		}
		if e.Class == "validation" {
			hints = append(hints, fmt.Sprintf("see what it answered: qarion runs show %s --task %s --body", target, e.TaskID))
		}
	}
	return fail(fmt.Errorf("%s", message), append(hints, "look at it again: qarion runs show "+target,
		"do again what did not succeed: qarion runs rerun "+target+" --from failed")...)
}
