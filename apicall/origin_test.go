package apicall_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// lastOf compiles a flow of these tasks and makes one attempt of its last.
func lastOf(t *testing.T, cfg apicall.Config, vars *value.Map, xcom map[engine.TaskID]any, tasks ...engine.Task) engine.TaskOutput {
	t.Helper()
	kind, err := apicall.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	flow := &engine.Flow{ID: "f", Variables: vars, Tasks: tasks}
	for i := range flow.Tasks {
		flow.Tasks[i].Type = apicall.Name
	}
	if wrong := engine.Refused(engine.Compile(flow, map[string]engine.TaskType{apicall.Name: kind}).Problems); wrong != nil {
		t.Fatal(wrong.Message)
	}
	last := &flow.Tasks[len(flow.Tasks)-1]
	prog, _ := kind.Prepare(flow, last)
	in := engine.NewTaskInput(flow, last, nil, xcom)
	in.Key.Run = "01M84BFBV1N8Q6D2T4XW9B7C5E"
	return prog.Execute(t.Context(), in)
}

// TestOrigin_WhatTheFileNamesIsTrustedFromData: the link to the next page is
// data, and leads where the flow goes anyway.
func TestOrigin_WhatTheFileNamesIsTrustedFromData(t *testing.T) {
	s, _ := recorder(t)
	other, _ := recorder(t)
	u, _ := url.Parse(s.URL)
	next := engine.Task{ID: "next", Properties: value.MapOf("url", "{{ xcom_first.next }}")}
	xcom := map[engine.TaskID]any{"first": value.MapOf("next", s.URL+"/page/2", "other", other.URL+"/x", "upper", "http://LOCALHOST:"+u.Port()+"/")}
	for name, c := range map[string]struct {
		url  string
		vars *value.Map
		want string
	}{
		"literal":                 {s.URL + "/page/{{ batch_id }}", nil, ""},
		"a variable":              {"{{ base }}/page/{{ batch_id }}", value.MapOf("base", s.URL), ""},
		"a part of it":            {"http://{{ host }}:{{ port }}/x/{{ run_id }}", value.MapOf("host", "127.0.0.1", "port", u.Port()), ""},
		"a variable beside":       {"http://example.com/", value.MapOf("pages", []any{value.MapOf("a", s.URL+"/deep?x=1")}), ""},
		"not named":               {"http://example.com/", nil, "egress: 127.0.0.1 is not allowed"},
		"another port":            {other.URL, nil, "egress: 127.0.0.1 is not allowed"},
		"only in a text":          {"http://example.com/", value.MapOf("note", "see "+s.URL), "egress: 127.0.0.1 is not allowed"},
		"only in the query":       {"http://example.com/?back=" + s.URL, nil, "egress: 127.0.0.1 is not allowed"},
		"only behind a user name": {"http://example.com/", value.MapOf("base", "http://127.0.0.1:"+u.Port()+"@example.com/"), "egress: 127.0.0.1 is not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			first := engine.Task{ID: "first", Properties: value.MapOf("url", c.url)}
			out := lastOf(t, apicall.Config{}, c.vars, xcom, first, next)
			if c.want == "" && out.Err != nil || c.want != "" && (out.Err == nil || !strings.HasPrefix(out.Err.Message, c.want)) {
				t.Errorf("got %+v, want %q", out.Err, c.want)
			}
			if c.want != "" && out.Details.Hint != `nothing was sent; to allow it, in qarion.toml under [egress]: allow = ["127.0.0.1:`+u.Port()+`"]` {
				t.Errorf("hint: %s", out.Details.Hint)
			}
		})
	}
	first := engine.Task{ID: "first", Properties: value.MapOf("url", s.URL)}
	elsewhere := engine.Task{ID: "next", Properties: value.MapOf("url", "{{ xcom_first.other }}")}
	if out := lastOf(t, apicall.Config{}, nil, xcom, first, elsewhere); out.Err == nil || out.Err.Class != "egress" {
		t.Errorf("an origin that the file does not name: %+v", out.Err)
	}
}

// TestOrigin_ARedirectMayLeadToAnOwnOne, and one that is refused says where it
// led to.
func TestOrigin_ARedirectMayLeadToAnOwnOne(t *testing.T) {
	target, _ := recorder(t)
	s := handler(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target.URL+"/x?token=verysecret", http.StatusFound)
	})
	task := engine.Task{ID: "a", Properties: value.MapOf("url", s.URL)}
	if out := lastOf(t, apicall.Config{}, value.MapOf("other", target.URL), nil, task); out.Err != nil {
		t.Errorf("to an origin of the file: %+v", out.Err)
	}
	out := lastOf(t, apicall.Config{}, nil, nil, task)
	want := "redirect to " + target.URL + ": egress: 127.0.0.1 is not allowed (loopback, and the host comes from data); see [egress] in qarion.toml"
	if out.Err == nil || out.Err.Message != want || out.Details.Hint != `to allow it, in qarion.toml under [egress]: allow = ["`+strings.TrimPrefix(target.URL, "http://")+`"]` {
		t.Errorf("got  %+v, %s\nwant %s", out.Err, out.Details.Hint, want)
	}
}

// TestOrigin_HTTPSOfTheSameHost: the usual step from http to https is no
// stranger's word.
func TestOrigin_HTTPSOfTheSameHost(t *testing.T) {
	tls := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("secure")) }))
	t.Cleanup(tls.Close)
	plain := handler(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, tls.URL+"/", http.StatusMovedPermanently)
	})
	task := engine.Task{ID: "a", Properties: value.MapOf("url", plain.URL, "verify_tls", false)}
	if out := lastOf(t, apicall.Config{}, nil, nil, task); out.Err == nil || out.Err.Class != "egress" {
		t.Errorf("another port: %+v", out.Err)
	}
	both := handler(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://127.0.0.1:"+r.Host[strings.LastIndex(r.Host, ":")+1:]+"/", http.StatusMovedPermanently)
	})
	out := lastOf(t, apicall.Config{}, nil, nil, engine.Task{ID: "a", Properties: value.MapOf("url", both.URL, "verify_tls", false)})
	if out.Err == nil || out.Err.Class == "egress" { // it was reached; that it speaks no TLS is another matter
		t.Errorf("the same port: %+v", out.Err)
	}
}
