package apicall

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

// fieldPath names a place in a response. It is written with dots
// (data.items.0.id), where of keys that hold dots themselves the longest one
// that is there wins; a key in brackets (["@odata.id"]), an index in brackets,
// and a JSON Pointer (/value/0/@odata.id, RFC 6901) leave nothing open.
type fieldPath struct {
	text    string
	steps   []pathStep
	pointer []pathStep // what it means as a JSON Pointer; tried first
}

// pathStep is one key, or an index.
type pathStep struct {
	key   string
	exact bool // it is one key; else it may be the first part of one with dots
}

// parsePath reads a path as a flow file has it.
func parsePath(text string) (fieldPath, error) {
	p := fieldPath{text: text}
	if strings.HasPrefix(text, "/") {
		unescape := strings.NewReplacer("~1", "/", "~0", "~")
		for token := range strings.SplitSeq(text[1:], "/") {
			p.pointer = append(p.pointer, pathStep{unescape.Replace(token), true})
		}
	}
	for rest := text; rest != ""; {
		var err error
		if rest[0] == '[' {
			var step pathStep
			if step, rest, err = bracket(rest); err != nil {
				return p, fmt.Errorf("the path %q %w", text, err)
			}
			p.steps = append(p.steps, step)
		} else {
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if _, _, err := bracket(rest[end:]); end < len(rest) && rest[end] == '[' && err != nil { // a bracket of the key's own
				next := strings.IndexByte(rest[end:], '.')
				if next < 0 {
					next = len(rest) - end
				}
				end += next
			}
			p.steps, rest = append(p.steps, pathStep{key: rest[:end]}), rest[end:]
		}
		rest = strings.TrimPrefix(rest, ".")
	}
	if len(p.steps) == 0 {
		return p, errors.New("a path is empty")
	}
	return p, nil
}

// bracket reads ["key"], ['key'] or [0] at the beginning of a text.
func bracket(s string) (step pathStep, rest string, err error) {
	none := errors.New("has a bracket that is not of the form [\"key\"] or [0]")
	if len(s) < 3 || s[0] != '[' {
		return step, s, none
	}
	if q := s[1]; q == '"' || q == '\'' {
		end := strings.Index(s[2:], string(q)+"]")
		if end < 0 {
			return step, s, none
		}
		return pathStep{s[2 : 2+end], true}, s[2+end+2:], nil
	}
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return step, s, none
	}
	if _, err := strconv.Atoi(s[1:end]); err != nil {
		return step, s, none
	}
	return pathStep{s[1:end], true}, s[end+1:], nil
}

// exactPath is a path of keys that are given one by one.
func exactPath(keys []any) (fieldPath, error) {
	p := fieldPath{}
	var shown []string
	for _, k := range keys {
		var key string
		switch k := k.(type) {
		case string:
			key = k
		case int64:
			key = strconv.FormatInt(k, 10)
		default:
			return p, fmt.Errorf("a path is a list with %s, want keys and indexes", value.Kind(k))
		}
		p.steps = append(p.steps, pathStep{key, true})
		shown = append(shown, key)
	}
	if len(keys) == 0 {
		return p, errors.New("a path is empty")
	}
	p.text = strings.Join(shown, ".")
	return p, nil
}

// find follows the path; missing says what there is instead.
func (p fieldPath) find(v any) (found any, missing string) {
	if m, ok := v.(*value.Map); ok && !p.steps[0].exact { // the longest key of all
		if whole, has := m.Get(p.text); has {
			return whole, ""
		}
	}
	if p.pointer != nil {
		if found, missing = follow(v, p.pointer); missing == "" {
			return found, ""
		}
		if other, none := follow(v, p.steps); none == "" { // a key that begins with a slash
			return other, ""
		}
		return nil, missing
	}
	return follow(v, p.steps)
}

func follow(v any, steps []pathStep) (found any, missing string) {
	if len(steps) == 0 {
		return v, ""
	}
	switch at := v.(type) {
	case *value.Map:
		for n := joinable(steps); n > 0; n-- {
			next, ok := at.Get(joined(steps[:n]))
			if !ok {
				continue
			}
			found, why := follow(next, steps[n:])
			if why == "" {
				return found, ""
			}
			if missing == "" { // of several, what the longest key leads to
				missing = why
			}
		}
		if missing == "" {
			missing = "missing (keys: " + someKeys(at) + ")"
		}
		return nil, missing
	case []any:
		i, err := strconv.Atoi(steps[0].key)
		if err != nil || i < 0 || i >= len(at) {
			return nil, fmt.Sprintf("missing (a list of %d)", len(at))
		}
		return follow(at[i], steps[1:])
	}
	return nil, fmt.Sprintf("missing (%q is read from %s)", steps[0].key, value.Kind(v))
}

// maxJoined bounds how many parts a key with dots has.
const maxJoined = 8

// joinable is how many of the first steps can be one key together.
func joinable(steps []pathStep) int {
	if steps[0].exact {
		return 1
	}
	n := 1
	for n < len(steps) && n < maxJoined && !steps[n].exact {
		n++
	}
	return n
}

func joined(steps []pathStep) string {
	if len(steps) == 1 {
		return steps[0].key
	}
	keys := make([]string, len(steps))
	for i, s := range steps {
		keys[i] = s.key
	}
	return strings.Join(keys, ".")
}
