package transform

import (
	"fmt"
	"strconv"

	"github.com/qarion/qarion/internal/value"
)

// The ways in which a result becomes a value.
const (
	resultAuto  = "auto"  // one row is an object, others a list; {"rows_affected": n} where there are no rows
	resultRow   = "row"   // exactly one row, as an object
	resultRows  = "rows"  // a list, however many
	resultValue = "value" // the one column of the one row
	resultNone  = "none"  // nothing is stored
)

// collector makes a value of rows, within limits.
type collector struct {
	mode     string
	maxRows  int64
	maxBytes int64

	keys [][]byte // of the columns, as JSON: `"id":`
	rows int64
	out  []byte // objects, separated by commas
}

// limitError is a result that is larger than the task allows.
type limitError struct{ message string }

func (e *limitError) Error() string { return e.message }

// resultError is a result that is not what the task insists on.
type resultError struct{ message string }

func (e *resultError) Error() string { return e.message }

// columns begins a result.
func (c *collector) columns(names []string) error {
	seen := make(map[string]bool, len(names))
	c.keys = make([][]byte, len(names))
	for i, n := range names {
		if seen[n] && c.mode != resultNone {
			return &resultError{fmt.Sprintf("two columns are called %s: name one of them with AS", value.Quoted(n))}
		}
		seen[n] = true
		c.keys[i] = append(value.AppendString(nil, n), ':')
	}
	if c.mode == resultValue && len(names) != 1 {
		return &resultError{fmt.Sprintf(`result = "value" wants one column, the query gives %d`, len(names))}
	}
	return nil
}

// row takes a row; cell appends the JSON of a column.
func (c *collector) row(cell func(dst []byte, i int) ([]byte, error)) error {
	c.rows++
	switch {
	case c.rows > c.maxRows && c.mode != resultNone:
		return &limitError{fmt.Sprintf("the query gives more than %d rows (max_rows)", c.maxRows)}
	case c.mode == resultNone:
		return nil
	case c.rows > 1 && (c.mode == resultRow || c.mode == resultValue):
		return &resultError{fmt.Sprintf(`result = %q wants one row, the query gives more`, c.mode)}
	}
	if c.rows > 1 {
		c.out = append(c.out, ',')
	}
	var err error
	if c.mode != resultValue {
		c.out = append(c.out, '{')
	}
	for i, key := range c.keys {
		if c.mode != resultValue {
			if i > 0 {
				c.out = append(c.out, ',')
			}
			c.out = append(c.out, key...)
		}
		if c.out, err = cell(c.out, i); err != nil {
			return err
		}
	}
	if c.mode != resultValue {
		c.out = append(c.out, '}')
	}
	if int64(len(c.out)) > c.maxBytes {
		return &limitError{fmt.Sprintf("the result is larger than %d bytes (max_bytes)", c.maxBytes)}
	}
	return nil
}

// value is the whole result as JSON; nil for none. affected counts the rows that
// the statements have changed.
func (c *collector) value(affected int64) ([]byte, error) {
	if c.keys == nil && c.mode != resultNone {
		if c.mode != resultAuto {
			return nil, &resultError{fmt.Sprintf("result = %q, but the last statement gives no rows", c.mode)}
		}
		return append(strconv.AppendInt([]byte(`{"rows_affected":`), affected, 10), '}'), nil
	}
	switch c.mode {
	case resultNone:
		return nil, nil
	case resultRow, resultValue:
		if c.rows == 0 {
			return nil, &resultError{fmt.Sprintf("result = %q wants one row, the query gives none", c.mode)}
		}
		return c.out, nil
	case resultAuto:
		if c.rows == 1 {
			return c.out, nil
		}
	}
	return append(append([]byte{'['}, c.out...), ']'), nil
}
