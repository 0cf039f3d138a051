package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/itchyny/gojq"
	"golang.org/x/term"
)

// ui is the three streams and what each of them can show: the result goes to
// out, everything else to err, and each decides for itself.
type ui struct {
	in        io.Reader
	out, err  io.Writer
	outTerm   bool
	errTerm   bool
	dumb      bool // TERM=dumb: no colour, no repainting
	oneStream bool // out and err come out in one place
	color     bool // on out
	errColor  bool
	ascii     bool
	now       func() time.Time
}

func newUI(in io.Reader, out, err io.Writer) *ui {
	u := &ui{in: in, out: out, err: err, now: time.Now}
	u.outTerm, u.errTerm = isTerminal(out), isTerminal(err)
	u.oneStream = sameStream(out, err)
	u.dumb = os.Getenv("TERM") == "dumb"
	locale := os.Getenv("LC_ALL") + os.Getenv("LC_CTYPE") + os.Getenv("LANG")
	u.ascii = locale != "" && !strings.Contains(strings.ToLower(locale), "utf")
	return u
}

// sameStream reports whether what is written to both comes out in one place, as
// after 2>&1.
func sameStream(out, err io.Writer) bool {
	o, ok1 := out.(*os.File)
	e, ok2 := err.(*os.File)
	if !ok1 || !ok2 {
		return false
	}
	one, err1 := o.Stat()
	other, err2 := e.Stat()
	return err1 == nil && err2 == nil && os.SameFile(one, other)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (u *ui) setColor(mode string) error {
	switch mode {
	case "always":
		u.color, u.errColor = true, true
	case "never":
	case "auto":
		if os.Getenv("NO_COLOR") == "" && !u.dumb {
			u.color, u.errColor = u.outTerm, u.errTerm
		}
	default:
		return usageError(fmt.Errorf("--color is %q, want auto, always or never", mode))
	}
	return nil
}

// live reports whether a view on err may repaint itself.
func (u *ui) live() bool { return u.errTerm && !u.dumb }

// width is the terminal's, or 100.
func (u *ui) width() int {
	for _, w := range []io.Writer{u.err, u.out} {
		if f, ok := w.(*os.File); ok {
			if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
				return n
			}
		}
	}
	return 100
}

func (u *ui) height() int {
	if f, ok := u.err.(*os.File); ok {
		if _, n, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return 24
}

// style is how a word is painted; colour only repeats what the word says.
type style int

const (
	plain style = iota
	green
	red
	yellow
	dim
)

// statusStyle is the colour of a status word.
func statusStyle(s string) style {
	switch s {
	case "success":
		return green
	case "failed":
		return red
	case "waiting", "interrupted", "retry", "deferred":
		return yellow
	case "skipped", "cancelled":
		return dim
	}
	return plain
}

func (u *ui) paint(s string, st style) string { return paint(s, st, u.color) }

func paint(s string, st style, on bool) string {
	if !on || st == plain {
		return s
	}
	code := map[style]string{green: "32", red: "31", yellow: "33", dim: "2"}[st]
	return "\x1b[" + code + "m" + s + resetColor
}

func checkOutput(o string, more []string) error {
	formats := append([]string{"table", "json"}, more...)
	if !slices.Contains(formats, o) {
		return usageError(fmt.Errorf("--output is %q, want %s", o, strings.Join(formats, ", ")))
	}
	return nil
}

// printJSON writes a value as JSON, or what the --jq expression makes of it:
// texts bare, anything else as JSON, one per line.
func (a *app) printJSON(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if a.flags.jq == "" {
		_, err = fmt.Fprintf(a.ui.out, "%s\n", data)
		return err
	}
	query, err := gojq.Parse(a.flags.jq)
	if err != nil {
		return usageError(fmt.Errorf("--jq: %w", err))
	}
	var in any
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	for iter := query.Run(in); ; {
		got, ok := iter.Next()
		if !ok {
			return nil
		}
		if err, bad := got.(error); bad {
			return fail(fmt.Errorf("--jq: %w", err))
		}
		if s, ok := got.(string); ok {
			fmt.Fprintln(a.ui.out, s)
			continue
		}
		line, err := gojq.Marshal(got)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.ui.out, "%s\n", line)
	}
}
