// Command unwrap is a hook that takes the body of a response out of its
// envelope, and turns an error inside the envelope into a failure of the task.
package main

import (
	"github.com/qarion/qarion/examples/hooks/hookguest"
	"github.com/qarion/qarion/examples/hooks/hookguest/transform"
)

func init() { transform.Response(unwrap) }

func main() {}

// config is what a flow says under config.
type config struct {
	At    string // JSON Pointer to what is kept, "/data" by default
	Error string // JSON Pointer to the error that a 200 may carry
	Retry bool   // such an error is worth another attempt
}

func unwrap(r *hookguest.Response) ([]byte, error) {
	c := config{At: "/data"}
	if err := r.Config.Decode(&c); err != nil {
		return nil, err
	}
	if err := r.JSONError(); err != nil {
		return nil, err
	}
	if e := r.JSON().At(c.Error); c.Error != "" && says(e) {
		return nil, &hookguest.Failure{Code: "envelope_error", Message: "the envelope says: " + e.String(), Retry: c.Retry}
	}
	val := r.JSON().At(c.At)
	if !val.Exists() {
		return nil, hookguest.Fail("no_value", "the body has nothing at "+c.At)
	}
	return val.Raw(), nil
}

// says: null, false and "" stand for no error.
func says(e hookguest.Value) bool {
	switch string(e.Raw()) {
	case "", "null", "false", `""`:
		return false
	}
	return true
}
