package apicall_test

import (
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// prepare returns what is said about a task of the given properties.
func prepare(t *testing.T, props *value.Map) (engine.Program, []engine.Problem) {
	t.Helper()
	kind, err := apicall.New(apicall.Config{Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: apicall.Name, Properties: props}}}
	return kind.Prepare(flow, &flow.Tasks[0])
}

// with is a good task with one thing changed.
func with(pairs ...any) *value.Map {
	m := value.MapOf("url", "https://api.example.com/x")
	for k, v := range value.MapOf(pairs...).All() {
		m.Set(k, v)
	}
	return m
}

func TestPrepare_BadInputGetsOneClearLine(t *testing.T) {
	for _, c := range []struct {
		props      *value.Map
		want       string // "path: message"
		suggestion string
	}{
		{value.MapOf("operation", "get"), "url: url is missing", ""},
		{with("url", int64(7)), "url: url is an int, want a string", ""},
		{with("url", "ftp://a/b"), "url: url must start with http:// or https://", ""},
		{with("url", "api.example.com"), "url: url must start with http:// or https://", ""},
		{with("url", "https://user:pw@api.example.com/"), "url: url contains a user name or password: use a credential", ""},
		{with("url", "https://api.example.com/%zz"), "url: url cannot be parsed: a % is not followed by two hex digits", ""},
		{with("url", "https:///path"), "url: url has no host", ""},
		{with("time_out", int64(3)), `time_out: unknown property "time_out"`, "timeout"},
		{with("expected_status_code", int64(200)), `expected_status_code: unknown property "expected_status_code": it belongs into response_validation = { expected_status_code = ... }`, ""},
		{with("method", "post", "body", value.MapOf("a", int64(1))), `method: unknown property "method"`, "operation"},
		{with("operation", "fetch"), `operation: operation is "fetch", want one of get, post, put, patch, delete, head, options`, ""},
		{with("operation", "gett"), `operation: operation is "gett", want one of get, post, put, patch, delete, head, options`, "get"},
		{with("timeout", "soon"), `timeout: timeout: "soon" is not a time span such as "1.5s" or "2m"`, ""},
		{with("timeout", int64(0)), "timeout: timeout is 0s, want 1ms to a year", ""},
		{with("timeout", true), `timeout: timeout: got a bool, want seconds or text such as "1.5s"`, ""},
		{with("retry_count", int64(-1)), "retry_count: retry_count is -1, want 0 to 1000", ""},
		{with("retry_count", 1.5), "retry_count: retry_count is a float, want an integer", ""},
		{with("retry_backoff", 0.5), "retry_backoff: retry_backoff is 0.5, want at least 1", ""},
		{with("retry_jitter", "some"), `retry_jitter: retry_jitter is "some", want one of none, equal, full`, ""},
		{with("retry_on_status", []any{int64(99)}), "retry_on_status: retry_on_status: want HTTP statuses from 100 to 599", ""},
		{with("headers", "X: 1"), "headers: headers is a str, want a table", ""},
		{with("headers", value.MapOf("X Y", "1")), `headers.X Y: header name "X Y" has characters that no header may have`, ""},
		{with("headers", value.MapOf("X", []any{})), "headers.X: header X is a list, want a string", ""},
		{with("headers", value.MapOf("X", "a\nb")), "headers: headers.X: the value has a line break or a NUL, which no header may have", ""},
		{with("headers", value.MapOf("x-a", "1", "X-A", "2")), "headers.X-A: headers x-a and X-A are the same header", ""},
		{with("headers", value.MapOf("content-length", "1")), "headers.content-length: header content-length is set by qarion from the request; remove it", ""},
		{with("body", value.MapOf("a", int64(1))), "body: a get request has no body; did you mean params?", ""},
		{with("operation", "post", "body", "{"), `body: body is a string that is not JSON: unexpected end of JSON; use a table, or body_format = "raw"`, ""},
		{with("operation", "post", "body_format", "form", "body", "a=1"), `body: body_format "form" needs a table, got a str`, ""},
		{with("operation", "post", "body_format", "raw", "body", value.MapOf("a", int64(1))), `body: body_format "raw" needs a string, got a dict`, ""},
		{with("operation", "post", "body_format", "xml", "body", value.MapOf("a", int64(1), "b", int64(2))), `body: body_format "xml" needs a string or a table with one root element`, ""},
		{with("operation", "post", "body_format", "xml", "body", value.MapOf("1a", int64(1))), `body: body: "1a" is not an XML element name`, ""},
		{with("operation", "post", "body_format", "yaml", "body", int64(1)), `body_format: body_format is "yaml", want one of json, form, raw, xml, multipart`, ""},
		{with("auth_type", "basic"), `auth_type: auth_type "basic" needs credential_id`, ""},
		{with("auth_type", "ntlm"), `auth_type: auth_type is "ntlm", want one of none, basic, digest, oauth2, api_key, bearer, aws_sigv4`, ""},
		{with("auth_type", "ntlm", "credential_id", "c"), `auth_type: auth_type is "ntlm", want one of none, basic, digest, oauth2, api_key, bearer, aws_sigv4`, ""},
		{with("credential_id", "c"), "credential_id: credential_id is given, but auth_type is missing (basic, digest, oauth2, api_key, bearer or aws_sigv4)", ""},
		{with("headers", value.MapOf("X", "${credential:a b}")), "headers.X: a reference to a credential is not of the form ${credential:ID} or ${credential:ID.field}", ""},
		{with("headers", value.MapOf("X", "{{ 'x${credential:a}' }}")), "headers.X: a reference to a credential stands inside {{ }}; write it beside, or as a text of its own: \"${credential:ID.field}\"", ""},
		{with("idempotency_key", int64(1)), "idempotency_key: idempotency_key is an int, want true, false or a string", ""},
		{with("on_interrupted", "again"), `on_interrupted: on_interrupted is "again", want one of auto, retry, fail`, ""},
		{with("breaker", int64(1)), "breaker: breaker is an int, want true, false or a name", ""},
		{with("xcom_pull_key", "id"), "xcom_pull_key: xcom_pull_key needs xcom_pull", ""},
		{with("xcom_pull", int64(1)), "xcom_pull: xcom_pull is an int, want a list of strings", ""},
		{with("response_handling", "drop"), `response_handling: response_handling is "drop", want one of store, validate, ignore`, ""},
		{with("max_response_bytes", int64(0)), "max_response_bytes: max_response_bytes is 0, want 1 to 1073741824", ""},
		{with("select", ".a |"), "select: select: unexpected EOF", ""},
		{with("select", "$x"), "select: select: variable not defined: $x", ""},
		{with("client_cert", "a.pem"), "client_cert: client_cert and client_key go together", ""},
		{with("ca_file", "/nonexistent/ca.pem"), "ca_file: ca_file: open /nonexistent/ca.pem: no such file or directory", ""},
		{with("proxy", "proxy.example.com"), "proxy: proxy: want an address such as http://proxy.example.com:3128", ""},
		{with("response_validation", value.MapOf("expected_status", int64(200))), `response_validation.expected_status: unknown rule "expected_status"`, ""},
		{with("response_validation", value.MapOf("expected_status_code", "200")), "response_validation.expected_status_code: expected_status_code: want HTTP statuses from 100 to 599", ""},
		{with("response_validation", value.MapOf("field_checks", value.MapOf("a", "str"))), `response_validation.field_checks.a: field_checks.a is a str, want a table such as { type = "str" }`, ""},
		{with("response_validation", value.MapOf("field_checks", value.MapOf("a", value.MapOf("typ", "str")))), `response_validation.field_checks.a.typ: unknown check "typ"`, "type"},
		{with("response_validation", value.MapOf("field_checks", value.MapOf("a", value.MapOf("type", "text")))), `response_validation.field_checks.a.type: type "text" is not str, int, float, bool, list, dict or null`, ""},
		{with("response_validation", value.MapOf("field_checks", value.MapOf("a", value.MapOf("pattern", "(")))), "response_validation.field_checks.a.pattern: pattern: error parsing regexp: missing closing ): `(`", ""},
	} {
		_, problems := prepare(t, c.props)
		if engine.Refused(problems) == nil || len(problems) != 1 {
			t.Errorf("want %q; got %d problems: %+v", c.want, len(problems), problems)
			continue
		}
		p := problems[0]
		if got := strings.Join(p.Path[1:], ".") + ": " + p.Message; got != c.want || p.Warning || p.Path[0] != "properties" || p.Task != "t" {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		if c.suggestion != "" && p.Suggestion != c.suggestion {
			t.Errorf("%s: suggestion %q, want %q", c.want, p.Suggestion, c.suggestion)
		}
	}
}

func TestPrepare_ReportsAllProblemsAtOnce(t *testing.T) {
	_, problems := prepare(t, value.MapOf("url", "x", "time_out", int64(1), "retry_count", "3", "body", "x"))
	if len(problems) < 4 {
		t.Errorf("four things are wrong, %d are reported: %+v", len(problems), problems)
	}
}

func TestPrepare_KeyAmongTheHeadersIsAWarning(t *testing.T) {
	_, problems := prepare(t, with("operation", "post", "headers", value.MapOf("Idempotency-Key", "a")))
	if len(problems) != 1 || !problems[0].Warning {
		t.Errorf("got %+v", problems)
	}
}

func TestNeeds_TellTheEngineHowToPlan(t *testing.T) {
	prog, problems := prepare(t, with("operation", "Post", "retry_count", int64(2), "retry_backoff", 2.0, "retry_delay", "500ms",
		"on_interrupted", "fail", "xcom_pull", []any{"up"}, "headers", value.MapOf("X", "{{ xcom_other.id }}${credential:shop.token}")))
	if engine.Refused(problems) != nil {
		t.Fatal(problems)
	}
	n := prog.Needs()
	if n.Subtype != "post" || !n.Unrepeatable || n.OnInterrupted != "fail" || n.Retry.Count != 2 || n.Retry.Delay.Milliseconds() != 500 ||
		n.Retry.Jitter != engine.JitterEqual || len(n.Pulls) != 1 || len(n.Names) != 1 || n.Names[0].Name != "xcom_other" ||
		len(n.Credentials) != 1 || n.Credentials[0].Name != "shop" {
		t.Errorf("got %+v", n)
	}
	for op, want := range map[string]bool{"get": false, "head": false, "options": false, "put": false, "delete": false, "patch": true, "post": true} {
		prog, _ := prepare(t, with("operation", op))
		keyed, _ := prepare(t, with("operation", op, "idempotency_key", true))
		if prog.Needs().Unrepeatable != want || keyed.Needs().Unrepeatable {
			t.Errorf("%s: unrepeatable %v, with a key %v", op, prog.Needs().Unrepeatable, keyed.Needs().Unrepeatable)
		}
	}
}
