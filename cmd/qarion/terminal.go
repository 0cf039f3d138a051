package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
)

// Exit codes.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitNobody  = 3
	exitGoingOn = 4
	exitCtrlC   = 130
)

// cliError is an error with its exit code and, where there is one, a way out.
type cliError struct {
	code   int
	err    error
	hints  []string
	silent bool // everything has been said already
}

func (e *cliError) Error() string { return e.err.Error() }
func (e *cliError) Unwrap() error { return e.err }

func usageError(err error) error {
	if err == nil {
		return nil
	}
	return &cliError{code: exitUsage, err: err}
}

// fail is an error with exit code 1 and hints.
func fail(err error, hints ...string) error {
	return &cliError{code: exitFailed, err: err, hints: hints}
}

// nobody is an error with exit code 3 and hints.
func nobody(err error, hints ...string) error {
	return &cliError{code: exitNobody, err: err, hints: hints}
}

// exit prints an error, as the last lines on the screen, and returns the exit
// code. It is the only place that does.
func (a *app) exit(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	var c *cliError
	if !errors.As(err, &c) {
		c = &cliError{code: exitFailed, err: err}
		switch {
		case ctx.Err() != nil && errors.Is(err, context.Canceled):
			c.code, c.silent = exitCtrlC, true
		case errors.Is(err, engine.ErrUnavailable):
			c.code = exitNobody
		}
	}
	if c.silent {
		return c.code
	}
	a.ui.problem("error", c.err)
	if c.code == exitUsage {
		a.ui.hint(fmt.Sprintf("how it is used: %s --help", cmp.Or(a.path, "qarion")))
	}
	for _, h := range c.hints {
		a.ui.hint(h)
	}
	return c.code
}

// hint prints a way out.
func (u *ui) hint(text string) {
	fmt.Fprintln(u.err, "qarion: hint: "+text)
}

// problem prints one error or warning: lower case, without the kind's word
// where the rest says it better.
func (u *ui) problem(severity string, err error) {
	var places flowfile.Errors
	if errors.As(err, &places) {
		for _, e := range places {
			fmt.Fprintln(u.err, e.Error())
		}
		n := len(places.Only(flowfile.SeverityError))
		fmt.Fprintf(u.err, "qarion: error: %s in %s\n", plural(n, "error"), places[0].File)
		return
	}
	text := err.Error()
	var path *fs.PathError
	if errors.As(err, &path) && errors.Is(err, fs.ErrNotExist) {
		text = "no such file: " + path.Path
	}
	for _, kind := range []error{engine.ErrInvalid, engine.ErrConflict, engine.ErrNotFound, engine.ErrDenied, engine.ErrUnavailable, engine.ErrDamaged} {
		text = strings.TrimPrefix(text, kind.Error()+": ")
	}
	fmt.Fprintf(u.err, "qarion: %s: %s\n", severity, u.paint(text, plain))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%s %ss", thousands(n), what)
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
