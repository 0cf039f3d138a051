package apicall_test

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/value"
)

// digestServer asks for digest authentication and checks it by the rules of RFC
// 7616, which are written down here once more.
type digestServer struct {
	*httptest.Server
	headers  []string // WWW-Authenticate of a refusal; NONCE stands for the newest
	password string

	mu       sync.Mutex
	realm    string
	next     bool // a nonce is good for one request, and the answer to it names the next
	many     bool // every nonce stays good, and no count is taken twice
	used     map[string]bool
	nonces   int
	counts   map[string]int // of each nonce
	life     int            // requests for which a nonce is good; 0: any number
	requests []string       // method, path, body and whether it was let in
	params   map[string]string
}

func newDigestServer(t *testing.T, headers ...string) *digestServer {
	s := &digestServer{headers: headers, password: secret, realm: "shop", counts: map[string]int{}, used: map[string]bool{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *digestServer) nonce() string { return fmt.Sprintf("nonce/%d=", s.nonces) }

var digestParam = regexp.MustCompile(`([a-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))`)

func (s *digestServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	header := r.Header.Get("Authorization")
	ok, stale := s.check(r, header, body)
	s.requests = append(s.requests, fmt.Sprintf("%s %s %s %v", r.Method, r.RequestURI, body, ok))
	if ok {
		if s.next {
			s.nonces++
			w.Header().Set("Authentication-Info", `qop=auth, rspauth="x", nextnonce="`+s.nonce()+`"`)
		}
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/x?a=1", http.StatusTemporaryRedirect)
		}
		fmt.Fprintf(w, "you sent %s, that is %s", header, s.params["response"])
		return
	}
	s.nonces++
	for _, h := range s.headers {
		h = strings.ReplaceAll(h, "NONCE", s.nonce())
		if stale {
			h += ", stale=TRUE"
		}
		w.Header().Add("WWW-Authenticate", h)
	}
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprintf(w, "you sent %s, that is %s", header, s.params["response"])
}

func (s *digestServer) check(r *http.Request, header string, body []byte) (ok, stale bool) {
	p := map[string]string{}
	rest, isDigest := strings.CutPrefix(header, "Digest ")
	for _, m := range digestParam.FindAllStringSubmatch(rest, -1) {
		p[m[1]] = regexp.MustCompile(`\\(.)`).ReplaceAllString(m[2], "$1") + m[3]
	}
	if !isDigest || p["uri"] != r.RequestURI || p["realm"] != s.realm {
		return false, false
	}
	s.params = p
	algorithm, sess := strings.CutSuffix(p["algorithm"], "-sess")
	var h hash.Hash
	switch algorithm {
	case "", "MD5":
		h = md5.New()
	case "SHA-256":
		h = sha256.New()
	case "SHA-512-256":
		h = sha512.New512_256()
	default:
		return false, false
	}
	sum := func(parts ...string) string {
		h.Reset()
		_, _ = io.WriteString(h, strings.Join(parts, ":"))
		return hex.EncodeToString(h.Sum(nil))
	}
	const user = "ann"
	if name := p["username"]; name != user && !(p["userhash"] == "true" && name == sum(user, s.realm)) {
		return false, false
	}
	a1 := sum(user, s.realm, s.password)
	if sess {
		a1 = sum(a1, p["nonce"], p["cnonce"])
	}
	a2 := sum(r.Method, p["uri"])
	if p["qop"] == "auth-int" {
		a2 = sum(r.Method, p["uri"], sum(string(body)))
	}
	want := sum(a1, p["nonce"], a2)
	if p["qop"] != "" {
		want = sum(a1, p["nonce"], p["nc"], p["cnonce"], p["qop"], a2)
		s.counts[p["nonce"]]++
		if again := p["nonce"] + " " + p["nc"]; s.many && !s.used[again] {
			s.used[again] = true
		} else if p["nc"] != fmt.Sprintf("%08x", s.counts[p["nonce"]]) {
			return false, false
		}
	}
	if p["response"] != want {
		return false, false
	}
	if s.life > 0 && s.counts[p["nonce"]] > s.life {
		return false, true
	}
	good := p["nonce"] == s.nonce() || s.many
	return good, !good
}

func (s *digestServer) program(t *testing.T, pairs ...any) func() engine.TaskOutput {
	cfg := apicall.Config{Credentials: credential("c", "basic_auth", "username", "ann", "password", secret)}
	run := program(t, cfg, plus(value.MapOf("url", s.URL+"/x?a=1", "auth_type", "digest", "credential_id", "c", "retry_count", int64(2)), pairs...))
	return func() engine.TaskOutput { return run(t.Context()) }
}

// TestDigest_AnswersWhatServersAsk: the first refusal is a question and no
// attempt; afterwards the answer goes along at once.
func TestDigest_AnswersWhatServersAsk(t *testing.T) {
	for name, c := range map[string]struct {
		headers []string
		want    map[string]string
	}{
		"MD5":                   {[]string{`Digest realm="shop", nonce="NONCE", algorithm=MD5, qop="auth", opaque="op"`}, map[string]string{"algorithm": "MD5", "qop": "auth", "opaque": "op"}},
		"SHA-256":               {[]string{`Digest realm="shop", nonce="NONCE", algorithm=SHA-256, qop="auth"`}, map[string]string{"algorithm": "SHA-256"}},
		"SHA-512-256":           {[]string{`Digest realm="shop", nonce="NONCE", algorithm=SHA-512-256, qop="auth"`}, nil},
		"MD5-sess":              {[]string{`Digest realm="shop", nonce="NONCE", algorithm=MD5-sess, qop="auth"`}, map[string]string{"algorithm": "MD5-sess"}},
		"SHA-256-sess":          {[]string{`Digest realm="shop", nonce="NONCE", algorithm=SHA-256-sess, qop="auth"`}, map[string]string{"algorithm": "SHA-256-sess"}},
		"no algorithm, no qop":  {[]string{`Digest realm="shop", nonce="NONCE"`}, nil},
		"several qop":           {[]string{`Digest realm="shop", nonce="NONCE", qop="auth-int, auth"`}, map[string]string{"qop": "auth"}},
		"auth-int":              {[]string{`Digest realm="shop", nonce="NONCE", qop="auth-int"`}, map[string]string{"qop": "auth-int"}},
		"the strongest":         {[]string{`Digest realm="shop", nonce="NONCE", algorithm=MD5, qop="auth"`, `Digest realm="shop", nonce="NONCE", algorithm=SHA-256, qop="auth"`}, map[string]string{"algorithm": "SHA-256"}},
		"beside others":         {[]string{`Basic realm="a, Digest b", Digest realm="shop", nonce="NONCE", qop="auth", algorithm=MD5, Bearer scope="x"`}, map[string]string{"algorithm": "MD5"}},
		"one it cannot, one it": {[]string{`Digest realm="shop", nonce="NONCE", algorithm=SHA-3, qop="auth"`, `DIGEST realm="shop",nonce="NONCE",qop=auth`}, nil},
		"userhash":              {[]string{`Digest realm="shop", nonce="NONCE", algorithm=SHA-256, qop="auth", userhash=true`}, map[string]string{"userhash": "true"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newDigestServer(t, c.headers...)
			run := s.program(t, "operation", "post", "body", value.MapOf("n", int64(7)))
			for n := 1; n <= 2; n++ {
				if out := run(); out.Err != nil {
					t.Fatalf("call %d: %v", n, out.Err)
				}
			}
			want := "POST /x?a=1 {\"n\":7} false, POST /x?a=1 {\"n\":7} true, POST /x?a=1 {\"n\":7} true"
			if got := strings.Join(s.requests, ", "); got != want {
				t.Errorf("requests: %s\nwant      %s", got, want)
			}
			for k, v := range c.want {
				if s.params[k] != v {
					t.Errorf("%s is %q, want %q", k, s.params[k], v)
				}
			}
		})
	}
}

// TestDigest_ReadsWhatDevicesSend goes through challenges that others could not
// read, as their users have reported them.
func TestDigest_ReadsWhatDevicesSend(t *testing.T) {
	for name, c := range map[string]struct{ realm, header string }{
		"no space after commas":      {"shop", `Digest realm="shop",qop="auth",nonce="NONCE",opaque="fcc93b814b02"`},
		"spaces around equals signs": {"shop", `Digest nonce = "NONCE", realm = "shop"`},
		"no commas":                  {"shop", `Digest realm="shop" nonce="NONCE"`},
		"commas too many":            {"shop", `Digest realm="shop",, nonce="NONCE", qop="auth",`},
		"tabs":                       {"shop", "Digest\trealm=\"shop\",\tnonce=\"NONCE\""},
		"names in capitals":          {"shop", `DIGEST Realm="shop", Nonce="NONCE", QOP="auth", Algorithm="MD5"`},
		"an algorithm in quotes":     {"shop", `Digest realm="shop", nonce="NONCE", algorithm="SHA-256", qop=auth`},
		"a list without spaces":      {"shop", `Digest realm="shop", nonce="NONCE", qop="auth-int,auth"`},
		"stale in quotes":            {"shop", `Digest qop="auth", realm="shop", nonce="NONCE", stale="FALSE"`},
		"an empty opaque":            {"shop", `Digest realm="shop", nonce="NONCE", opaque="", qop="auth"`},
		"an empty realm":             {"", `Digest realm="", nonce="NONCE", qop="auth"`},
		"quotes in the realm":        {`the "shop" \ 1`, `Digest realm="the \"shop\" \\ 1", nonce="NONCE", qop="auth"`},
		"a comma in the realm":       {"a, b=c", `Digest realm="a, b=c", nonce="NONCE", qop="auth"`},
		"Latin-1":                    {"Gr\xf6\xdfe", "Digest realm=\"Gr\xf6\xdfe\", nonce=\"NONCE\", qop=\"auth\""},
		"a token before":             {"shop", `Negotiate abc==, Digest realm="shop", nonce="NONCE", qop="auth"`},
		"the scheme's name in words": {"shop", `Bearer realm="Digest realm required", Digest realm="shop", nonce="NONCE"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newDigestServer(t, c.header)
			s.realm = c.realm
			run := s.program(t)
			for range 2 {
				if out := run(); out.Err != nil {
					t.Fatalf("%v, requests %q, sent %q", out.Err, s.requests, s.params)
				}
			}
			if len(s.requests) != 3 {
				t.Errorf("requests: %q", s.requests)
			}
		})
	}
}

// TestDigest_ASessionThatTheRefusalBegins: servers keep the nonce in a session whose
// cookie comes with the refusal.
func TestDigest_ASessionThatTheRefusalBegins(t *testing.T) {
	s := newDigestServer(t, `Digest realm="shop", nonce="NONCE", qop="auth"`)
	s.many = true
	sessions := 0
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("session"); err != nil || c.Value != fmt.Sprint(sessions) {
			r.Header.Del("Authorization")
			sessions++
			http.SetCookie(w, &http.Cookie{Name: "session", Value: fmt.Sprint(sessions)})
		}
		s.ServeHTTP(w, r)
	})
	run := s.program(t, "operation", "post", "body", value.MapOf("n", int64(7)))
	for n := range 3 {
		if out := run(); out.Err != nil || out.Details.StatusCode != 0 && out.Details.StatusCode != 200 {
			t.Fatalf("call %d: %v, requests %q", n+1, out.Err, s.requests)
		}
	}
	if sessions != 3 || len(s.requests) != 6 {
		t.Errorf("%d sessions, requests %q", sessions, s.requests)
	}
}

// TestDigest_ServersThatDoNotReadTheBody: a server may refuse a large upload and
// close the connection before it has read it; it is asked first.
func TestDigest_ServersThatDoNotReadTheBody(t *testing.T) {
	s := newDigestServer(t, `Digest realm="shop", nonce="NONCE", qop="auth"`)
	read := int64(0)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("Connection", "close")
			r.Body = http.NoBody
		} else {
			n, _ := io.Copy(io.Discard, r.Body)
			read += n
		}
		s.ServeHTTP(w, r)
	})
	body := strings.Repeat("0123456789abcdef", 1<<20)
	out := s.program(t, "operation", "put", "body_format", "raw", "body", body, "retry_count", int64(0))()
	if out.Err != nil || read != int64(len(body)) || len(s.requests) != 2 {
		t.Errorf("%+v, read %d bytes of the body, %d requests", out.Err, read, len(s.requests))
	}
}

// TestDigest_ServersThatDoNotKnowExpect answer 417 and get the body unasked.
func TestDigest_ServersThatDoNotKnowExpect(t *testing.T) {
	s := newDigestServer(t, `Digest realm="shop", nonce="NONCE", qop="auth"`)
	asked := 0
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "" {
			asked++
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		s.ServeHTTP(w, r)
	})
	out := s.program(t, "operation", "put", "body_format", "raw", "body", strings.Repeat("x", 1<<20))()
	if out.Err != nil || asked != 1 || len(s.requests) != 2 {
		t.Errorf("%+v, asked %d times, %d requests", out.Err, asked, len(s.requests))
	}
}

// TestDigest_GoesOnWithTheNonceThatIsNamed: where each nonce is good for one
// request, only the first request is refused.
func TestDigest_GoesOnWithTheNonceThatIsNamed(t *testing.T) {
	s := newDigestServer(t, `Digest realm="shop", nonce="NONCE", qop="auth"`)
	s.next, s.life = true, 1
	run := s.program(t)
	for n := range 4 {
		if out := run(); out.Err != nil {
			t.Fatalf("call %d: %v", n+1, out.Err)
		}
	}
	if len(s.requests) != 5 {
		t.Errorf("requests: %q", s.requests)
	}
}

// TestDigest_ManyTasksAtOnce share what a server has asked: none fails, none is
// retried, no count is used twice, and few are refused.
func TestDigest_ManyTasksAtOnce(t *testing.T) {
	const slots, each = 8, 60
	s := newDigestServer(t, `Digest realm="shop", nonce="NONCE", qop="auth", algorithm=SHA-256`)
	s.many = true
	var tasks []engine.Task
	for i := range each {
		tasks = append(tasks, engine.Task{ID: engine.TaskID(fmt.Sprintf("t%d", i)), Properties: value.MapOf(
			"url", fmt.Sprintf("%s/%d", s.URL, i), "auth_type", "digest", "credential_id", "c", "operation", "post", "body", value.MapOf("n", int64(i)))})
	}
	cfg := apicall.Config{Credentials: credential("c", "basic_auth", "username", "ann", "password", secret)}
	doc := runFlow(t, slots, cfg, func(*runtime.Engine) {}, tasks...)
	if refused := len(s.requests) - each; doc.Status != engine.Success || refused < 1 || refused > slots {
		t.Errorf("the run: %s %+v, %d requests were refused", doc.Status, doc.Error, refused)
	}
}

func TestDigest_AStaleNonceIsRenewed(t *testing.T) {
	s := newDigestServer(t, `Digest realm="shop", nonce="NONCE", qop="auth"`)
	s.life = 1
	run := s.program(t)
	for n := range 3 {
		if out := run(); out.Err != nil {
			t.Fatalf("call %d: %v", n+1, out.Err)
		}
	}
	if len(s.requests) != 6 {
		t.Errorf("requests: %q", s.requests)
	}
}

func TestUnauthorized_WithoutACredentialSaysWhatIsAskedFor(t *testing.T) {
	for asked, want := range map[string]string{
		`Digest realm="shop", nonce="n", qop="auth"`: `no credential was sent, and the server asks for Digest: auth_type = "digest" with a credential_id; store one: qarion credentials store --credential-id ID --type basic_auth`,
		`Bearer realm="shop"`:                        `no credential was sent, and the server asks for Bearer: auth_type = "bearer" with a credential_id; store one: qarion credentials store --credential-id ID --type custom`,
		`Negotiate`:                                  "",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", asked)
			w.WriteHeader(http.StatusUnauthorized)
		}))
		defer s.Close()
		if out := call(t, value.MapOf("url", s.URL)); out.Err == nil || out.Details.Hint != want {
			t.Errorf("%s: %v, hint %q", asked, out.Err, out.Details.Hint)
		}
		own := value.MapOf("url", s.URL, "headers", value.MapOf("Authorization", "Bearer of-my-own"))
		if out := call(t, own); out.Err == nil || out.Details.Hint != "" {
			t.Errorf("%s, with a header of its own: hint %q", asked, out.Details.Hint)
		}
	}
}

func TestDigest_AWrongPasswordIsSaidAndHidden(t *testing.T) {
	s := newDigestServer(t, `Digest realm="shop", nonce="NONCE", qop="auth"`)
	s.password = "another"
	out := s.program(t)()
	if out.Err == nil || out.Err.Retryable || out.Details.StatusCode != 401 || !strings.HasPrefix(out.Details.Hint, "credential c (basic_auth) was sent and refused") || len(s.requests) != 2 {
		t.Errorf("got %+v, %+v, requests %q", out.Err, out.Details, s.requests)
	}
	shown, err := json.Marshal(out.Details)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(shown), s.params["response"]) || strings.Contains(string(shown), secret) {
		t.Errorf("the proof is shown: %s", shown)
	}
}

func TestDigest_AnswersOnlyItsOwnOrigin(t *testing.T) {
	s := newDigestServer(t, `Digest realm="shop", nonce="NONCE", qop="auth"`)
	if out := s.program(t, "url", s.URL+"/moved")(); out.Err != nil {
		t.Fatal(out.Err)
	}
	out := s.program(t, "url", s.URL+"/moved", "response_validation", value.MapOf("expected_status_code", int64(500)))()
	if shown, err := json.Marshal(out.Details); err != nil || out.Err == nil || strings.Contains(string(shown), s.params["response"]) {
		t.Errorf("what proved it after the redirect is shown: %s %v", shown, err)
	}
	s.requests = s.requests[:3]
	if got := strings.Join(s.requests, ", "); got != "GET /moved  false, GET /moved  true, GET /x?a=1  true" {
		t.Errorf("within the origin: %s", got)
	}
	front := handler(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, s.URL+"/x?a=1", http.StatusFound) })
	s.requests = nil
	cfg := apicall.Config{Credentials: credential("c", "basic_auth", "username", "ann", "password", secret), Egress: loopback}
	out = once(t, cfg, value.MapOf("url", front.URL, "auth_type", "digest", "credential_id", "c"))
	if out.Err == nil || out.Details.StatusCode != 401 || len(s.requests) != 1 {
		t.Errorf("at another origin: %+v, requests %q", out.Err, s.requests)
	}
}

func TestDigest_NothingIsAsked(t *testing.T) {
	for name, headers := range map[string][]string{
		"open": nil, "another scheme": {`Basic realm="shop"`}, "nothing it can": {`Digest realm="shop", nonce="NONCE", algorithm=SHA-3`}, "broken": {`Digest`, `Digest realm="`},
	} {
		s := newDigestServer(t, headers...)
		out := s.program(t)()
		if out.Err == nil || out.Details.StatusCode != 401 || len(s.requests) != 1 || strings.Contains(s.requests[0], "true") ||
			!strings.HasPrefix(out.Details.Hint, "credential c (basic_auth) was not sent: the server asks for ") {
			t.Errorf("%s: %+v, %q, requests %q", name, out.Err, out.Details.Hint, s.requests)
		}
	}
}
