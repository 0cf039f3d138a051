package apicall

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

// Ways to write what is nested into a form, which has only names and texts. No
// standard says how; each of these is what some servers read.
const (
	formFlat     = ""         // nothing nested, but for lists of texts
	formBrackets = "brackets" // a[b][0]=x: PHP, Rails, Stripe
	formDots     = "dots"     // a.b[0]=x: Spring, ASP.NET
	formJSON     = "json"     // a={"b":["x"]}
)

var formStyles = []string{formBrackets, formDots, formJSON}

// formBody writes a table as application/x-www-form-urlencoded, in its order;
// null leaves a field out, a list of texts repeats its key.
func formBody(v any, style string) ([]byte, error) {
	m, ok := v.(*value.Map)
	if !ok {
		return nil, fmt.Errorf("body_format \"form\" needs a table, got a %s", value.TypeName(v))
	}
	w := &formWriter{style: style}
	for k, e := range m.All() {
		if err := w.field(k, e); err != nil {
			return nil, err
		}
	}
	return []byte(w.b.String()), nil
}

type formWriter struct {
	b     strings.Builder
	style string
}

func (w *formWriter) pair(key, text string) {
	if w.b.Len() > 0 {
		w.b.WriteByte('&')
	}
	w.b.WriteString(url.QueryEscape(key) + "=" + url.QueryEscape(text))
}

// field writes a field of the table.
func (w *formWriter) field(key string, v any) error {
	list, isList := v.([]any)
	switch {
	case !nested(v) && !isList:
		return w.nested(key, v)
	case isList && !nested(v): // of texts
		for _, item := range list {
			if item != nil {
				w.pair(key, plainText(item))
			}
		}
		return nil
	case w.style == formFlat:
		return fmt.Errorf("the field %q holds a %s, and a form has only texts: form_style = %s says how it is written", key, nestedKind(v), quotedList(formStyles))
	case w.style == formJSON:
		text, err := value.JSON(v)
		if err == nil {
			w.pair(key, string(text))
		}
		return err
	}
	return w.nested(key, v)
}

// nested writes a value under a name that grows by a step per level.
func (w *formWriter) nested(key string, v any) error {
	switch v := v.(type) {
	case nil:
	case *value.Map:
		for k, e := range v.All() {
			name := key + "[" + k + "]"
			if w.style == formDots {
				name = key + "." + k
			}
			if err := w.nested(name, e); err != nil {
				return err
			}
		}
	case []any:
		for i, e := range v {
			if err := w.nested(key+"["+strconv.Itoa(i)+"]", e); err != nil {
				return err
			}
		}
	default:
		w.pair(key, plainText(v))
	}
	return nil
}

// nested reports whether a value is more than a text or a list of texts.
func nested(v any) bool {
	switch v := v.(type) {
	case *value.Map:
		return true
	case []any:
		for _, e := range v {
			switch e.(type) {
			case *value.Map, []any:
				return true
			}
		}
	}
	return false
}

// nestedKind names what is nested in a field, for messages.
func nestedKind(v any) string {
	if _, ok := v.(*value.Map); ok {
		return "table"
	}
	return "list of tables or lists"
}

func quotedList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return strings.Join(quoted, ", ")
}

// checkForm finds what a form cannot hold, as far as the flow file shows it.
func (c *compiler) checkForm(p *props) {
	m, ok := p.body.(*value.Map)
	if !ok {
		c.Problem("body", "wrong-type", "body_format \"form\" needs a table, got a %s", value.TypeName(p.body))
		return
	}
	if p.formStyle != formFlat {
		return
	}
	for k, v := range m.All() {
		if nested(v) {
			c.Problem("body", "nested-form", "the field %q holds a %s, and a form has only texts: form_style = %s says how it is written", k, nestedKind(v), quotedList(formStyles))
		}
	}
}
