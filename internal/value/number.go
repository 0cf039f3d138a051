package value

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Number is a JSON number that no other type would write as it was read: 1.50,
// 1e400, -0. It passes from an answer to a request with its text unchanged.
type Number string

// Whole reports whether the number is written as a whole one.
func (n Number) Whole() bool { return !strings.ContainsAny(string(n), ".eE") }

// Plain is the number in a type that can be calculated with: int64, *big.Int
// or float64. It fails for a fraction that no float64 holds and for a whole
// number of more than MaxDigits digits.
func (n Number) Plain() (any, error) {
	if n.Whole() {
		if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
			return i, nil
		}
		if len(n) > MaxDigits {
			return nil, errDigits
		}
		b, _ := new(big.Int).SetString(string(n), 10)
		return b, nil
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, errRange(n)
	}
	return f, nil
}

// IsZero reports whether the number is zero, however it is written.
func (n Number) IsZero() bool {
	digits, _, _ := strings.Cut(strings.ToLower(string(n)), "e")
	return !strings.ContainsAny(digits, "123456789")
}

type errRange Number

func (e errRange) Error() string {
	s := string(e)
	if len(s) > 40 {
		s = s[:40] + "..."
	}
	return "the number " + s + " is out of the range that can be calculated with"
}
