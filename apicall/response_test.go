package apicall_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/value"
)

func TestResponse_WhatIsStored(t *testing.T) {
	for _, c := range []struct {
		name, kind, body, want string
		large                  bool
	}{
		{"json", "application/json", `{"b":1,"a":[1.0]}`, `{"b":1,"a":[1.0]}`, false},
		{"json by its looks", "text/plain", ` [1, 2]`, ` [1, 2]`, false},
		{"text", "text/plain", "hello", `"hello"`, false},
		{"a template stays text", "text/plain", "{{ 7 * 7 }}", `"{{ 7 * 7 }}"`, false},
		{"a mark before json", "application/json", "\uFEFF[1]", "[1]", false},
		{"empty", "", "", "null", false},
		{"not UTF-8", "image/png", "\x89PNG\xff", "", true},
		{"large", "application/json", `["` + strings.Repeat("x", 70<<10) + `"]`, "", true},
	} {
		s := handler(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			_, _ = w.Write([]byte(c.body))
		})
		out := call(t, value.MapOf("url", s.URL))
		if out.Err != nil || string(out.Value) != c.want || (out.Large != nil) != c.large {
			t.Errorf("%s: %v, %q, large %v", c.name, out.Err, out.Value, out.Large != nil)
		}
		if out := call(t, value.MapOf("url", s.URL, "response_handling", "ignore")); out.Value != nil || out.Large != nil {
			t.Errorf("%s: ignored, but stored", c.name)
		}
	}
}

func TestResponse_IgnoredBodyMayBeLarge(t *testing.T) {
	s := handler(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2000)) })
	out := call(t, value.MapOf("url", s.URL, "response_handling", "ignore", "max_response_bytes", int64(1000)))
	if out.Err != nil {
		t.Error(out.Err)
	}
	out = call(t, value.MapOf("url", s.URL, "max_response_bytes", int64(1000)))
	if out.Err == nil || out.Err.Class != "too_large" || out.Err.Message != "the response is larger than max_response_bytes (1000)" {
		t.Errorf("got %+v", out.Err)
	}
}

func TestValidation_ReportsEveryViolation(t *testing.T) {
	s := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"pending","n":5,"items":[{"sku":"A"}],"s":"abc"}`))
	})
	rules := value.MapOf(
		"expected_status_code", []any{int64(200), int64(201)},
		"required_fields", []any{"status", "items.0.id", "items.3", "missing.x"},
		"field_checks", value.MapOf(
			"status", value.MapOf("type", "str", "value", "success"), "n", value.MapOf("type", "bool", "min", 6.0),
			"s", value.MapOf("pattern", "^x", "min_length", int64(4), "one_of", []any{"x", "y"}),
			"items", value.MapOf("type", "array", "max_length", int64(0)),
		))
	out := call(t, value.MapOf("url", s.URL, "response_handling", "validate", "response_validation", rules, "retry_count", int64(2)))
	want := []string{
		"items.0.id: missing (keys: sku)", "items.3: missing (a list of 1)", "missing.x: missing (keys: status, n, items, s)",
		`status: "pending", expected "success"`, "n: an int, expected bool", "n: 5 is less than 6",
		`s: "abc" does not match ^x`, `s: "abc" is none of ["x","y"]`, "s: length 3, at least 4 expected", "items: length 1, at most 0 expected",
	}
	if out.Err == nil || out.Err.Class != "validation" || out.Err.Retryable {
		t.Fatalf("got %+v", out.Err)
	}
	if got, exp := strings.Join(out.Details.Validation, "\n"), strings.Join(want, "\n"); got != exp {
		t.Errorf("got\n%s\nwant\n%s", got, exp)
	}
	out = call(t, value.MapOf("url", s.URL, "response_validation", value.MapOf("expected_status_code", int64(204))))
	if out.Err == nil || out.Err.Message != "200 OK, expected 204" {
		t.Errorf("status: %+v", out.Err)
	}
	// An unexpected status hides no other breach.
	rules.Set("expected_status_code", int64(201))
	out = call(t, value.MapOf("url", s.URL, "response_validation", rules))
	if out.Err == nil || out.Err.Class != "status" || out.Err.Message != "200 OK, expected 201; 10 checks failed: "+want[0] {
		t.Errorf("got %+v", out.Err)
	}
	if got, exp := strings.Join(out.Details.Validation, "\n"), strings.Join(want, "\n"); got != exp {
		t.Errorf("got\n%s\nwant\n%s", got, exp)
	}
	refuses := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(422)
		_, _ = w.Write([]byte(`{"error":"x"}`))
	})
	out = call(t, value.MapOf("url", refuses.URL, "response_validation", rules))
	if out.Err == nil || out.Err.Message != "422 Unprocessable Entity, expected 201" || out.Details.Validation != nil {
		t.Errorf("the body of an error was held against the rules for the answer: %+v", out.Err)
	}
}
