package apicall

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/jq"
	"github.com/qarion/qarion/internal/value"
)

// A task that says sensitive = true leaves what nobody may see. Two things
// follow here: of its own answer nothing is shown but that there was one, and
// what later tasks make of it is hidden wherever it would show up, by the place
// that it was put into and by value.

// Bounds of what is looked for by value of what a sensitive task has left.
const (
	maxLeaves = 500     // texts and numbers in one value
	maxLeaf   = 4 << 10 // bytes of one; what is longer is nothing that a server repeats by the way
	minUsed   = 4       // bytes of a text that a template made of it
)

// sensitive is what an attempt has read of sensitive tasks.
type sensitive struct {
	leaves []string // texts and numbers in what was read
	used   []string // what templates made of it
	marks  int      // how often
	opaque bool     // there is more than can be looked for by value
}

// read notes a value that was read of a sensitive task.
func (s *sensitive) read(v any) {
	switch v := v.(type) {
	case string:
		s.leaf(v)
	case value.Number:
		s.leaf(string(v))
	case int64:
		s.leaf(strconv.FormatInt(v, 10))
	case float64:
		s.leaf(plainText(v))
	case []any:
		for _, e := range v {
			s.read(e)
		}
	case *value.Map:
		for _, e := range v.All() {
			s.read(e)
		}
	case *value.Bytes:
		s.opaque = true
	}
}

func (s *sensitive) leaf(text string) {
	switch {
	case len(text) < minSecret || slices.Contains(s.leaves, text):
	case len(text) > maxLeaf || len(s.leaves) == maxLeaves:
		s.opaque = true
	default:
		s.leaves = append(s.leaves, text)
	}
}

// note notes a text that was made of such a value.
func (s *sensitive) note(text string) {
	s.marks++
	if len(text) >= minUsed && len(text) <= maxLeaf && !slices.Contains(s.used, text) {
		s.used = append(s.used, text)
	}
}

// whatIsRead notes what Lookup gives of sensitive tasks, once for each name.
func (v *vars) whatIsRead(name string, got jinja.Var) {
	if got.Origin.Sensitive() && !slices.Contains(v.readNames, name) {
		v.readNames = append(v.readNames, name)
		v.sensitive.read(got.Value)
	}
}

// notShown stands for what a sensitive task has left, or would have.
const notShown = "(hidden: it is sensitive)"

// shownOfSensitive are the headers of an answer that say nothing of its
// content.
var shownOfSensitive = []string{"Content-Type", "Content-Length", "Date", "Retry-After", "Server", "Allow"}

// hides reports whether nothing of the answer may be shown: the task says so, or
// the answer may repeat what cannot be looked for.
func (a *attempt) hides() bool { return a.in.Task.Sensitive || a.vars.opaque }

// excerptHidden is excerpt for a sensitive task.
func (a *attempt) excerptHidden(resp *http.Response) {
	d := &a.out.Details
	d.ResponseHeaders = map[string]string{}
	for name, v := range a.shownHeaders(resp.Header, func(name string) bool { return slices.Contains(shownOfSensitive, name) }) {
		d.ResponseHeaders[strings.ToLower(name)] = v
	}
	d.ResponseExcerpt = notShown
}

// quiet takes out of an error what it may quote of an answer.
func (a *attempt) quiet(err error, what string) error {
	if !a.hides() {
		return err
	}
	var wrong *jq.Error
	if errors.As(err, &wrong) {
		return errors.New(what + ": " + wrong.Plain())
	}
	return errors.New(what + " (why is not shown: it is sensitive)")
}

// shownRedirects are the redirects for people; those of a sensitive task
// without their queries, which servers put codes and tokens into.
func (a *attempt) shownRedirects() []string {
	if !a.hides() {
		return a.history
	}
	out := make([]string, len(a.history))
	for i, u := range a.history {
		out[i], _, _ = strings.Cut(u, "?")
	}
	return out
}

// content is Content of a name, noted where its task is sensitive.
func (v *vars) content(ctx context.Context, name string) (*value.Bytes, bool, error) {
	b, ok, err := v.TaskInput.Content(ctx, name)
	if ok && v.Sensitive(name) {
		v.sensitive.marks++
		if _, noted, err := v.Lookup(ctx, name); err != nil || !noted { // it is too large for templates
			v.sensitive.opaque = true
		}
	}
	return b, ok, err
}
