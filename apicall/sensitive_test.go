package apicall_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

// TestSensitive_NothingOfTheAnswerIsShown: whatever becomes of a sensitive
// task, its details have nothing of what it received.
func TestSensitive_NothingOfTheAnswerIsShown(t *testing.T) {
	const mine = "s3cret"
	rules := func(pairs ...any) []any { return []any{"response_validation", value.MapOf(pairs...)} }
	for _, row := range []struct {
		name, contentType, body string
		more                    []any
		fails                   string
	}{
		{"a success", "application/json", `{"s3cret":"s3cret"}`, nil, ""},
		{"text that is not JSON", "application/json", `s3cret`, nil, ""},
		{"required fields", "application/json", `{"s3cret":"s3cret"}`, rules("required_fields", []any{"id"}), "validation: 200 OK, 1 check failed: id: missing"},
		{"checks", "application/json", `{"id":"s3cret"}`, rules("field_checks", value.MapOf("id", value.MapOf("value", "x", "pattern", "^x$", "type", "int"))),
			"validation: 200 OK, 3 checks failed: id: a str, expected int"},
		{"checks of text", "text/plain", `s3cret`, rules("required_fields", []any{"id"}), "validation: 200 OK, 1 check failed: the response is not JSON, so its fields cannot be checked"},
		{"select", "application/json", `{"id":"s3cret"}`, []any{"select", ".id.x"}, "select: select: the expression cannot be applied to this document"},
		{"select without a result", "application/json", `{"id":"s3cret"}`, []any{"select", "empty"}, "select: select: it gave no result; write (...) // null if that may be"},
		{"csv", "text/csv", "s3cret,s3cret\n", []any{"response_format", "csv"}, "response: the response is not csv (why is not shown: it is sensitive)"},
		{"xml", "text/xml", "<s3cret>", []any{"response_format", "xml"}, "response: the response is not xml (why is not shown: it is sensitive)"},
		{"a refusal", "application/json", `{"s3cret":"s3cret"}`, rules("expected_status_code", int64(201)), "status: 200 OK, expected 201"},
		{"too large", "text/plain", strings.Repeat("s3cret", 100), []any{"max_response_bytes", int64(100)}, "too_large: the response is larger than max_response_bytes (100)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			u := testkit.NewUpstream(t)
			u.Handle("/x", testkit.Reply(200, row.body, "Content-Type", row.contentType, "X-Session", mine, "X-Other", mine, "ETag", `"`+mine+`"`))
			out := once(t, apicall.Config{}, plus(value.MapOf("url", u.URL+"/x"), row.more...), func(in *engine.TaskInput) { in.Task.Sensitive = true })
			fails := ""
			if out.Err != nil {
				fails = out.Err.Class + ": " + out.Err.Message
				if out.Value != nil || out.Large != nil {
					t.Error("what was received is kept")
				}
			}
			details, err := json.Marshal(out.Details)
			if err != nil || fails != row.fails || strings.Contains(string(details), mine) {
				t.Errorf("got %q, want %q; details %s", fails, row.fails, details)
			}
		})
	}
	u := testkit.NewUpstream(t)
	u.Handle("/x", testkit.Redirect(302, "/ok?code="+mine))
	out := once(t, apicall.Config{}, value.MapOf("url", u.URL+"/x"), func(in *engine.TaskInput) { in.Task.Sensitive = true })
	if got := strings.Join(out.Details.Redirects, " "); !strings.HasSuffix(got, "/ok") {
		t.Errorf("the redirects are shown as %s", got)
	}
}

// TestSensitive_WhatLaterTasksMakeOfItIsHidden: short texts where they were put,
// longer ones wherever a server repeats them.
func TestSensitive_WhatLaterTasksMakeOfItIsHidden(t *testing.T) {
	left := value.MapOf("token", "tok-0123456789", "pin", "4711", "ids", []any{int64(1234567890123)}, "deep", value.MapOf("k", "<\"key\">-of-some-length"))
	flow := func() *engine.Flow { return &engine.Flow{ID: "f"} }
	secrets := []string{"tok-0123456789", "4711", "1234567890123", "key\\\"", "of-some-length"}
	for name, props := range map[string]*value.Map{
		"path":   value.MapOf("path", "/echo/{{ xcom_login.pin }}/{{ xcom_login.token }}"),
		"query":  value.MapOf("params", value.MapOf("a", "{{ xcom_login.pin }}", "b", "{{ xcom_login.deep.k }}")),
		"header": value.MapOf("headers", value.MapOf("X-A", "{{ xcom_login.pin }}/{{ xcom_login.ids[0] }}")),
		"json":   value.MapOf("operation", "post", "body", value.MapOf("all", "{{ xcom_login }}")),
		"xml":    value.MapOf("operation", "post", "body_format", "xml", "body", value.MapOf("a", "{{ xcom_login.deep.k }}")),
		"form":   value.MapOf("operation", "post", "body_format", "form", "body", value.MapOf("a", "{{ xcom_login.deep.k ~ xcom_login.pin }}")),
		"key":    value.MapOf("idempotency_key", "{{ xcom_login.token }}"),
		"parts":  value.MapOf("operation", "post", "body_format", "multipart", "body", value.MapOf("a", "{{ xcom_login.token }}")),
	} {
		t.Run(name, func(t *testing.T) {
			s := handler(t, echo)
			path, _ := props.Get("path")
			props.Delete("path")
			if path == nil {
				path = "/echo"
			}
			props.Set("url", s.URL+path.(string))
			out := callIn(t, flow(), props, map[engine.TaskID]any{"login": left}, func(in *engine.TaskInput) { in.Task.Secrets = []engine.TaskID{"login"} })
			details, err := json.Marshal(out.Details)
			if err != nil || out.Err == nil || out.Err.Class != "status" {
				t.Fatalf("%+v, %v", out.Err, err)
			}
			for _, s := range secrets {
				if strings.Contains(string(details)+out.Err.Message, s) {
					t.Errorf("%s is shown: %s", s, details)
				}
			}
		})
	}
}
