package apicall_test

import (
	"bufio"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// answering is a server whose first answer has these headers, and which notes
// what the last request asked for.
func answering(t *testing.T, headers http.Header) (base string, last *string) {
	t.Helper()
	last = new(string)
	s := handler(t, func(w http.ResponseWriter, r *http.Request) {
		*last = r.RequestURI
		if strings.HasPrefix(r.URL.Path, "/start/") {
			for k, v := range headers {
				w.Header()[k] = v
			}
			w.WriteHeader(http.StatusAccepted)
		}
	})
	return s.URL, last
}

// TestLinks_LeadOn: what an answer's headers lead to is read as absolute
// addresses, and the next task goes there.
func TestLinks_LeadOn(t *testing.T) {
	for name, c := range map[string]struct {
		headers http.Header
		read    string
		want    string
	}{
		"a location with a query":    {http.Header{"Location": {"/jobs/7?view=full"}}, "{{ resp_a.location }}", "/jobs/7?view=full"},
		"a relative location":        {http.Header{"Location": {"../jobs/7"}}, "{{ resp_a.location }}", "/jobs/7"},
		"a location to go on from":   {http.Header{"Location": {"/jobs/7/"}}, "{{ resp_a.location }}/result?x={{ 1 + 1 }}", "/jobs/7/result?x=2"},
		"a location with a space":    {http.Header{"Location": {"/jobs/My File"}}, "{{ resp_a.location }}", "/jobs/My%20File"},
		"a fragment is left out":     {http.Header{"Location": {"/jobs/7#top"}}, "{{ resp_a.location }}", "/jobs/7"},
		"a link":                     {http.Header{"Link": {`</users?page=2>; rel="next"`}}, "{{ resp_a.links.next }}", "/users?page=2"},
		"several in one header":      {http.Header{"Link": {`</p1>; rel="first", </p3?a=1,2;b>; title="a, \"b\"; rel=last"; rel=next, </p9>; rel=last`}}, "{{ resp_a.links.next }}", "/p3?a=1,2;b"},
		"in several headers":         {http.Header{"Link": {`</p1>; rel=prev`, `<p3>; rel=next`}}, "{{ resp_a.links['next'] }}", "/start/p3"},
		"several relations":          {http.Header{"Link": {`</p1>; rel="prev Next"`}}, "{{ resp_a.links.next }}", "/p1"},
		"the first of a relation":    {http.Header{"Link": {`</p1>; rel=next, </p2>; rel=next`}}, "{{ resp_a.links.next }}", "/p1"},
		"the first rel parameter":    {http.Header{"Link": {`</p1>; rel=next; rel=prev`}}, "{{ resp_a.links.next }}", "/p1"},
		"space where none should be": {http.Header{"Link": {` < /p1 > ; rel = next ,</p2>;rel=last`}}, "{{ resp_a.links.next }}", "/p1"},
		"of another document":        {http.Header{"Link": {`</p1>; rel=next; anchor="/other", </p2>; rel=next`}}, "{{ resp_a.links.next }}", "/p2"},
		"a relation that is a URI":   {http.Header{"Link": {`</p1>; rel="https://example.com/Rels/Part"`}}, "{{ resp_a.links['https://example.com/rels/part'] }}", "/p1"},
		"none":                       {http.Header{}, "{{ resp_a.links.next | default(base ~ '/none') }}", "/none"},
		"what cannot be read":        {http.Header{"Link": {`</p1; rel=next`, `rubbish`, `<>; rel=next`, `<mailto:a@b.example>; rel=next`}}, "{{ resp_a.links.next | default(base ~ '/none') }}", "/none"},
	} {
		t.Run(name, func(t *testing.T) {
			base, last := answering(t, c.headers)
			flow := &engine.Flow{ID: "f", Variables: value.MapOf("base", base)}
			outs := chainOf(t, apicall.Config{}, flow, value.MapOf("url", base+"/start/x"), value.MapOf("url", c.read))
			if err := outs[1].Err; err != nil {
				t.Fatal(err.Message)
			}
			if *last != c.want {
				t.Errorf("asked for %s, want %s", *last, c.want)
			}
		})
	}
}

// TestLinks_AreTrustedAsTheirAnswerer: an address of the host that answered is
// as good as that host was, any other is data. A redirect of the flow's own host
// to https is trusted, though the file does not name that origin.
func TestLinks_AreTrustedAsTheirAnswerer(t *testing.T) {
	other, _ := recorder(t)
	var base, last string
	base = eitherServer(t, func(w http.ResponseWriter, r *http.Request) {
		last = r.RequestURI
		switch {
		case r.TLS == nil:
			http.Redirect(w, r, strings.Replace(base, "http:", "https:", 1)+"/start", http.StatusTemporaryRedirect)
		case r.URL.Path == "/start":
			w.Header().Set("Location", "/jobs/7")
			w.Header().Set("Link", "<"+other.URL+"/x>; rel=next")
			w.WriteHeader(http.StatusAccepted)
		}
	})
	read := func(address string) *engine.TaskError {
		outs := chainOf(t, apicall.Config{}, &engine.Flow{ID: "f"}, value.MapOf("url", base+"/", "verify_tls", false), value.MapOf("url", address, "verify_tls", false))
		if outs[0].Err != nil {
			t.Fatal(outs[0].Err)
		}
		return outs[1].Err
	}
	if err := read("{{ resp_a.location }}"); err != nil || last != "/jobs/7" {
		t.Errorf("the answerer's own address: %v, asked for %s", err, last)
	}
	if err := read("{{ resp_a.links.next }}"); err == nil || !strings.Contains(err.Message, "egress: 127.0.0.1 is not allowed") {
		t.Errorf("another's address: %v", err)
	}
	if err := read("{{ xcom_a or '" + strings.Replace(base, "http:", "https:", 1) + "/jobs/8' }}"); err == nil || !strings.Contains(err.Message, "egress: 127.0.0.1 is not allowed") {
		t.Errorf("without a look at the answer: %v", err)
	}
	if err := read("{{ resp_a.answerer }}"); err == nil || !strings.Contains(err.Message, "resp_a.answerer is undefined") {
		t.Errorf("how it is kept is seen: %v", err)
	}
}

// eitherServer speaks http and https on one port.
func eitherServer(t *testing.T, fn http.HandlerFunc) (base string) {
	t.Helper()
	sample := httptest.NewTLSServer(nil)
	sample.Close()
	s := httptest.NewUnstartedServer(fn)
	s.Listener = &eitherListener{s.Listener, &tls.Config{Certificates: sample.TLS.Certificates}}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

type eitherListener struct {
	net.Listener
	conf *tls.Config
}

func (l *eitherListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	peeked := &peekedConn{c, bufio.NewReader(c)}
	if first, err := peeked.r.Peek(1); err == nil && first[0] == 0x16 { // a TLS handshake
		return tls.Server(peeked, l.conf), nil
	}
	return peeked, nil
}

type peekedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *peekedConn) Read(b []byte) (int, error) { return c.r.Read(b) }

// TestLinks_WithASecretAreWithheld: the address of an answer may hold the key
// of the call. It is not kept, and reading it says so.
func TestLinks_WithASecretAreWithheld(t *testing.T) {
	base, _ := answering(t, http.Header{"Location": {"/jobs/7?key=" + secret}, "Link": {"</p2?key=" + secret + ">; rel=next"}})
	cfg := apicall.Config{Credentials: credential("k", "api_key", "api_key", secret)}
	props := value.MapOf("url", base+"/start/x", "auth_type", "api_key", "credential_id", "k")
	outs := chainOf(t, cfg, &engine.Flow{ID: "f"}, props, value.MapOf("url", "{{ resp_a.location }}"))
	if strings.Contains(string(outs[0].Response), secret) {
		t.Errorf("the document holds the key: %s", outs[0].Response)
	}
	if err := outs[1].Err; err == nil || err.Message != "url: resp_a.location cannot be read: there is a secret in it, and it was not kept" {
		t.Errorf("reading it: %v", err)
	}
}
