package main

import (
	"strings"
	"testing"

	"github.com/qarion/qarion/examples/hooks/hookguest"
)

// A hook is an ordinary function: go test runs it without any module.
func TestCheck(t *testing.T) {
	const meta = `{"config": {"items": "/items", "min_items": 2, "fields": {"sku": "string"}}}`
	for body, want := range map[string]string{
		`{"items": [{"sku": "a"}, {"sku": "b"}]}`: "",
		`{"items": [{"sku": "a"}]}`:               "/items: need 2, have 1",
		`{"items": [{"sku": "a"}, {"sku": 7}]}`:   "/items/1/sku: want string, have a number",
		`<html>`:                                  "the body is not JSON",
	} {
		r, err := hookguest.NewResponse([]byte(meta), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		have := ""
		if err := check(r); err != nil {
			have = err.Error()
		}
		if !strings.HasPrefix(have, want) || want == "" && have != "" {
			t.Errorf("%s: %q, want %q", body, have, want)
		}
	}
}
