package jq

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"

	"github.com/qarion/qarion/internal/value"
)

// toJQ turns a value into the types that gojq works on. A number that only its
// text holds stays that text until something is calculated with it. gojq knows
// no order of keys.
func toJQ(v any) any {
	switch v := v.(type) {
	case int64:
		if int64(int(v)) != v {
			return big.NewInt(v)
		}
		return int(v)
	case value.Number:
		return json.Number(v)
	case []any:
		for i, e := range v {
			v[i] = toJQ(e)
		}
	case *value.Map:
		out := make(map[string]any, v.Len())
		for k, e := range v.All() {
			out[k] = toJQ(e)
		}
		return out
	}
	return v
}

// appendJQ appends a result of gojq as JSON, keys sorted. Parts of a result may
// be shared, so its text can be much longer than what it takes in memory: it
// fails past MaxResult.
func appendJQ(dst []byte, v any) ([]byte, error) {
	if len(dst) > MaxResult {
		return dst, errSize
	}
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case json.Number:
		return append(dst, v...), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return dst, &Error{text: fmt.Sprintf("%v cannot be written as JSON", v)}
		}
		return value.AppendJSON(dst, v)
	case *big.Int:
		if v.BitLen() > 3322*value.MaxDigits/1000 { // to write more takes time by the square
			return dst, &Error{text: fmt.Sprintf("a number has more than %d digits", value.MaxDigits)}
		}
		return v.Append(dst, 10), nil
	case string:
		if len(dst)+len(v) > MaxResult {
			return dst, errSize
		}
		return value.AppendString(dst, v), nil
	case []any:
		return appendList(dst, v)
	case map[string]any:
		return appendObject(dst, v)
	}
	return dst, &Error{text: fmt.Sprintf("a %T is not a value", v)}
}

func appendList(dst []byte, list []any) ([]byte, error) {
	var err error
	dst = append(dst, '[')
	for i, e := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendJQ(dst, e); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func appendObject(dst []byte, m map[string]any) ([]byte, error) {
	var err error
	dst = append(dst, '{')
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(value.AppendString(dst, k), ':')
		if dst, err = appendJQ(dst, m[k]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}
