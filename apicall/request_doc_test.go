package apicall_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// TestRequest_HeadersSignWhatIsSent: the signature over method, path, query and
// body fits what has arrived, of every kind of body.
func TestRequest_HeadersSignWhatIsSent(t *testing.T) {
	for name, props := range map[string][]any{
		"get":       {"params", value.MapOf("b", "2 ü", "a", "x/y")},
		"json":      {"operation", "post", "body", value.MapOf("n", int64(7), "text", "a \"b\" ü <&>", "big", value.Number("1e400"))},
		"JSON text": {"operation", "post", "body", `{ "n": {{ 7 }}, "t": "{{ 'a"b' }}" }`},
		"form":      {"operation", "put", "body_format", "form", "body", value.MapOf("a", "1 2", "b", "ü")},
		"raw":       {"operation", "post", "body_format", "raw", "body", "line\r\n{{ 1 + 1 }}"},
		"xml":       {"operation", "post", "body_format", "xml", "body", value.MapOf("r", value.MapOf("a", "<"))},
		"bytes":     {"operation", "post", "body_format", "raw", "body", "{{ 'AP8Q' | b64decode }}"},
		"no body":   {"operation", "post"},
		"a secret":  {"operation", "post", "body", value.MapOf("pin", "${credential:shop.pin}")},
	} {
		t.Run(name, func(t *testing.T) {
			sent, sum := "", ""
			s := handler(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				sum = hex.EncodeToString(hashed([]byte(secret), string(body)))
				want := hex.EncodeToString(hashed([]byte(secret), r.Method+" "+r.RequestURI+" "+r.Host))
				if r.Header.Get("X-Body") != sum || r.Header.Get("X-Request") != want {
					sent = r.Method + " " + r.RequestURI + " " + string(body)
				}
				w.WriteHeader(http.StatusTeapot)
				_, _ = io.WriteString(w, "we got "+sum+" and "+string(body))
			})
			creds := credential("shop", "custom", "token", secret, "pin", "pin-12345678")
			out := once(t, apicall.Config{Credentials: creds}, plus(value.MapOf("url", s.URL+"/a b/{{ 'c/d' }}", "headers", value.MapOf(
				"X-Body", `{{ request.body | hmac_sha256("${credential:shop}") }}`,
				"X-Request", `{{ (request.method ~ " " ~ request.path ~ ("?" ~ request.query if request.query else "") ~ " " ~ request.host) | hmac_sha256("${credential:shop}") }}`)), props...))
			if sent != "" || sum == "" {
				t.Fatalf("the signature does not fit %q: %v", sent, out.Err)
			}
			if shown := string(mustJSON(out.Details)); strings.Contains(shown, sum) || strings.Contains(shown, "pin-12345678") {
				t.Errorf("shown: %s", shown)
			}
		})
	}
}

// TestRequest_IsForHeadersAlone, and a flow's own variable of the name is what it
// was; who starts a run cannot say what is signed.
func TestRequest_IsForHeadersAlone(t *testing.T) {
	s, got := recorder(t)
	kind, err := apicall.New(apicall.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	run := func(variables *value.Map, given string, props *value.Map) (engine.TaskOutput, error) {
		flow := &engine.Flow{ID: "f", Variables: variables, Tasks: []engine.Task{{ID: "t", Type: apicall.Name, Properties: props}}}
		if wrong := engine.Refused(engine.Compile(flow, map[string]engine.TaskType{apicall.Name: kind}).Problems); wrong != nil {
			return engine.TaskOutput{}, errors.New(wrong.Message)
		}
		prog, _ := kind.Prepare(flow, &flow.Tasks[0])
		in := engine.NewTaskInput(flow, &flow.Tasks[0], nil, nil)
		in.SetValues([]byte(given), nil, nil)
		return prog.Execute(t.Context(), in), nil
	}
	props := value.MapOf("url", s.URL, "operation", "post", "body_format", "raw", "body", "real", "headers", value.MapOf("X-Body", "{{ request.body }}"))
	for _, c := range []struct {
		variables *value.Map
		given     string
		want      string
	}{
		{nil, `{}`, "real"},
		{nil, `{"request": {"body": "forged"}}`, "real"},
		{value.MapOf("request", value.MapOf("body", "declared")), `{}`, "declared"},
		{value.MapOf("request", value.MapOf("body", "declared")), `{"request": {"body": "given"}}`, "given"},
	} {
		if out, err := run(c.variables, c.given, props); err != nil || out.Err != nil || got.header.Get("X-Body") != c.want {
			t.Errorf("%v, %s: %v %v, sent %q, want %q", c.variables, c.given, err, out.Err, got.header.Get("X-Body"), c.want)
		}
	}
	for _, more := range [][]any{{"body", "{{ request.method }}"}, {"url", s.URL + "/{{ request.method }}"}, {"params", value.MapOf("a", "{{ request.method }}")}} {
		if _, err := run(nil, `{}`, plus(value.MapOf("url", s.URL, "operation", "post", "body_format", "raw"), more...)); err == nil || !strings.Contains(err.Error(), `"request" is not declared`) {
			t.Errorf("%v: %v", more, err)
		}
	}
}

// TestRequest_ABodyThatIsStreamedCannotBeRead says so before anything is sent.
func TestRequest_ABodyThatIsStreamedCannotBeRead(t *testing.T) {
	s, got := recorder(t)
	out := once(t, apicall.Config{}, value.MapOf("url", s.URL, "operation", "post", "body_format", "multipart",
		"body", value.MapOf("f", value.MapOf("content", strings.Repeat("x", 100), "filename", "a")), "headers", value.MapOf("X-Body", "{{ request.body | sha256 }}", "X-M", "{{ request.method }}")))
	if out.Err == nil || !strings.Contains(out.Err.Message, "request.body cannot be read: it is read while it is sent") || got.method != "" {
		t.Errorf("got %+v, sent %q", out.Err, got.method)
	}
	if !bytes.Contains(mustJSON(out.Details), []byte("POST")) {
		t.Errorf("details %s", mustJSON(out.Details))
	}
}
