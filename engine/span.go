package engine

import (
	"fmt"
	"time"

	"github.com/qarion/qarion/internal/value"
)

// ParseSpan reads a time span as flow files write it: a number of seconds, or
// text such as "1.5s" or "2m".
func ParseSpan(v any) (time.Duration, error) {
	if f, ok := value.Float(v); ok {
		if f > 1e9 || f < -1e9 {
			return 0, fmt.Errorf("%g seconds is out of range", f)
		}
		return time.Duration(f * float64(time.Second)), nil
	}
	s, ok := v.(string)
	if !ok {
		return 0, fmt.Errorf("got a %s, want seconds or text such as \"1.5s\"", value.TypeName(v))
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%s is not a time span such as \"1.5s\" or \"2m\"", value.Quoted(s))
	}
	return d, nil
}
