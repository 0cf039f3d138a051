package value

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// What messages say of values.

// Kind names a value's type with its article: "a list", "an int", "null".
func Kind(v any) string {
	switch name := TypeName(v); name {
	case "null":
		return name
	case "int":
		return "an int"
	default:
		return "a " + name
	}
}

// Quoted is a piece of text in quotes, cut so that it can stand in a message.
func Quoted(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:57], "") + "..."
	}
	return strconv.Quote(s)
}

// Short writes a value as JSON, cut so that it can stand in a message.
func Short(v any) string {
	b, err := JSON(v)
	if err != nil {
		return TypeName(v)
	}
	if len(b) > 80 {
		return strings.ToValidUTF8(string(b[:77]), "") + "..."
	}
	return string(b)
}

// Float returns a number as a float64, and whether the value is one. One that
// no float64 holds is an infinity.
func Float(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	case Number:
		if n, err := v.Plain(); err == nil {
			return Float(n)
		}
		if strings.HasPrefix(string(v), "-") {
			return math.Inf(-1), true
		}
		return math.Inf(1), true
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		return f, true
	}
	return 0, false
}
