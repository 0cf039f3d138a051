package jinja_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// sample is one case of a corpus that real Jinja2 has rendered.
type sample struct {
	ID         string          `json:"id"`
	Group      string          `json:"group"`
	Template   string          `json:"template"`
	Context    json.RawMessage `json:"context"`
	Want       string          `json:"want"`
	Error      bool            `json:"error"`
	ErrorNames string          `json:"error_names"`
}

func readCorpus(t testing.TB, path string) (all []sample) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var c sample
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		t.Fatalf("%s is empty", path)
	}
	return all
}

func (c *sample) vars(t testing.TB) jinja.MapVars {
	t.Helper()
	vars := jinja.MapVars{}
	if len(c.Context) == 0 {
		return vars
	}
	v, err := value.ParseJSON(c.Context)
	if err != nil {
		t.Fatalf("%s: context: %v", c.ID, err)
	}
	for k, e := range v.(*value.Map).All() {
		vars[k] = jinja.Var{Value: e, Origin: value.Response}
	}
	return vars
}

// render renders a template to text; an error of parsing is one too.
func render(source string, vars jinja.Vars) (string, error) {
	tpl, err := jinja.Parse("template", source)
	if err != nil {
		return "", err
	}
	r, err := tpl.Text(context.Background(), vars)
	if err != nil {
		return "", err
	}
	return r.Value.(string), nil
}

// differs says how a case differs from real Jinja2, "" when it does not.
func (c *sample) differs(t testing.TB) string {
	got, err := render(c.Template, c.vars(t))
	switch {
	case c.Error && err == nil:
		return fmt.Sprintf("got %q, want an error", got)
	case c.Error:
		if !strings.Contains(err.Error(), c.ErrorNames) {
			return fmt.Sprintf("error %q does not name %s", err, c.ErrorNames)
		}
		var e *jinja.Error
		var u *jinja.UndefinedError
		if !errors.As(err, &e) && !errors.As(err, &u) {
			return fmt.Sprintf("error %v is of another kind", err)
		}
	case err != nil:
		return fmt.Sprintf("%v, want %q", err, c.Want)
	case got != c.Want:
		return fmt.Sprintf("got  %q\nwant %q", got, c.Want)
	}
	return ""
}

func TestCorpus_Sample(t *testing.T) {
	for _, c := range readCorpus(t, "testdata/cases.jsonl") {
		if d := c.differs(t); d != "" {
			t.Errorf("%s %s\n%s\n%s", c.ID, c.Group, c.Template, d)
		}
	}
}

// differences is the list of cases of the comparison that are known to differ
// from Jinja2; docs/templates.md says why.
const differences = "testdata/compat/differences.txt"

// TestCorpus_Comparison holds the package against the large comparison. A case
// that newly differs, and one that does no longer, is an error: UPDATE=1 writes
// the list anew, for reading it.
func TestCorpus_Comparison(t *testing.T) {
	all := readCorpus(t, "testdata/compat/cases.jsonl")
	var list strings.Builder
	differ := 0
	for _, c := range all {
		if d := c.differs(t); d != "" {
			differ++
			fmt.Fprintf(&list, "%s\t%s\t%s\n", c.ID, strconv.Quote(c.Template), strings.ReplaceAll(d, "\n", "; "))
		}
	}
	share := 100 * float64(len(all)-differ) / float64(len(all))
	t.Logf("%d of %d as Jinja2 has them: %.1f %%", len(all)-differ, len(all), share)
	if share < 93 {
		t.Errorf("only %.1f %% are as Jinja2 has them, want 93", share)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(differences, []byte(list.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(differences)
	if err != nil {
		t.Fatal(err)
	}
	if got := list.String(); got != string(want) {
		t.Errorf("the differences are not those of %s:\n%s", differences, lineDiff(string(want), got))
	}
}

// lineDiff lists lines that are in one text alone.
func lineDiff(a, b string) string {
	var out strings.Builder
	for _, side := range []struct{ mark, have, other string }{{"-", a, b}, {"+", b, a}} {
		for line := range strings.Lines(side.have) {
			if !strings.Contains(side.other, line) {
				out.WriteString(side.mark + " " + line)
			}
		}
	}
	return out.String()
}
