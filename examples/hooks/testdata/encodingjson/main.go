// Command encodingjson is a hook as many would write it: it decodes the body
// into maps with encoding/json and writes it again. It makes much garbage,
// which is what the long runs want.
package main

import (
	"encoding/json"

	"github.com/qarion/qarion/examples/hooks/hookguest"
	"github.com/qarion/qarion/examples/hooks/hookguest/transform"
	"github.com/qarion/qarion/examples/hooks/hookguest/validate"
)

func init() {
	validate.Response(check)
	transform.Response(rewrite)
}

func main() {}

func check(r *hookguest.Response) error {
	var doc map[string]any
	return json.Unmarshal(r.Body, &doc)
}

func rewrite(r *hookguest.Response) ([]byte, error) {
	var doc map[string]any
	if err := json.Unmarshal(r.Body, &doc); err != nil {
		return nil, err
	}
	doc["seen"] = true
	return json.Marshal(doc)
}
