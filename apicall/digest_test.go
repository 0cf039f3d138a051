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
	"github.com/qarion/qarion/internal/value"
)

// digestServer asks for digest authentication and checks it by the rules of RFC
// 7616, which are written down here once more.
type digestServer struct {
	*httptest.Server
	headers  []string // WWW-Authenticate of a refusal; NONCE stands for the newest
	password string

	mu       sync.Mutex
	nonces   int
	counts   map[string]int // of each nonce
	life     int            // requests for which a nonce is good; 0: any number
	requests []string       // method, path, body and whether it was let in
	params   map[string]string
}

func newDigestServer(t *testing.T, headers ...string) *digestServer {
	s := &digestServer{headers: headers, password: secret, counts: map[string]int{}}
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
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/x?a=1", http.StatusTemporaryRedirect)
		}
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
	fmt.Fprintf(w, "you sent %s", header)
}

func (s *digestServer) check(r *http.Request, header string, body []byte) (ok, stale bool) {
	p := map[string]string{}
	rest, isDigest := strings.CutPrefix(header, "Digest ")
	for _, m := range digestParam.FindAllStringSubmatch(rest, -1) {
		p[m[1]] = m[2] + m[3]
	}
	if !isDigest || p["uri"] != r.RequestURI || p["realm"] != "shop" {
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
	if name := p["username"]; name != user && !(p["userhash"] == "true" && name == sum(user, "shop")) {
		return false, false
	}
	a1 := sum(user, "shop", s.password)
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
		if p["nc"] != fmt.Sprintf("%08x", s.counts[p["nonce"]]) {
			return false, false
		}
	}
	if p["response"] != want {
		return false, false
	}
	if s.life > 0 && s.counts[p["nonce"]] > s.life {
		return false, true
	}
	return p["nonce"] == s.nonce(), p["nonce"] != s.nonce()
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
	if got := strings.Join(s.requests, ", "); got != "GET /moved  false, GET /moved  true, GET /x?a=1  true" {
		t.Errorf("within the origin: %s", got)
	}
	front := handler(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, s.URL+"/x?a=1", http.StatusFound) })
	s.requests = nil
	cfg := apicall.Config{Credentials: credential("c", "basic_auth", "username", "ann", "password", secret), Egress: loopback}
	out := once(t, cfg, value.MapOf("url", front.URL, "auth_type", "digest", "credential_id", "c"))
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
		if out.Err == nil || out.Details.StatusCode != 401 || len(s.requests) != 1 || strings.Contains(s.requests[0], "true") {
			t.Errorf("%s: %+v, requests %q", name, out.Err, s.requests)
		}
	}
}
