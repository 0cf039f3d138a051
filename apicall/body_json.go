package apicall

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// jsonText renders a body that the flow file has as JSON text with templates in
// it. What an expression gives is written by its place: inside the quotes of a
// JSON string as the text of one, elsewhere as a JSON value. So data fills a
// value and never adds one.
func jsonText(ctx context.Context, tpl *jinja.Template, vars jinja.Vars) ([]byte, error) {
	pieces, err := tpl.Pieces(ctx, vars)
	if err != nil {
		return nil, err
	}
	w := &jsonWriter{}
	for i := range pieces {
		p := &pieces[i]
		if p.Literal {
			err = w.literal(p.Text)
		} else {
			err = w.hole(p, vars)
		}
		if err != nil {
			return nil, err
		}
	}
	if _, err := value.ParseJSON(w.out); err != nil {
		return nil, fmt.Errorf("body: what the template gives is not JSON: %w; use a table, or body_format = \"raw\"", err)
	}
	return w.out, nil
}

// jsonWriter follows a JSON text as far as it takes to know what a place in it
// takes.
type jsonWriter struct {
	out     []byte
	quoted  bool // within a string
	escaped bool // behind a backslash there
	last    byte // the last character outside of strings that is no space; 0: none
	filled  bool // the last was a hole
}

// literal writes text of the flow file.
func (w *jsonWriter) literal(s string) error {
	for i := range len(s) {
		c := s[i]
		switch {
		case w.escaped:
			w.escaped = false
		case w.quoted:
			w.escaped, w.quoted = c == '\\', c != '"'
		case strings.IndexByte(" \t\r\n", c) < 0:
			if w.filled && strings.IndexByte(",:]}", c) < 0 {
				return errBeside
			}
			w.quoted, w.last, w.filled = c == '"', c, false
		}
	}
	w.out = append(w.out, s...)
	return nil
}

// errBeside: two values would become one, as 1 and 2 become 12.
var errBeside = errors.New("body: text stands right beside a value that a template writes: put both into quotes, or both into one {{ }}")

// hole writes what an expression gave.
func (w *jsonWriter) hole(p *jinja.Piece, vars jinja.Vars) error {
	if err := onlyText(p.Value); err != nil {
		return err
	}
	if w.quoted {
		if w.escaped {
			return errors.New("body: a backslash stands before {{")
		}
		text := shownPiece(p)
		noteSecret(vars, p.Origin, text)
		data, err := value.JSON(text)
		if err != nil {
			return fmt.Errorf("body: %w", err)
		}
		w.out = append(w.out, data[1:len(data)-1]...)
		return nil
	}
	if p.Fixed && strings.Trim(p.Text, ",:[]{} \t\r\n") == "" {
		return w.literal(p.Text) // of the flow file: {{ "," if not loop.last }}
	}
	if w.filled || w.last != 0 && strings.IndexByte("[{:,", w.last) < 0 {
		return errBeside
	}
	w.last, w.filled = '.', true
	noteSecret(vars, p.Origin, plainText(p.Value))
	if p.Markup { // written as JSON by the flow itself, with tojson
		if _, err := value.ParseJSON([]byte(p.Text)); err != nil {
			return fmt.Errorf("body: what {{ }} gives as JSON is none: %w", err)
		}
		w.out = append(w.out, p.Text...)
		return nil
	}
	data, err := value.JSON(p.Value)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	w.out = append(w.out, data...)
	return nil
}

// checkJSONText finds what is wrong with a JSON text with templates before there
// is data: with any text in its quotes, and any value outside of them. What
// conditions and loops write is known when they run.
func (c *compiler) checkJSONText(tpl *jinja.Template) {
	parts, ok := tpl.Parts()
	if !ok {
		return
	}
	w := &jsonWriter{}
	ends := make([]int, 0, len(parts)) // of each part in what is written
	beside := ""
	for i := range parts {
		if beside = c.fill(w, &parts[i]); beside != "" {
			break
		}
		ends = append(ends, len(w.out))
	}
	_, err := value.ParseJSON(w.out)
	var syntax *value.SyntaxError
	switch found := errors.As(err, &syntax); {
	case found && syntax.What != "":
		at, start := 0, 0
		for at < len(ends)-1 && ends[at] <= syntax.Offset {
			start, at = ends[at], at+1
		}
		c.badJSONText(tpl, parts, at, syntax.Offset-start, syntax.What)
	case beside != "":
		c.badJSONText(tpl, parts, len(ends), 0, beside)
	case err != nil:
		c.Problem("body", "bad-json", "body is a string that is not JSON: %v; use a table, or body_format = \"raw\"", err)
	}
}

// fill writes a part of a JSON text with what may stand in its hole, and says
// what stands beside it and must not.
func (c *compiler) fill(w *jsonWriter, p *jinja.Part) (beside string) {
	switch {
	case !p.Hole:
		if w.literal(p.Text) != nil {
			return "text stands right beside {{ }}"
		}
	case w.quoted:
		if p.Filter == "tojson" {
			c.Add("body", engine.Problem{Code: "twice-escaped", Warning: true, Value: "tojson",
				Message: "what stands in quotes in body is escaped there: leave out the quotes, or the filter tojson"})
		}
		w.out = append(w.out, 'x')
	default:
		if p.Block != "" {
			c.Problem("body", "text-block", "body: %s is text that {%% set %%} has made: write {{ %s | from_json }}, or its text where it is used", p.Block, p.Block)
		}
		if w.hole(&jinja.Piece{Value: ""}, nil) != nil {
			return "{{ }} stands right beside other text"
		}
	}
	return ""
}

// badJSONText reports a mistake in a part; that of a hole has its place where
// the text before it ends.
func (c *compiler) badJSONText(tpl *jinja.Template, parts []jinja.Part, at, offset int, what string) {
	for at > 0 && parts[at].Hole {
		at--
		offset = len(parts[at].Text)
	}
	line, column := tpl.Place(parts[at], offset)
	where := fmt.Sprintf("column %d", column)
	if line > 1 || strings.Contains(parts[0].Text, "\n") {
		where = fmt.Sprintf("line %d, column %d", line, column)
	}
	c.Problem("body", "bad-json", "body is a string that is not JSON: %s at %s of it; use a table, or body_format = \"raw\"", what, where)
}
