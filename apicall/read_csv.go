package apicall

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/qarion/qarion/internal/value"
)

// readCSV makes a list of tables by the names in the first row, or, with
// csv_header = false, of lists (RFC 4180). Go's own reader changes line breaks
// inside quotes; here every character stays.
func readCSV(p *props, text []byte) ([]byte, error) {
	rows := csvReader{text: string(text), comma: p.csvDelimiter, line: 1}
	var names []string
	list := []any{}
	for {
		line := rows.line
		row, err := rows.next()
		if err != nil {
			return nil, err
		}
		if row == nil {
			return value.JSON(list)
		}
		if p.csvHeader && names == nil {
			if names, err = csvNames(row); err != nil {
				return nil, err
			}
			continue
		}
		if !p.csvHeader {
			items := make([]any, len(row))
			for i, field := range row {
				items[i] = field
			}
			list = append(list, items)
			continue
		}
		if len(row) != len(names) {
			return nil, fmt.Errorf("CSV: line %d has %d fields, the header has %d", line, len(row), len(names))
		}
		m := value.NewMap(len(row))
		for i, field := range row {
			m.Set(names[i], field)
		}
		list = append(list, m)
	}
}

// csvNames are the keys of the rows. A column without a name gets one by its
// number; two of one name would lose data.
func csvNames(row []string) ([]string, error) {
	seen := map[string]bool{}
	names := make([]string, len(row))
	for i, name := range row {
		if name == "" {
			name = "column_" + strconv.Itoa(i+1)
		}
		if seen[name] {
			return nil, fmt.Errorf("CSV with distinct names: two columns are called %.64q; csv_header = false gives lists", name)
		}
		seen[name], names[i] = true, name
	}
	return names, nil
}

// csvReader goes through the rows of a text.
type csvReader struct {
	text  string
	comma rune
	at    int
	line  int
}

// next returns the fields of the next row; nil at the end. Empty lines are no
// rows.
func (r *csvReader) next() ([]string, error) {
	for r.at < len(r.text) && r.newline() {
	}
	if r.at >= len(r.text) {
		return nil, nil
	}
	row := make([]string, 0, 8)
	for {
		field, err := r.field()
		if err != nil {
			return nil, err
		}
		row = append(row, field)
		switch {
		case r.at >= len(r.text), r.newline():
			return row, nil
		}
		r.at += utf8.RuneLen(r.comma) // field stops nowhere else
	}
}

// newline goes past a line break.
func (r *csvReader) newline() bool {
	switch rest := r.text[r.at:]; {
	case len(rest) > 1 && rest[:2] == "\r\n":
		r.at += 2
	case rest != "" && (rest[0] == '\n' || rest[0] == '\r'):
		r.at++
	default:
		return false
	}
	r.line++
	return true
}

// field reads one field, up to its comma or the end of its row.
func (r *csvReader) field() (string, error) {
	if r.at < len(r.text) && r.text[r.at] == '"' {
		return r.quoted()
	}
	start := r.at
	for i, c := range r.text[start:] {
		switch c {
		case r.comma, '\n', '\r':
			r.at = start + i
			return r.text[start:r.at], nil
		}
	}
	r.at = len(r.text)
	return r.text[start:], nil
}

// quoted reads a field in quotes, in which a quote is written twice.
func (r *csvReader) quoted() (string, error) {
	var out []byte
	opened := r.line
	r.at++
	start := r.at
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '\n' || c == '\r' && (r.at+1 == len(r.text) || r.text[r.at+1] != '\n'):
			r.line++
		case c != '"':
		case r.at+1 < len(r.text) && r.text[r.at+1] == '"':
			out = append(out, r.text[start:r.at+1]...)
			r.at++
			start = r.at + 1
		default:
			out = append(out, r.text[start:r.at]...)
			r.at++
			if r.ended() {
				return string(out), nil
			}
			return "", fmt.Errorf("CSV: line %d has text behind a closing quote", r.line)
		}
		r.at++
	}
	return "", fmt.Errorf("CSV: a quote that opens in line %d is not closed", opened)
}

// ended reports whether a field may end here.
func (r *csvReader) ended() bool {
	if r.at >= len(r.text) {
		return true
	}
	c, _ := utf8.DecodeRuneInString(r.text[r.at:])
	return c == r.comma || c == '\n' || c == '\r'
}

// readDelimiter reads csv_delimiter: one character that cannot be mistaken for
// another.
func readDelimiter(s string) (rune, error) {
	c, size := utf8.DecodeRuneInString(s)
	if size == 0 || size != len(s) || c == '"' || c == '\r' || c == '\n' || c == utf8.RuneError {
		return 0, errors.New("want one character, such as \";\" or \"\\t\"")
	}
	return c, nil
}
