package value

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends the compact JSON text of a value. Fractions keep a point
// (7.0 stays 7.0), a Number is written as it was read, text as UTF-8 with only
// what JSON demands escaped. NaN, infinities, Bytes and foreign Go types are
// errors.
func AppendJSON(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case *big.Int:
		return v.Append(dst, 10), nil
	case float64:
		return appendFloat(dst, v)
	case Number:
		return append(dst, v...), nil
	case string:
		return AppendString(dst, v), nil
	case []any:
		return appendList(dst, v)
	case *Map:
		return appendMap(dst, v)
	case *Bytes:
		return dst, errors.New(v.NotText())
	}
	return dst, fmt.Errorf("a %T is not a value", v)
}

func appendList(dst []byte, list []any) ([]byte, error) {
	var err error
	dst = append(dst, '[')
	for i, e := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = AppendJSON(dst, e); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func appendMap(dst []byte, m *Map) ([]byte, error) {
	var err error
	dst = append(dst, '{')
	first := true
	for k, e := range m.All() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(AppendString(dst, k), ':')
		if dst, err = AppendJSON(dst, e); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func appendFloat(dst []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, fmt.Errorf("%v cannot be written as JSON", f)
	}
	start := len(dst)
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64), nil
	}
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if !bytes.ContainsRune(dst[start:], '.') {
		dst = append(dst, '.', '0')
	}
	return dst, nil
}

const hexDigits = "0123456789abcdef"

// AppendString appends a JSON string. Invalid UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + size
			}
			i += size
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// JSON is AppendJSON into a new slice.
func JSON(v any) ([]byte, error) { return AppendJSON(nil, v) }

// MarshalJSON writes the map with its keys in order, for encoding/json.
func (m *Map) MarshalJSON() ([]byte, error) {
	if m == nil {
		return []byte("null"), nil
	}
	return AppendJSON(nil, m)
}

// UnmarshalJSON reads an object as ParseJSON does, for encoding/json.
func (m *Map) UnmarshalJSON(data []byte) error {
	v, err := ParseJSON(data)
	if err != nil {
		return err
	}
	got, ok := v.(*Map)
	if !ok {
		return fmt.Errorf("got a JSON %s, want an object", TypeName(v))
	}
	*m = *got
	return nil
}
