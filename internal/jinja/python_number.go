package jinja

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

// maxDigits bounds whole numbers, as Python does when it prints them.
const maxDigits = 4300

// maxBits is the size of a number of maxDigits digits.
const maxBits = maxDigits * 3322 / 1000

// number reports a value as a number to calculate with: int64, *big.Int or
// float64. Flags are 1 and 0, as in Python. It fails for a number of the data
// that is too large to calculate with.
func number(v any) (any, bool) {
	switch v := v.(type) {
	case int64, *big.Int, float64:
		return v, true
	case value.Number:
		n, err := v.Plain()
		if err != nil {
			panic(&failure{&Error{Message: err.Error()}}) // evaluate names the field
		}
		return n, true
	case bool:
		if v {
			return int64(1), true
		}
		return int64(0), true
	}
	return nil, false
}

func toBig(v any) *big.Int {
	if n, ok := v.(int64); ok {
		return big.NewInt(n)
	}
	return v.(*big.Int)
}

// toFloat converts a number; ok is false when it is too large.
func toFloat(v any) (f float64, ok bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case *big.Int:
		f, _ = new(big.Float).SetInt(v).Float64()
		return f, !math.IsInf(f, 0)
	}
	return 0, false
}

// arithmetic computes a op b for numbers, with Python's rules: whole numbers
// never overflow, / gives a fraction, // and % round down.
func (s *state) arithmetic(op string, a, b any) any {
	x, xInt := a.(int64)
	y, yInt := b.(int64)
	if xInt && yInt {
		switch op {
		case "+":
			if r := x + y; (r > x) == (y > 0) {
				return r
			}
		case "-":
			if r := x - y; (r < x) == (y > 0) {
				return r
			}
		case "*":
			if r := x * y; x == 0 || (r/x == y && !(x == -1 && y == math.MinInt64)) {
				return r
			}
		case "//", "%":
			if y != 0 && !(x == math.MinInt64 && y == -1) {
				q, m := x/y, x%y
				if m != 0 && (m < 0) != (y < 0) {
					q, m = q-1, m+y
				}
				if op == "//" {
					return q
				}
				return m
			}
		}
	}
	_, xFloat := a.(float64)
	_, yFloat := b.(float64)
	if xFloat || yFloat {
		return s.floats(op, a, b)
	}
	return s.integers(op, toBig(a), toBig(b))
}

func (s *state) integers(op string, x, y *big.Int) any {
	r := new(big.Int)
	switch op {
	case "+":
		r.Add(x, y)
	case "-":
		r.Sub(x, y)
	case "*":
		if x.BitLen()+y.BitLen() > maxBits {
			s.fail("a number would have more than %d digits", maxDigits)
		}
		r.Mul(x, y)
	case "/":
		if y.Sign() == 0 {
			s.fail("division by zero")
		}
		f, _ := new(big.Rat).SetFrac(x, y).Float64()
		if math.IsInf(f, 0) {
			s.fail("the result of the division is too large")
		}
		return f
	case "//", "%":
		if y.Sign() == 0 {
			s.fail("division by zero")
		}
		m := new(big.Int)
		r.QuoRem(x, y, m)
		if m.Sign() != 0 && (m.Sign() < 0) != (y.Sign() < 0) {
			r.Sub(r, big.NewInt(1))
			m.Add(m, y)
		}
		if op == "%" {
			return normal(m)
		}
	case "**":
		return s.power(x, y)
	}
	if r.BitLen() > maxBits {
		s.fail("a number would have more than %d digits", maxDigits)
	}
	return normal(r)
}

func (s *state) power(x, y *big.Int) any {
	if y.Sign() < 0 {
		if x.Sign() == 0 {
			s.fail("zero cannot be raised to a negative power")
		}
		return s.floats("**", x, y)
	}
	if x.BitLen() > 1 && (!y.IsInt64() || y.Int64() > maxBits || int64(x.BitLen()-1)*y.Int64() > maxBits) {
		s.fail("a number would have more than %d digits", maxDigits)
	}
	if x.BitLen() <= 1 { // 0, 1 and -1, whatever the exponent
		if y.Sign() == 0 || x.Sign() > 0 {
			return int64(1)
		}
		if x.Sign() < 0 && y.Bit(0) == 0 {
			return int64(1)
		}
		return normal(x)
	}
	s.step(int(y.Int64()) / 64)
	return normal(new(big.Int).Exp(x, y, nil))
}

func (s *state) floats(op string, a, b any) any {
	x, ok := toFloat(a)
	y, ok2 := toFloat(b)
	if !ok || !ok2 {
		s.fail("a whole number is too large for a fraction")
	}
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "/":
		if y == 0 {
			s.fail("division by zero")
		}
		return x / y
	case "//", "%":
		if y == 0 {
			s.fail("division by zero")
		}
		m := math.Mod(x, y)
		if m != 0 && (m < 0) != (y < 0) {
			m += y
		} else if m == 0 {
			m = math.Copysign(0, y)
		}
		if op == "%" {
			return m
		}
		q := (x - m) / y
		if q == 0 {
			return math.Copysign(0, x/y)
		}
		if r := math.Floor(q); q-r <= 0.5 {
			return r
		} else {
			return r + 1
		}
	}
	if x == 0 && y < 0 {
		s.fail("zero cannot be raised to a negative power")
	}
	r := math.Pow(x, y)
	switch {
	case math.IsNaN(r) && !math.IsNaN(x) && !math.IsNaN(y):
		s.fail("a negative number cannot be raised to a fraction")
	case math.IsInf(r, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0):
		s.fail("the result of the power is too large")
	}
	return r
}

// floatText is Python's repr of a float: the shortest digits that give it
// back, with an exponent below 1e-4 and from 1e16 on.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// parseInt reads a whole number as Python's int(text, base) does.
func parseInt(text string, base int) (any, bool) {
	t := strings.TrimSpace(text)
	sign := ""
	if t != "" && (t[0] == '-' || t[0] == '+') {
		sign, t = t[:1], t[1:]
	}
	if len(t) > 1 && t[0] == '0' {
		prefix := map[byte]int{'x': 16, 'X': 16, 'o': 8, 'O': 8, 'b': 2, 'B': 2}[t[1]]
		if prefix != 0 && (base == prefix || base == 0) {
			t = strings.TrimPrefix(t[2:], "_")
			base = prefix
		}
	}
	if base == 0 {
		base = 10
	}
	if base < 2 || base > 36 || t == "" || len(t) > maxDigits || t[0] == '_' || t[len(t)-1] == '_' || strings.Contains(t, "__") || strings.ContainsAny(t, "+-") {
		return nil, false
	}
	n, ok := new(big.Int).SetString(strings.ReplaceAll(t, "_", ""), base)
	if !ok {
		return nil, false
	}
	if sign == "-" {
		n.Neg(n)
	}
	return normal(n), true
}

// parseFloat reads a fraction as Python's float(text) does.
func parseFloat(text string) (float64, bool) {
	t := strings.ToLower(strings.TrimSpace(text))
	if strings.ContainsAny(t, "xp") || strings.Contains(t, "__") || strings.HasPrefix(t, "_") || strings.HasSuffix(t, "_") {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(t, "_", ""), 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

// toInt is a number as a whole one, towards zero.
func toInt(v any) (any, bool) {
	switch n := v.(type) {
	case int64, *big.Int:
		return n, true
	case float64:
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return nil, false
		}
		b, _ := new(big.Float).SetFloat64(math.Trunc(n)).Int(nil)
		return normal(b), true
	}
	return nil, false
}
