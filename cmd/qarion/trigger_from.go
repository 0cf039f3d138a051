package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

// maxStartBytes bounds the lines that go into one request, in bytes: a message
// may have 1 MiB.
const maxStartBytes = 768 << 10

// alone are the flags of trigger that --from cannot have beside it: each of its
// lines says it for itself.
var alone = []string{"var", "json", "json-file", "batch-id", "execution-date", "trigger-id", "id", "wait"}

// triggerFrom starts a run for every line of a file.
func (a *app) triggerFrom(c *cobra.Command, path, flow string) error {
	for _, name := range alone {
		if f := c.Flags().Lookup(name); f != nil && f.Changed {
			return usageError(fmt.Errorf("--%s and --from: each line of the file says it for itself", name))
		}
	}
	in, name := io.Reader(a.ui.in), "standard input"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fail(err)
		}
		defer f.Close()
		in, name = f, path
	}
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	lines := &startLines{app: a, name: name, flow: flow, call: func(ctx context.Context, list []bus.StartRun, out *bus.StartedRuns) error {
		return s.Call(ctx, "run.start", list, out)
	}}
	if err := lines.all(c.Context(), in); err != nil {
		return lines.stopped(err)
	}
	return lines.conclude()
}

// startLines starts runs from lines, in requests of many.
type startLines struct {
	*app
	name string // of the file
	flow string // of lines that name none
	call func(context.Context, []bus.StartRun, *bus.StartedRuns) error

	read     int // lines so far
	answered int // the last line of which it is known what became of it
	list     []bus.StartRun
	places   []int // their lines
	size     int
	started  int
	known    int
	refusals int
}

func (l *startLines) all(ctx context.Context, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), engine.MaxTriggerPayload+64<<10)
	for lines.Scan() {
		l.read++
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		if len(l.list) == engine.MaxStarts || len(l.list) > 0 && l.size+len(text) > maxStartBytes {
			if err := l.send(ctx); err != nil {
				return err
			}
		}
		run := bus.StartRun{Flow: l.flow, TriggerType: "cli", Environment: l.envName()}
		if err := bus.Decode(text, &run); err != nil {
			l.refuse(l.read, err)
			continue
		}
		l.list, l.places, l.size = append(l.list, run), append(l.places, l.read), l.size+len(text)+64
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fail(fmt.Errorf("%s:%d: the line is longer than a trigger can be (%d bytes of variables)", l.name, l.read+1, engine.MaxTriggerPayload))
	} else if err != nil {
		return fail(fmt.Errorf("read %s: %w", l.name, err))
	}
	return l.send(ctx)
}

// send starts what was collected and says what became of it.
func (l *startLines) send(ctx context.Context) error {
	if len(l.list) == 0 {
		return nil
	}
	var out bus.StartedRuns
	if err := l.call(ctx, l.list, &out); err != nil {
		return refused(err)
	}
	if len(out.Runs) != len(l.list) {
		return fail(fmt.Errorf("the node answered %d of %d runs: is it of an older version?", len(out.Runs), len(l.list)))
	}
	for i := range out.Runs {
		r := &out.Runs[i]
		if err := r.Err(); err != nil {
			l.refuse(l.places[i], err)
		} else {
			l.started++
			if r.Known {
				l.known++
			}
		}
		switch {
		case l.json():
			if err := l.printJSON(startedLine{l.places[i], r}); err != nil {
				return err
			}
		case l.flags.quiet && r.RunID != "":
			fmt.Fprintln(l.ui.out, r.RunID)
		}
	}
	l.answered = l.places[len(l.places)-1]
	l.list, l.places, l.size = l.list[:0], l.places[:0], 0
	return nil
}

// startedLine is what --output json prints of a line.
type startedLine struct {
	Line int `json:"line"`
	*bus.StartedRun
}

func (l *startLines) refuse(line int, err error) {
	l.refusals++
	fmt.Fprintf(l.ui.err, "%s:%d: %s\n", l.name, line, engine.ErrorLine(err))
}

// stopped says how far it came.
func (l *startLines) stopped(err error) error {
	at := l.answered + 1
	hint := fmt.Sprintf("go on from line %d; lines with an \"id\" may be repeated, they start nothing twice within 24 h", at)
	if l.started == 0 && l.refusals == 0 {
		return err
	}
	return &cliError{code: exitFailed, err: fmt.Errorf("%w; %d runs were started before", err, l.started), hints: []string{hint}}
}

func (l *startLines) conclude() error {
	if !l.json() && !l.flags.quiet {
		fmt.Fprintf(l.ui.out, "accepted: %s (stored: a crash loses none)", plural(l.started, "run"))
		if l.known > 0 {
			fmt.Fprintf(l.ui.out, ", %d of them before", l.known)
		}
		fmt.Fprintln(l.ui.out)
	}
	if l.refusals > 0 {
		return fail(fmt.Errorf("%s of %s refused", plural(l.refusals, "line"), l.name))
	}
	return nil
}
