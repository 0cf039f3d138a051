package apicall_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// What the author writes in an address may hold what no address has on the
// wire. The data beside it must stay in its place all the same.
func TestPath_DataStaysInItsSegmentWhateverStandsBesideIt(t *testing.T) {
	const data, sent = "../../admin/users/1", "..%2F..%2Fadmin%2Fusers%2F1"
	for literal, want := range map[string]string{
		"/drive/My Files/": "/drive/My%20Files/", "/Städte/": "/St%C3%A4dte/", "/a|b/": "/a%7Cb/", `/a"b/`: "/a%22b/", "/{x}/": "/%7Bx%7D/",
		"/g%2Fp/": "/g%2Fp/", "/g%2Fp q/": "/g%2Fp%20q/", "/a[1]/": "/a%5B1%5D/", "/plain/": "/plain/", "/a;v=1,2/": "/a;v=1,2/",
	} {
		for _, in := range []struct{ url, flow string }{
			{"URL" + literal + "{{ xcom_up }}", "literal"},
			{"{{ base }}" + literal + "{{ xcom_up }}", "after a prefix"},
			{"{{ whole }}{{ xcom_up }}", "in the prefix"},
		} {
			s, got := recorder(t)
			flow := &engine.Flow{ID: "f", Variables: value.MapOf("base", s.URL, "whole", s.URL+literal)}
			props := value.MapOf("url", strings.Replace(in.url, "URL", s.URL, 1), "operation", "delete")
			if out := callIn(t, flow, props, map[engine.TaskID]any{"up": data}); out.Err != nil {
				t.Errorf("%s %q: %v", in.flow, literal, out.Err)
				continue
			}
			if got.uri != want+sent {
				t.Errorf("%s %q: sent %s, want %s", in.flow, literal, got.uri, want+sent)
			}
		}
	}
}

func TestQuery_LiteralTextIsEscaped(t *testing.T) {
	for literal, want := range map[string]string{
		"?q=SELECT Id FROM Account": "?q=SELECT%20Id%20FROM%20Account",
		"?name=Müller":              "?name=M%C3%BCller",
		"?filter[name]=x&a=b|c":     "?filter[name]=x&a=b%7Cc",
		"?next=%2Fa%20b":            "?next=%2Fa%20b",
	} {
		s, got := recorder(t)
		flow := &engine.Flow{ID: "f", Variables: value.MapOf("whole", s.URL+"/r"+literal)}
		for _, url := range []string{s.URL + "/r" + literal, "{{ whole }}"} {
			if out := callIn(t, flow, value.MapOf("url", url), nil); out.Err != nil {
				t.Errorf("%q: %v", literal, out.Err)
				continue
			}
			if got.uri != "/r"+want {
				t.Errorf("%q: sent %s, want %s", literal, got.uri, "/r"+want)
			}
		}
	}
}

func TestRedirect_TheAddressOfALocationStaysAsItIs(t *testing.T) {
	var got string
	s := handler(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/start" {
			w.Header()["Location"] = []string{"/My Files/a%2Fb?q=x y"}
			w.WriteHeader(http.StatusFound)
			return
		}
		got = r.RequestURI
	})
	if out := call(t, value.MapOf("url", s.URL+"/start")); out.Err != nil {
		t.Fatal(out.Err)
	}
	if want := "/My%20Files/a%2Fb?q=x%20y"; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}

// A response's session cookie and an address with a secret in it are not kept.
// What reads them gets an error, never the mask: that would be sent.
func TestMask_IsNeverSent(t *testing.T) {
	for _, name := range []string{"{{ resp_login.headers['set-cookie'].split(';')[0] }}", "{{ resp_login.url }}"} {
		for _, place := range []string{"headers", "params", "body"} {
			s, got := recorder(t)
			props := value.MapOf("url", s.URL+"/orders", "operation", "post", place, value.MapOf("X", name))
			doc := `{"status_code":200,"headers":{"content-type":"text/plain"},"withheld":["headers.set-cookie","url"]}`
			out := callIn(t, &engine.Flow{ID: "f"}, props, nil, func(in *engine.TaskInput) {
				in.SetValues(nil, []engine.ReadyInput{{Task: "login", Response: []byte(doc)}}, nil)
			})
			if out.Err == nil || !strings.Contains(out.Err.Message, "cannot be read: ") {
				t.Errorf("%s in %s: %v, want an error that says why", name, place, out.Err)
			}
			if got.uri != "" {
				t.Errorf("%s in %s: %s was sent", name, place, got.uri)
			}
		}
	}
}
