package apicall_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// The mistakes that every property is tried with.
var mistakes = []struct {
	name  string
	value any
}{
	{"nan", math.NaN()}, {"inf", math.Inf(1)}, {"-inf", math.Inf(-1)},
	{"true", true}, {"text", "xyzzy"}, {"a list", []any{int64(1)}}, {"a table", value.MapOf("k", "v")}, {"a float", 1.5},
	{"negative", int64(-1)}, {"negative float", -0.5}, {"huge", int64(math.MaxInt64)}, {"huge float", 1e300}, {"huge text", strings.Repeat("z", 100_000)},
	{"empty", ""}, {"an empty list", []any{}}, {"an empty table", value.MapOf()},
	{"a list with nan", []any{math.NaN()}}, {"a table with inf", value.MapOf("k", math.Inf(1))},
}

// fine are the pairs of property and value above that are no mistake.
var fine = map[string]string{
	"url":                 "",
	"cookie_jar":          "text",
	"credential_id":       "text, empty", // empty: none, over what the defaults say
	"headers":             "a table, an empty table",
	"params":              "a table, an empty table",
	"body":                "true, a list, a table, a float, negative, negative float, huge, huge float, an empty list, an empty table",
	"timeout":             "a float",
	"connect_timeout":     "a float",
	"retry_delay":         "a float",
	"retry_backoff":       "a float, huge, huge float",
	"retry_max_delay":     "a float",
	"retry_after_max":     "a float",
	"breaker_max_wait":    "a float",
	"limit":               "empty",
	"retry_on_status":     "an empty list",
	"fail_on_status":      "an empty list",
	"refresh_on_status":   "an empty list",
	"retry_on_validation": "true",
	"safe":                "true",
	"idempotency_key":     "true, text, huge text",
	"breaker":             "true, text, empty",
	"xcom_pull":           "text, huge text, empty, an empty list", // that there is such a task is Compile's to say
	"xcom_pull_key":       "text, huge text, empty",
	"response_validation": "an empty table",
	"select":              "empty",
	"follow_redirects":    "true",
	"verify_tls":          "true",
	"ca_file":             "empty",
	"client_cert":         "empty",
	"client_key":          "empty",
	"proxy":               "empty",
	"proxy_credential_id": "text, empty",
	"response_charset":    "empty",
	"csv_header":          "true",
	"xml_prefixes":        "true",
	"xml_lists":           "text, huge text, empty, an empty list",

	"response_validation.expected_status_code":      "an empty list",
	"response_validation.required_fields":           "text, huge text, an empty list",
	"response_validation.field_checks":              "an empty table",
	"response_validation.field_checks.f.type":       "an empty list",
	"response_validation.field_checks.f.value":      "true, text, a list, a table, a float, negative, negative float, huge, huge float, huge text, empty, an empty list, an empty table",
	"response_validation.field_checks.f.min":        "a float, negative, negative float, huge, huge float",
	"response_validation.field_checks.f.max":        "a float, negative, negative float, huge, huge float",
	"response_validation.field_checks.f.pattern":    "text, huge text, empty",
	"response_validation.field_checks.f.one_of":     "a list, an empty list",
	"response_validation.field_checks.f.min_length": "",
	"response_validation.field_checks.f.max_length": "",
	"response_validation.field_checks.f.absent":     "true",
	"response_validation.field_checks.f":            "an empty table",
}

// TestPrepare_OneErrorPerMistake tries every property, and every part of the
// rules, with every mistake: exactly one error each, short and at its place.
func TestPrepare_OneErrorPerMistake(t *testing.T) {
	paths := map[string]bool{}
	for p := range fine {
		paths[p] = true
	}
	for _, p := range apicall.Table() {
		paths[p.Name] = true
	}
	// What some properties need beside them, so that nothing else is wrong.
	beside := map[string][]any{
		"credential_id": {"auth_type", "basic"}, "proxy_credential_id": {"proxy", "http://127.0.0.1:3128"}, "auth_type": {"credential_id", "shop"}, "xcom_pull_key": {"xcom_pull", []any{"up"}},
		"csv_delimiter": {"response_format", "csv"}, "csv_header": {"response_format", "csv"},
		"xml_prefixes": {"response_format", "xml"}, "xml_lists": {"response_format", "xml"}, "response_charset": {"response_format", "text"},
		"body": {"operation", "post"}, "body_format": {"operation", "post", "body", value.MapOf("a", "b")},
	}
	kind, err := apicall.New(apicall.Config{Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer kind.Close()
	for path := range paths {
		for _, m := range mistakes {
			props := with(beside[path]...)
			if path == "credential_id" && m.value == "" {
				props.Delete("auth_type")
			}
			set(props, strings.Split(path, "."), m.value)
			want := 1
			if isFine(fine[path], m.name) {
				want = 0
			}
			flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: apicall.Name, Properties: props}, {ID: "up", Type: apicall.Name, Properties: with()}}}
			_, problems := kind.Prepare(flow, &flow.Tasks[0])
			var told []string
			for _, p := range problems {
				at := strings.Join(p.Path, ".")
				told = append(told, fmt.Sprintf("%s: %.300s", at, p.Message))
				if len(p.Message) > 400 || strings.ContainsAny(p.Message, "\n\r") {
					t.Errorf("%s = %s: a message of %d bytes: %.400s", path, m.name, len(p.Message), p.Message)
				}
				if !strings.HasPrefix(at, "properties."+path) {
					t.Errorf("%s = %s: the error is placed at %s: %s", path, m.name, at, p.Message)
				}
			}
			if len(told) != want {
				t.Errorf("%s = %s: %d errors, want %d:\n  %s", path, m.name, len(told), want, strings.Join(told, "\n  "))
			}
		}
	}
}

func isFine(list, name string) bool {
	for f := range strings.SplitSeq(list, ", ") {
		if f == name {
			return true
		}
	}
	return false
}

// set puts a value at a path of keys.
func set(m *value.Map, path []string, v any) {
	for _, key := range path[:len(path)-1] {
		next, _ := m.Get(key)
		if next == nil {
			next = value.NewMap(1)
			m.Set(key, next)
		}
		m = next.(*value.Map)
	}
	m.Set(path[len(path)-1], v)
}
