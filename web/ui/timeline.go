package ui

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/qarion/qarion/engine"
)

// maxBars is how many tasks a time line shows: those that failed and the
// longest ones.
const maxBars = 200

// Where the parts of a time line stand, in its own units.
const (
	lineName, lineWidth = 190, 800
	barHeight, barStep  = 16, 24
	foldWidth           = 34 // of a gap that is folded
	foldShare           = 5  // a gap is folded that takes more than a fifth of the axis
)

// timeline shows when the tasks of a run did what.
type timeline struct {
	Width, Height int
	Bars          []bar
	Ticks         []tick
	Folds         []tick // where nothing happened for long
	LeftOut       int
	BarH          int
}

// bar is a task: a part for each attempt.
type bar struct {
	Task, Label, Link, Status, Says string
	Y, TextY                        int
	Parts                           []part
}

type part struct {
	X, W   int
	Status string
}

type tick struct {
	X    int
	Text string
}

// span is a time in which something was going on.
type span struct{ from, to time.Time }

// drawTimeline draws a run's tasks over time, gaps in which nothing happened
// folded.
func drawTimeline(doc *engine.RunDoc, now time.Time, link func(engine.TaskID) string) *timeline {
	var tasks []engine.TaskDoc
	for _, t := range doc.Tasks {
		if t.StartTime != "" {
			tasks = append(tasks, t)
		}
	}
	l := &timeline{Width: lineName + lineWidth + 60, BarH: barHeight}
	if len(tasks) > maxBars {
		slices.SortStableFunc(tasks, func(a, b engine.TaskDoc) int {
			if (a.Status == engine.Failed) != (b.Status == engine.Failed) {
				return slices.Index(ranks, a.Status) - slices.Index(ranks, b.Status)
			}
			return cmp.Compare(b.DurationMS, a.DurationMS)
		})
		l.LeftOut = len(tasks) - maxBars
		tasks = tasks[:maxBars]
	}
	slices.SortStableFunc(tasks, func(a, b engine.TaskDoc) int { return cmp.Compare(a.StartTime, b.StartTime) })
	all := make([][]span, len(tasks))
	var busy []span
	for i := range tasks {
		all[i] = spansOf(&tasks[i], now)
		busy = append(busy, all[i]...)
	}
	x := newAxis(busy)
	for i := range tasks {
		l.add(&tasks[i], all[i], x, link)
	}
	for _, f := range x.folds {
		l.Folds = append(l.Folds, tick{lineName + f.x, "// " + milliseconds(float64(f.length)/float64(time.Millisecond)) + " //"})
	}
	l.Ticks = apart(l.Folds, x.ticks())
	l.Height = 28 + len(tasks)*barStep
	return l
}

// tickWidth is the room that the words over an axis take.
const tickWidth = 72

// apart leaves out the ticks whose words would run into those of a fold, or of
// the tick before.
func apart(folds, ticks []tick) (out []tick) {
	taken := slices.Clone(folds)
	for _, t := range ticks {
		if !slices.ContainsFunc(taken, func(o tick) bool { return max(t.X-o.X, o.X-t.X) < tickWidth }) {
			out, taken = append(out, t), append(taken, t)
		}
	}
	return out
}

// spansOf are the attempts of a task.
func spansOf(t *engine.TaskDoc, now time.Time) (out []span) {
	add := func(start, end string) {
		from, err := time.Parse(time.RFC3339, start)
		if err != nil {
			return
		}
		to, err := time.Parse(time.RFC3339, end)
		if err != nil {
			to = now
		}
		if to.Before(from) {
			to = from
		}
		out = append(out, span{from, to})
	}
	for i := range t.History {
		add(t.History[i].StartTime, t.History[i].EndTime)
	}
	if len(t.History) == 0 {
		add(t.StartTime, t.EndTime)
	}
	return out
}

func (l *timeline) add(t *engine.TaskDoc, spans []span, x *axis, link func(engine.TaskID) string) {
	b := bar{
		Task: string(t.TaskID), Label: string(t.TaskID), Link: link(t.TaskID), Status: string(t.Status), Y: 24 + len(l.Bars)*barStep,
	}
	if r := []rune(b.Label); len(r) > maxLabel {
		b.Label = string(r[:maxLabel-1]) + "…"
	}
	b.TextY = b.Y + barHeight - 4
	b.Says = fmt.Sprintf("task %s, %s, %s, %s", t.TaskID, t.Status, milliseconds(t.DurationMS), plural(t.Attempts, "attempt"))
	for i, s := range spans {
		status := string(t.Status)
		if i < len(t.History) {
			status = t.History[i].Status
		}
		from, to := x.at(s.from), x.at(s.to)
		b.Parts = append(b.Parts, part{lineName + from, max(2, to-from), status})
	}
	l.Bars = append(l.Bars, b)
}

// axis turns times into places.
type axis struct {
	start  time.Time
	spans  []span // in which something was going on, in order, not touching
	folds  []fold
	per    float64 // units of width a nanosecond
	places []int   // where each span begins
}

type fold struct {
	x      int
	length time.Duration
}

func newAxis(busy []span) *axis {
	a := &axis{}
	if len(busy) == 0 {
		return a
	}
	slices.SortFunc(busy, func(x, y span) int { return x.from.Compare(y.from) })
	a.start = busy[0].from
	merged := []span{busy[0]}
	for _, s := range busy[1:] {
		last := &merged[len(merged)-1]
		if !s.from.After(last.to) {
			last.to = later(last.to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	whole := merged[len(merged)-1].to.Sub(a.start)
	var folded time.Duration
	a.spans = merged[:1:1]
	var gaps []time.Duration
	for _, s := range merged[1:] {
		last := &a.spans[len(a.spans)-1]
		if gap := s.from.Sub(last.to); gap > whole/foldShare {
			folded += gap
			gaps = append(gaps, gap)
			a.spans = append(a.spans, s)
			continue
		}
		last.to = s.to
	}
	width := float64(lineWidth - len(gaps)*foldWidth)
	a.per = width / float64(max(whole-folded, time.Nanosecond))
	at := 0
	for i, s := range a.spans {
		a.places = append(a.places, at)
		at += int(float64(s.to.Sub(s.from)) * a.per)
		if i < len(gaps) {
			a.folds = append(a.folds, fold{at, gaps[i]})
			at += foldWidth
		}
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// at is where a time stands on the axis.
func (a *axis) at(t time.Time) int {
	for i := len(a.spans) - 1; i >= 0; i-- {
		if !t.Before(a.spans[i].from) {
			return a.places[i] + int(float64(t.Sub(a.spans[i].from))*a.per)
		}
	}
	return 0
}

// ticks says the time passed at the beginning of each part and at the end.
func (a *axis) ticks() (out []tick) {
	for i, s := range a.spans {
		passed := s.from.Sub(a.start)
		out = append(out, tick{lineName + a.places[i], "+" + milliseconds(float64(passed)/float64(time.Millisecond))})
	}
	if n := len(a.spans); n > 0 {
		end := a.spans[n-1].to.Sub(a.start)
		out = append(out, tick{lineName + a.at(a.spans[n-1].to), "+" + milliseconds(float64(end)/float64(time.Millisecond))})
	}
	return out
}
