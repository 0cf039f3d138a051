package apicall

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// explain puts an undefined name into words that help: which task returned
// what, or what there is, or that the task returned no data at all.
func (a *attempt) explain(ctx context.Context, err error) error {
	var u *jinja.UndefinedError
	if !errors.As(err, &u) || u.Short != "" {
		return err
	}
	parent, dotted := strings.CutSuffix(u.Name, ".[...]") // a key that is not shown
	if !dotted {
		parent, _, dotted = cutLast(u.Name, ".")
	}
	if dotted && len(u.Available) == 0 {
		if why := a.noData(ctx, parent); why != "" {
			return fmt.Errorf("%w: %s", err, why)
		}
		return err
	}
	if len(u.Available) == 0 {
		return err
	}
	what := "there are"
	if dotted {
		what = parent + " has"
		if id, ok := strings.CutPrefix(parent, "xcom_"); ok && !strings.Contains(id, ".") {
			what = id + " returned"
		}
	}
	names := u.Available
	if len(names) > maxNamesShown {
		names = append(slices.Clone(names[:maxNamesShown]), "...")
	}
	return fmt.Errorf("%w (%s: %s)", err, what, strings.Join(names, ", "))
}

// noData says why nothing can be read from a name that stands for what a task
// has left: it is text, a list or nothing. Of text that was meant to be data it
// says what is wrong with it.
func (a *attempt) noData(ctx context.Context, name string) string {
	if !strings.HasPrefix(name, "xcom_") || strings.ContainsAny(name, ".[") {
		return ""
	}
	v, ok, err := a.vars.Lookup(ctx, name)
	if err != nil || !ok {
		return ""
	}
	switch v := v.Value.(type) {
	case nil:
		return name + " is null"
	case string:
		return name + " is text, " + aboutText(v)
	case *value.Map:
		return ""
	case []any:
		if len(v) == 0 {
			return name + " is a list, and empty"
		}
		return fmt.Sprintf("%s is a list of %d: its first is %s[0]", name, len(v), name)
	default:
		return name + " is " + value.Kind(v)
	}
}

// aboutText says what a text is that somebody took for data, and what would
// make data of it.
func aboutText(s string) string {
	trimmed := strings.TrimLeft(s, " \t\r\n")
	lower := strings.ToLower(trimmed[:min(len(trimmed), 64)])
	switch {
	case trimmed == "":
		return "and empty"
	case strings.HasPrefix(lower, "<!doctype html"), strings.HasPrefix(lower, "<html"):
		return "a page of HTML"
	case lower[0] == '<':
		return "XML: response_format = \"xml\" makes data of it"
	}
	if why := notJSON([]byte(s)); why != "" {
		return why
	}
	return "which holds JSON: response_format = \"json\" makes data of it"
}

// maxNamesShown bounds the list of names in a message.
const maxNamesShown = 20

// cutLast cuts s at the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
