package apicall_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

// forwarder is a proxy that carries requests and connections on, and notes who
// asked.
type forwarder struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []*http.Request
	wants  string // "name:password" that it wants to see; "" for nothing
	status int    // with which it refuses everything
}

func newForwarder(t *testing.T) *forwarder {
	f := &forwarder{}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, r.Clone(r.Context()))
	f.mu.Unlock()
	switch {
	case f.status != 0:
		w.WriteHeader(f.status)
	case f.wants != "" && r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(f.wants)):
		w.WriteHeader(http.StatusProxyAuthRequired)
	case r.Method == http.MethodConnect:
		f.tunnel(w, r)
	default:
		r.Header.Del("Proxy-Authorization")
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		for name, v := range resp.Header {
			w.Header()[name] = v
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}
}

func (f *forwarder) tunnel(w http.ResponseWriter, r *http.Request) {
	there, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(there, here) }()
	_, _ = io.Copy(here, there)
}

// last is the last request that the proxy got.
func (f *forwarder) last() *http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		return nil
	}
	return f.asked[len(f.asked)-1]
}

// TestProxy_ItsFailuresNameIt: what goes wrong at the proxy is not blamed on
// the healthy host behind it.
func TestProxy_ItsFailuresNameIt(t *testing.T) {
	tls := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(tls.Close)
	plain, _ := recorder(t)
	const hint = `the proxy wants a name and a password: proxy_credential_id = "ID" names a credential of type basic_auth`
	tlsHost := strings.TrimPrefix(tls.URL, "https://")
	for _, c := range []struct {
		name, url, proxy string
		status           int
		class, message   string
		retried          bool
		hint             string
	}{
		{"down, http", plain.URL, "http://127.0.0.1:1", 0, "connect", "proxy 127.0.0.1:1: connection refused", true, "nothing was sent"},
		{"down, https", tls.URL, "http://127.0.0.1:1", 0, "connect", "proxy 127.0.0.1:1: connection refused", true, "nothing was sent"},
		{"unknown", tls.URL, "http://proxy.invalid:3128", 0, "dns", "proxy proxy.invalid:3128: no address for this host", true, "nothing was sent"},
		{"no TLS", tls.URL, strings.Replace(plain.URL, "http:", "https:", 1), 0, "tls", "proxy " + strings.TrimPrefix(plain.URL, "http://") + ": TLS: ", false, "nothing was sent"},
		{"wants a login, https", tls.URL, "", 407, "connect", "proxy PROXY: it does not connect to " + tlsHost + ": 407 Proxy Authentication Required", false, "nothing was sent; " + hint},
		{"wants a login, http", plain.URL, "", 407, "status", "407 Proxy Authentication Required through the proxy PROXY", false, hint},
		{"forbids, https", tls.URL, "", 403, "connect", "proxy PROXY: it does not connect to " + tlsHost + ": 403 Forbidden", false, "nothing was sent"},
		{"cannot, https", tls.URL, "", 503, "connect", "proxy PROXY: it does not connect to " + tlsHost + ": 503 Service Unavailable", true, "nothing was sent"},
		{"cannot, http", plain.URL, "", 502, "status", "502 Bad Gateway through the proxy PROXY", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newForwarder(t)
			f.status = c.status
			proxy := c.proxy
			if proxy == "" {
				proxy = f.URL
			}
			out := call(t, value.MapOf("url", c.url, "operation", "post", "retry_count", int64(1), "idempotency_key", true, "proxy", proxy))
			message := strings.ReplaceAll(c.message, "PROXY", strings.TrimPrefix(f.URL, "http://"))
			if out.Err == nil || out.Err.Class != c.class || !strings.HasPrefix(out.Err.Message, message) || out.Err.Retryable != c.retried || out.Details.Hint != c.hint {
				t.Errorf("got %+v, hint %q\nwant %q", out.Err, out.Details.Hint, message)
			}
		})
	}
}

// TestProxy_Credentials: the proxy's name and password come from a credential,
// whatever characters they have; the host behind it gets neither.
func TestProxy_Credentials(t *testing.T) {
	const password = "p@ss:w/ord% ü?#"
	plain, got := recorder(t)
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Proxy-Authorization"))
	}))
	t.Cleanup(secure.Close)
	f := newForwarder(t)
	f.wants = "user:" + password
	host := strings.TrimPrefix(f.URL, "http://")
	creds := credential("px", "basic_auth", "username", "user", "password", password)
	creds["whole"] = engine.Credential{ID: "whole", Type: "custom", Data: value.MapOf("token", "http://user:"+strings.ReplaceAll(url.QueryEscape(password), "+", "%20")+"@"+host)}
	for name, props := range map[string][]any{
		"by id":      {"proxy", f.URL, "proxy_credential_id", "px"},
		"by fields":  {"proxy", "http://${credential:px.username}:${credential:px.password}@" + host},
		"as a whole": {"proxy", "${credential:whole}"},
	} {
		for _, target := range []string{plain.URL, secure.URL} {
			run := program(t, apicall.Config{Credentials: creds}, value.MapOf(append([]any{"url", target + "/x", "verify_tls", false}, props...)...))
			out := run(t.Context())
			if out.Err != nil || strings.Contains(string(out.Value), "Basic") || got.header.Get("Proxy-Authorization") != "" {
				t.Errorf("%s, %s: %+v %s", name, target, out.Err, out.Value)
			}
			if f.last() == nil {
				t.Fatalf("%s, %s: the proxy was not asked", name, target)
			}
		}
	}
	f.wants = "somebody:else"
	run := program(t, apicall.Config{Credentials: creds}, value.MapOf("url", secure.URL, "verify_tls", false, "proxy", f.URL, "proxy_credential_id", "px"))
	out := run(t.Context())
	if out.Err == nil || out.Details.Hint != "nothing was sent; the proxy refused the credential; store a new one: qarion credentials store --credential-id px --type basic_auth" {
		t.Errorf("got %+v, hint %q", out.Err, out.Details.Hint)
	}
	if text, _ := json.Marshal(out.Details); strings.Contains(string(text), "ord%") {
		t.Errorf("the password is shown: %s", text)
	}
	run = program(t, apicall.Config{Credentials: creds}, value.MapOf("url", secure.URL, "proxy", f.URL, "proxy_credential_id", "gone"))
	if out := run(t.Context()); out.Err == nil || out.Err.Class != "credential" || !strings.Contains(out.Err.Message, "credential gone: ") {
		t.Errorf("a credential that is not there: %+v", out.Err)
	}
}

func TestProxy_Problems(t *testing.T) {
	for _, c := range []struct {
		props []any
		want  string
	}{
		{[]any{"proxy_credential_id", "px"}, "proxy_credential_id is given, but proxy is missing"},
		{[]any{"proxy", "http://u:p@x:1", "proxy_credential_id", "px"}, "proxy_credential_id and a name in proxy exclude each other"},
		{[]any{"proxy", "http://${credential:}@x:1"}, "a reference to a credential is not of the form ${credential:ID} or ${credential:ID.field}"},
		{[]any{"proxy", "ftp://${credential:px.username}@x:1"}, "proxy: want an address such as http://proxy.example.com:3128"},
	} {
		if _, problems := prepare(t, with(c.props...)); len(problems) == 0 || problems[0].Message != c.want {
			t.Errorf("%v: got %+v, want %s", c.props, problems, c.want)
		}
	}
	prog, problems := prepare(t, with("proxy", "http://${credential:a.username}:${credential:b}@x:1"))
	var names []string
	for _, use := range prog.Needs().Credentials {
		names = append(names, use.Name)
	}
	if len(problems) != 0 || !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("the credentials of a proxy are not told: %v, %+v", names, problems)
	}
}

// TestUserAgent_IsThatOfTheProgram in every request: calls, those for tokens,
// and those that ask a proxy for a way.
func TestUserAgent_IsThatOfTheProgram(t *testing.T) {
	u := testkit.NewUpstream(t)
	token, tokenGot := recorder(t)
	f := newForwarder(t)
	creds := credential("c", "oauth", "client_id", "me", "client_secret", "verysecret", "token_url", token.URL+"/token")
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.UserAgent()) }))
	t.Cleanup(s.Close)
	cfg := apicall.Config{Credentials: creds, Version: "1.2.3"}
	out := program(t, cfg, value.MapOf("url", s.URL, "verify_tls", false, "proxy", f.URL))(t.Context())
	if out.Err != nil || string(out.Value) != `"qarion/1.2.3"` || f.last().Method != "CONNECT" || f.last().UserAgent() != "qarion/1.2.3" {
		t.Errorf("got %+v %s, the proxy saw %q", out.Err, out.Value, f.last().UserAgent())
	}
	program(t, cfg, value.MapOf("url", u.URL+"/ok", "auth_type", "oauth2", "credential_id", "c", "proxy", f.URL))(t.Context())
	if tokenGot.header.Get("User-Agent") != "qarion/1.2.3" || f.last().URL.Path != "/token" {
		t.Errorf("the token endpoint saw %q, the proxy %s", tokenGot.header.Get("User-Agent"), f.last().URL)
	}
}
