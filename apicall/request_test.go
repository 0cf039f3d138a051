package apicall_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

func TestRequest_IsBuiltFromRenderedValues(t *testing.T) {
	xcom := map[engine.TaskID]any{"up": value.MapOf("id", int64(7), "name", "Ann & Bob/../x", "list", []any{int64(1), "b"}, "nothing", nil)}
	for _, c := range []struct {
		name                    string
		props                   *value.Map
		method, uri, body, kind string
	}{
		{"path value is encoded", value.MapOf("url", "URL/users/{{ xcom_up.name }}"), "GET", "/users/Ann%20&%20Bob%2F..%2Fx", "", ""},
		{"path filter keeps slashes", value.MapOf("url", "URL/{{ 'a/b c' | path }}"), "GET", "/a/b%20c", "", ""},
		{"query value is encoded", value.MapOf("url", "URL/?q={{ xcom_up.name }}"), "GET", "/?q=Ann+%26+Bob%2F..%2Fx", "", ""},
		{"params merge, repeat and leave out", value.MapOf("url", "URL/?a=1", "params", value.MapOf("l", "{{ xcom_up.list }}", "n", "{{ xcom_up.nothing }}", "b", true)), "GET", "/?a=1&l=1&l=b&b=true", "", ""},
		{"json keeps types and order", value.MapOf("url", "URL/", "operation", "POST", "body", value.MapOf("z", "{{ xcom_up.id }}", "a", "n{{ xcom_up.id }}", "f", 7.0, "q", "{{ xcom_up.name }}")), "POST", "/", `{"z":7,"a":"n7","f":7.0,"q":"Ann & Bob/../x"}`, "application/json"},
		{"json text", value.MapOf("url", "URL/", "operation", "put", "body", `{"id": {{ xcom_up.id }}}`), "PUT", "/", `{"id": 7}`, "application/json"},
		{"form", value.MapOf("url", "URL/", "operation", "post", "body_format", "form", "body", value.MapOf("a b", "x&y", "l", []any{int64(1), int64(2)})), "POST", "/", "a+b=x%26y&l=1&l=2", "application/x-www-form-urlencoded"},
		{"raw", value.MapOf("url", "URL/", "operation", "patch", "body_format", "raw", "body", "id {{ xcom_up.id }}"), "PATCH", "/", "id 7", "text/plain; charset=utf-8"},
		{"xml", value.MapOf("url", "URL/", "operation", "post", "body_format", "xml", "body", value.MapOf("order", value.MapOf("@id", int64(7), "item", []any{"a<b", "c"}, "#text", "t"))), "POST", "/", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<order id=\"7\"><item>a&lt;b</item><item>c</item>t</order>", "application/xml"},
		{"delete", value.MapOf("url", "URL/x", "operation", "delete"), "DELETE", "/x", "", ""},
		{"head", value.MapOf("url", "URL/x", "operation", "head"), "HEAD", "/x", "", ""},
		{"options", value.MapOf("url", "URL/x", "operation", "options"), "OPTIONS", "/x", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, got := recorder(t)
			u, _ := c.props.Get("url")
			c.props.Set("url", strings.Replace(u.(string), "URL", s.URL, 1))
			out := callIn(t, &engine.Flow{ID: "f"}, c.props, xcom)
			if out.Err != nil {
				t.Fatal(out.Err)
			}
			if got.method != c.method || got.uri != c.uri || got.body != c.body || got.header.Get("Content-Type") != c.kind {
				t.Errorf("got  %s %s %q %q\nwant %s %s %q %q", got.method, got.uri, got.body, got.header.Get("Content-Type"), c.method, c.uri, c.body, c.kind)
			}
		})
	}
}

func TestRequest_DataCannotBecomeStructure(t *testing.T) {
	s, _ := recorder(t)
	for name, c := range map[string]struct {
		props *value.Map
		data  any
		want  string
	}{
		"dot-dot segment":     {value.MapOf("url", s.URL+"/a/{{ xcom_up }}/b"), "..", "empty, \".\" or \"..\" segment"},
		"empty segment":       {value.MapOf("url", s.URL+"/a/{{ xcom_up }}/b"), "", "empty, \".\" or \"..\" segment"},
		"dot-dot in a path":   {value.MapOf("url", s.URL+"/{{ xcom_up | path }}"), "a/../b", "empty, \".\" or \"..\" segment"},
		"line break":          {value.MapOf("url", s.URL, "headers", value.MapOf("X-A", "{{ xcom_up }}")), "a\r\nX-B: 1", "line break"},
		"host":                {value.MapOf("url", "http://{{ xcom_up }}/"), "a@b", "no host may have"},
		"prefix with a query": {value.MapOf("url", "{{ xcom_up }}/x"), "http://a.example/?q=1", "has a query"},
		"prefix not http":     {value.MapOf("url", "{{ xcom_up }}/x"), "file:///etc", "must give an address"},
		"userinfo":            {value.MapOf("url", "{{ xcom_up }}"), "http://u:secret@a.example/", "use a credential"},
	} {
		t.Run(name, func(t *testing.T) {
			out := callIn(t, &engine.Flow{ID: "f"}, c.props, map[engine.TaskID]any{"up": c.data})
			if out.Err == nil || out.Err.Class != "template" || !strings.Contains(out.Err.Message, c.want) || out.Err.Retryable {
				t.Errorf("got %+v, want %q", out.Err, c.want)
			}
			if out.Err != nil && strings.Contains(out.Err.Message, "secret") {
				t.Errorf("the message quotes a password: %s", out.Err.Message)
			}
		})
	}
}

func TestRequest_PulledKeyIsTheValueAndCanBeReadByItsKey(t *testing.T) {
	s, got := recorder(t)
	xcom := map[engine.TaskID]any{"get_user_id": value.MapOf("user_id", int64(42), "other", "x")}
	for url, want := range map[string]string{"/users/{{ xcom_get_user_id.user_id }}": "/users/42", "/users/{{ xcom_get_user_id }}": "/users/42"} {
		out := callIn(t, &engine.Flow{ID: "f"}, value.MapOf("url", s.URL+url, "xcom_pull", []any{"get_user_id"}, "xcom_pull_key", "user_id"), xcom)
		if out.Err != nil || got.uri != want {
			t.Errorf("%s: %v, sent %s", url, out.Err, got.uri)
		}
	}
	out := callIn(t, &engine.Flow{ID: "f"}, value.MapOf("url", s.URL+"/{{ xcom_get_user_id }}", "xcom_pull", "get_user_id", "xcom_pull_key", "id"), xcom)
	if out.Err == nil || !strings.Contains(out.Err.Message, `has no key "id" (xcom_pull_key; there are: user_id, other)`) {
		t.Errorf("missing key: %+v", out.Err)
	}
}

func TestEgress_HostFromDataReachesPublicAddressesOnly(t *testing.T) {
	s, _ := recorder(t)
	host := strings.TrimPrefix(s.URL, "http://")
	flow := &engine.Flow{ID: "f", Variables: value.MapOf("base", s.URL)}
	if out := callIn(t, flow, value.MapOf("url", "{{ base }}/x"), nil); out.Err != nil {
		t.Errorf("the default of a variable is trusted: %v", out.Err)
	}
	out := callIn(t, &engine.Flow{ID: "f"}, value.MapOf("url", "http://{{ xcom_up }}/x"), map[engine.TaskID]any{"up": host})
	if out.Err == nil || out.Err.Class != "egress" || out.Err.Message != "egress: 127.0.0.1 is not allowed (loopback, and the host comes from data); see [egress] in qarion.toml" {
		t.Errorf("a host from data: %+v", out.Err)
	}
	out = call(t, value.MapOf("url", "http://169.254.169.254/latest/meta-data"))
	if out.Err == nil || out.Err.Message != "egress: 169.254.169.254 is not allowed (link-local); see [egress] in qarion.toml" {
		t.Errorf("cloud metadata: %+v", out.Err)
	}
}

func TestSending_IsAnnouncedBeforeAnythingLeaves(t *testing.T) {
	s, got := recorder(t)
	out := call(t, value.MapOf("url", s.URL, "operation", "post"), func(in *engine.TaskInput) {
		in.OnSending(func(context.Context, func() engine.Details) error { return errors.New("the ledger refuses") })
	})
	if out.Err == nil || got.method != "" {
		t.Errorf("a request left though it could not be announced: %+v %s", out.Err, got.method)
	}
}

func TestUndefinedName_SendsNothing(t *testing.T) {
	s, got := recorder(t)
	out := call(t, value.MapOf("url", s.URL+"/{{ nothing }}"))
	if out.Err == nil || !strings.Contains(out.Err.Message, "nothing is undefined") || got.method != "" {
		t.Errorf("got %+v, sent %q", out.Err, got.method)
	}
}
