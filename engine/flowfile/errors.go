package flowfile

import (
	"fmt"
	"slices"
	"strings"
)

// Severities of an Error.
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
)

// Error is one thing that is wrong in a flow file, with its place.
type Error struct {
	File       string `json:"file"`
	Line       int    `json:"line"`
	Column     int    `json:"column"` // in characters, from 1
	Task       string `json:"task,omitempty"`
	Key        string `json:"key,omitempty"`
	Severity   string `json:"severity"`
	Code       string `json:"code"`
	Message    string `json:"message"`
	Suggestion string `json:"suggestion,omitempty"`

	Source string `json:"-"` // the line itself
	Width  int    `json:"-"` // characters to mark from Column on
}

// Error is one line: file:line:column: task "x": message (did you mean "y"?).
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Severity == SeverityWarning {
		b.WriteString("warning: ")
	}
	if e.Task != "" {
		fmt.Fprintf(&b, "task %q: ", e.Task)
	}
	b.WriteString(e.Message)
	if e.Suggestion != "" {
		fmt.Fprintf(&b, " (did you mean %q?)", e.Suggestion)
	}
	return b.String()
}

// Errors are all the errors of a file, or of several, by place.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Only returns the errors of a severity.
func (e Errors) Only(severity string) (out Errors) {
	for _, err := range e {
		if err.Severity == severity {
			out = append(out, err)
		}
	}
	return out
}

// Sort puts them in the order of their places.
func (e Errors) Sort() {
	slices.SortStableFunc(e, func(a, b *Error) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}
