package apicall

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

// recordSeparator begins each text of a JSON text sequence (RFC 7464).
const recordSeparator = 0x1e

// readLines makes a list of JSON texts that stand on a line each, or behind
// record separators. The texts themselves stay as they are.
func readLines(_ *props, text []byte) ([]byte, error) {
	lines, what := bytes.Split(text, []byte("\n")), "line"
	if bytes.IndexByte(text, recordSeparator) >= 0 {
		lines, what = bytes.Split(text, []byte{recordSeparator}), "text"
		if len(bytes.TrimSpace(lines[0])) > 0 {
			return nil, errors.New("a JSON text sequence: it does not begin with a record separator")
		}
		lines = lines[1:]
	}
	out := append(make([]byte, 0, len(text)+2), '[')
	for i, line := range lines {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if why := notJSON(line); why != "" {
			return nil, fmt.Errorf("JSON in %s %d: %s", what, i+1, strings.TrimPrefix(why, "not JSON: "))
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, line...)
	}
	return append(out, ']'), nil
}

// readForm makes a table of application/x-www-form-urlencoded; a key that comes
// again makes a list of its values.
func readForm(_ *props, text []byte) ([]byte, error) {
	m := value.NewMap(8)
	for pair := range strings.SplitSeq(string(bytes.TrimSpace(text)), "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(k)
		if err == nil {
			v, err = url.QueryUnescape(v)
		}
		if err != nil {
			return nil, fmt.Errorf("a form: %w", err)
		}
		key, v = strings.ToValidUTF8(key, "\uFFFD"), strings.ToValidUTF8(v, "\uFFFD")
		switch before, has := m.Get(key); before := before.(type) {
		case []any:
			m.Set(key, append(before, v))
		default:
			if has {
				m.Set(key, []any{before, v})
			} else {
				m.Set(key, v)
			}
		}
	}
	return value.JSON(m)
}
