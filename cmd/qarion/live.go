package main

import (
	"context"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// live is a view on the terminal that repaints itself, at most ten times a
// second: lines from a function. It leaves the terminal as it was and needs
// nothing from it but its width.
type live struct {
	progress *mpb.Progress
	bars     []*mpb.Bar

	mu     sync.Mutex
	lines  []string        // as they are shown now
	render func() []string // what there is to show, whenever it is repainted
}

// newLive starts a view of at most n lines; nil where nothing may repaint.
func (a *app) newLive(ctx context.Context, n int) *live {
	if !a.ui.live() || a.flags.quiet {
		return nil
	}
	n = max(1, min(n, a.ui.height()-2))
	l := &live{lines: make([]string, n)}
	l.progress = mpb.NewWithContext(context.WithoutCancel(ctx), mpb.WithOutput(a.ui.err), mpb.WithWidth(a.ui.width()), mpb.WithRefreshRate(100*time.Millisecond))
	for i := range n {
		l.bars = append(l.bars, l.progress.New(1, mpb.NopStyle(), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return l.line(i) }))))
	}
	return l
}

// line is one of the lines; with the first all are made anew, so that times go
// on between two changes.
func (l *live) line(i int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i == 0 && l.render != nil {
		lines := l.render()
		if extra := len(lines) - len(l.lines); extra > 0 {
			lines = lines[extra:] // what does not fit is cut from the top, where things have ended
		}
		clear(l.lines)
		copy(l.lines, lines)
	}
	return l.lines[i]
}

// show says what the lines are from now on. render is called whenever the view
// is repainted.
func (l *live) show(render func() []string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.render = render
}

// erase ends the view and takes its lines away.
func (l *live) erase() {
	if l == nil {
		return
	}
	for _, b := range l.bars {
		b.SetCurrent(1)
	}
	l.progress.Wait()
}
