package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/web/live"
)

// double is a node whose answers a test gives.
type double struct {
	call     func(who engine.Caller, endpoint, payload string) (string, error)
	notReady func() string
	figures  func() (*Figures, error)
	objects  map[string]string

	mu       sync.Mutex
	audits   []Audit
	codes    map[string]bool           // that are good, once
	logins   int                       // that were looked at
	sessions map[string]engine.Session // by id
}

// Login lets in who shows a code of codes, as admin, or the name of a role.
// A name has the password "password".
func (d *double) Login(ctx context.Context, name, secret string) (engine.Session, engine.SessionSecrets, error) {
	who, err := d.Authenticate(ctx, secret)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.logins++
	if name != "" {
		if who, err = (engine.Caller{Name: "user " + name, Role: engine.RoleOperator}), nil; secret != "password" {
			err = fmt.Errorf("%w: the name or the password is wrong", engine.ErrDenied)
		}
	}
	if d.codes[secret] {
		delete(d.codes, secret)
		who, err = engine.Caller{Name: "qarion ui", Role: engine.RoleAdmin}, nil
	}
	if err != nil {
		return engine.Session{}, engine.SessionSecrets{}, err
	}
	session, secrets := engine.NewSession(who, "", time.Now())
	if d.sessions == nil {
		d.sessions = map[string]engine.Session{}
	}
	d.sessions[session.ID] = session
	return session, secrets, nil
}

func (d *double) Session(_ context.Context, cookie string) (engine.Session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, found := d.sessions[engine.SessionID(cookie)]; found {
		return s, nil
	}
	return engine.Session{}, fmt.Errorf("%w: the login has ended", engine.ErrDenied)
}

func (d *double) Logout(_ context.Context, cookie string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sessions, engine.SessionID(cookie))
	return nil
}

func (d *double) Open(_ context.Context, object string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(d.objects[object])), nil
}

func (d *double) Audit(_ context.Context, entry Audit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.audits = append(d.audits, entry)
}

func (d *double) Call(ctx context.Context, who engine.Caller, endpoint string, payload []byte) (engine.Answer, error) {
	text, err := d.call(who, endpoint, string(payload))
	answer := engine.Answer{JSON: []byte(text)}
	if strings.HasPrefix(text, `{"object":`) {
		answer.Object = new(engine.BlobRef)
		err = json.Unmarshal(answer.JSON, answer.Object)
	}
	return answer, err
}

// Authenticate lets in who shows the name of a role.
func (d *double) Authenticate(_ context.Context, token string) (engine.Caller, error) {
	role, err := engine.ParseRole(token)
	if err != nil {
		return engine.Caller{}, fmt.Errorf("%w: no such token", engine.ErrDenied)
	}
	return engine.Caller{Name: "token " + token, Role: role, Login: true}, nil
}

func (d *double) NotReady(context.Context) string {
	if d.notReady == nil {
		return ""
	}
	return d.notReady()
}

func (d *double) Figures(context.Context) (*Figures, error) {
	if d.figures == nil {
		return &Figures{}, nil
	}
	return d.figures()
}

func (d *double) EventSpan(context.Context) (live.Span, error) { return live.Span{}, nil }

func (d *double) ReadEvents(ctx context.Context, _ uint64, _ bool, _ func(live.Event)) error {
	<-ctx.Done()
	return ctx.Err()
}

// door opens a door on a free port of loopback.
func door(t *testing.T, b Backend, change ...func(*Config)) *Server {
	t.Helper()
	cfg := Config{Listen: "127.0.0.1:0", Version: "v1.2.3"}
	for _, c := range change {
		c(&cfg)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if b != nil {
		s.Use(b)
	}
	return s
}

// ask sends a request; headers are pairs, "Host" sets the host.
func ask(t *testing.T, s *Server, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		} else {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	res, err := http.DefaultTransport.(*http.Transport).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

func TestHealth_TellsTheTruth(t *testing.T) {
	s := door(t, nil)
	check := func(when, path string, status int, word string) {
		t.Helper()
		res, text := ask(t, s, "GET", path, "")
		if res.StatusCode != status || text != word+"\n" {
			t.Errorf("%s %s: %d %q, want %d %q", when, path, res.StatusCode, text, status, word)
		}
	}
	check("before the node", "/healthz", 200, "ok")
	check("before the node", "/readyz", 503, "starting")
	word := ""
	s.Use(&double{notReady: func() string { return word }})
	check("open", "/readyz", 200, "ok")
	for _, word = range []string{"full", "broken", "stopping", "behind"} {
		check(word, "/readyz", 503, word)
		check(word, "/healthz", 200, "ok")
	}
	s.Stopped()
	check("the engine has ended", "/healthz", 503, "stopped")
	check("the engine has ended", "/readyz", 503, "stopped")
}

func TestHost_OnlyItsOwnNamesAreServed(t *testing.T) {
	s := door(t, &double{}, func(c *Config) { c.Hosts = []string{"Qarion.internal", "::2"} })
	for host, status := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "LOCALHOST:1": 200, "localhost.": 200, "127.0.0.1": 200, "127.0.0.1:99": 200, "[::1]": 200, "[::1]:8080": 200,
		"evil.example": 421, "evil.example:8080": 421, "localhost.evil.example": 421, "127.0.0.1.nip.io": 421, "127.0.0.2": 421, "0.0.0.0": 421, "[::]": 421,
		"2130706433": 421, "0x7f.1": 421, "localhost@evil.example": 421, "qarion.internal:8443": 401, "[::2]": 401,
		"localhost:evil.example": 421, "[localhost": 421, "localhost]": 421, "[::1": 421, "[::1]]": 421, "[::ffff:127.0.0.1]": 421, "[::1]:": 200, "localhost:": 200,
	} {
		res, text := ask(t, s, "GET", "/metrics", "", "Host", host)
		if res.StatusCode != status {
			t.Errorf("host %s: %d, want %d: %s", host, res.StatusCode, status, text)
		}
		if status == 421 && !strings.Contains(text, "is not served here: add it to [http] hosts") {
			t.Errorf("host %s: %s", host, text)
		}
		if res, _ := ask(t, s, "GET", "/healthz", "", "Host", host); res.StatusCode != 200 {
			t.Errorf("a probe with host %s: %d", host, res.StatusCode)
		}
	}
}

// rawRequest writes bytes and returns the first line of the answer.
func rawRequest(t *testing.T, s *Server, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.conns.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(text)); err != nil {
		return err.Error()
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

func TestHost_TricksOnTheWire(t *testing.T) {
	s := door(t, &double{})
	for name, c := range map[string]struct{ text, want string }{
		"no host":                      {"GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request: missing required Host header"},
		"no host, HTTP/1.0":            {"GET /metrics HTTP/1.0\r\n\r\n", "HTTP/1.0 421 Misdirected Request"},
		"two hosts":                    {"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		"a host in the request line":   {"GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 421 Misdirected Request"},
		"a good one in the line":       {"GET http://localhost/metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 200 OK"},
		"CONNECT":                      {"CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\n\r\n", "HTTP/1.1 421 Misdirected Request"},
		"nonsense":                     {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		"a header of 1 MiB":            {"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", "HTTP/1.1 431 Request Header Fields Too Large"},
		"length and chunks":            {"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 404 Not Found"},
		"a path that leaves its place": {"GET /api/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 404 Not Found"},
	} {
		if got := rawRequest(t, s, c.text); got != c.want && !(name == "a header of 1 MiB" && strings.Contains(got, "reset")) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestOrigin_APageFromElsewhereChangesNothing(t *testing.T) {
	s := door(t, &double{})
	for name, c := range map[string]struct {
		headers []string
		refused bool
	}{
		"a command":             {nil, false},
		"its own page":          {[]string{"Sec-Fetch-Site", "same-origin"}, false},
		"typed by hand":         {[]string{"Sec-Fetch-Site", "none"}, false},
		"another site":          {[]string{"Sec-Fetch-Site", "cross-site"}, true},
		"another port":          {[]string{"Sec-Fetch-Site", "same-site"}, true},
		"an old browser":        {[]string{"Origin", "https://evil.example"}, true},
		"an opaque origin":      {[]string{"Origin", "null"}, true},
		"its own, old browser":  {[]string{"Origin", s.url}, false},
		"another port, the old": {[]string{"Origin", "http://127.0.0.1:1"}, true},
	} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
			res, text := ask(t, s, method, "/api/v1/nothing", "", c.headers...)
			if c.refused != (res.StatusCode == 403) {
				t.Errorf("%s, %s: %d %s", name, method, res.StatusCode, text)
			}
			if c.refused && !strings.Contains(text, `"detail":"cross-origin request refused"`) {
				t.Errorf("%s: %s", name, text)
			}
		}
		if res, _ := ask(t, s, "GET", "/healthz", "", c.headers...); res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s, GET: %d %v", name, res.StatusCode, res.Header)
		}
	}
}

func TestErrors_EveryKindIsAProblem(t *testing.T) {
	for kind, want := range map[error]string{
		engine.ErrInvalid:     `400 urn:qarion:invalid "Invalid"`,
		engine.ErrNotFound:    `404 urn:qarion:not-found "Not found"`,
		engine.ErrConflict:    `409 urn:qarion:conflict "Conflict"`,
		engine.ErrDenied:      `403 urn:qarion:denied "Denied"`,
		engine.ErrBusy:        `429 urn:qarion:busy "Busy"`,
		engine.ErrUnavailable: `503 urn:qarion:unavailable "Unavailable"`,
		engine.ErrDamaged:     `500 urn:qarion:damaged "Damaged"`,
		errors.New("other"):   `500 urn:qarion:internal "Internal error"`,
	} {
		w := &recorded{}
		refuse(w, fmt.Errorf("%w: the line\nof it", kind))
		var p Problem
		if err := json.Unmarshal(w.body, &p); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d %s %q", w.status, p.Type, p.Title); got != want || p.Status != w.status || strings.Contains(p.Detail, "\n") || !strings.HasSuffix(p.Detail, "the line of it") {
			t.Errorf("%v: %s %+v, want %s", kind, got, p, want)
		}
		if w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: %v", kind, w.Header())
		}
		if again := w.Header().Get("Retry-After") != ""; again != (w.status == 429 || w.status == 503) {
			t.Errorf("%v: Retry-After %v", kind, again)
		}
	}
}

// recorded keeps an answer.
type recorded struct {
	silent
	body []byte
}

func (r *recorded) Write(p []byte) (int, error) { r.body = append(r.body, p...); return len(p), nil }

func TestNowhere_IsAProblemToo(t *testing.T) {
	s := door(t, &double{})
	for request, want := range map[string]int{"GET /nothing": 404, "POST /": 405, "GET /api/v2/runs": 404, "POST /healthz": 405, "DELETE /metrics": 405} {
		method, path, _ := strings.Cut(request, " ")
		res, text := ask(t, s, method, path, "")
		if res.StatusCode != want || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", request, res.StatusCode, text)
		}
		if want == 405 && res.Header.Get("Allow") == "" {
			t.Errorf("%s: no Allow", request)
		}
		for _, name := range []string{"X-Content-Type-Options", "Content-Security-Policy", "Cross-Origin-Resource-Policy", "Referrer-Policy"} {
			if res.Header.Get(name) == "" {
				t.Errorf("%s: no %s", request, name)
			}
		}
	}
}

func TestOpen_ATakenPort(t *testing.T) {
	s := door(t, nil)
	_, err := Open(Config{Listen: s.conns.Addr().String()})
	var taken *TakenError
	if !errors.As(err, &taken) || !errors.Is(err, engine.ErrConflict) || err.Error() != "address "+s.conns.Addr().String()+" is in use by another program" {
		t.Errorf("got %v", err)
	}
}

func TestConfig_SaysWhatToChange(t *testing.T) {
	for want, cfg := range map[string]Config{
		"":  {Listen: "127.0.0.1:0"},
		" ": {Listen: "[::1]:0"},
		"denied: 0.0.0.0:8080 is not a loopback address: set [http] cert and key, or public_url behind a proxy":   {Listen: "0.0.0.0:8080"},
		"denied: :8080 is not a loopback address: set [http] cert and key, or public_url behind a proxy":          {Listen: ":8080"},
		"denied: host.example:1 is not a loopback address: set [http] cert and key, or public_url behind a proxy": {Listen: "host.example:1"},
		"  ": {Listen: "0.0.0.0:0", PublicURL: "https://qarion.example.com/"},
		"denied: [http] public_url begins with http://: tokens would travel in the clear, want https://":        {Listen: "0.0.0.0:0", PublicURL: "http://qarion.example.com"},
		`invalid: [http] public_url is "https://x/path", want an address such as https://qarion.example.com`:    {Listen: "0.0.0.0:0", PublicURL: "https://x/path"},
		`invalid: [http] public_url is "https://a:xxxxx@x", want an address such as https://qarion.example.com`: {Listen: "0.0.0.0:0", PublicURL: "https://a:secret@x"},
		`invalid: [http] listen is "8080", want host:port such as 127.0.0.1:8080`:                               {Listen: "8080"},
		`invalid: [http] cert and key go together: one of them is not set`:                                      {Listen: "127.0.0.1:0", Cert: "x"},
		`invalid: [http] login is "never", want "auto" or "always"`:                                             {Listen: "127.0.0.1:0", Login: "never"},
		`invalid: [http] trusted_proxies has "proxy", want an address or a CIDR such as 10.0.0.0/8`:             {Listen: "127.0.0.1:0", TrustedProxies: []string{"10.0.0.1", "proxy"}},
		`invalid: [http] hosts has "https://x", want a name such as qarion.example.com, without scheme or port`: {Listen: "127.0.0.1:0", Hosts: []string{"https://x"}},
		`invalid: [http] cert and key: stat /no/cert.pem: no such file or directory`:                            {Listen: "0.0.0.0:0", Cert: "/no/cert.pem", Key: "/no/key.pem"},
	} {
		err := cfg.Check()
		if strings.TrimSpace(want) == "" && err == nil {
			continue
		}
		if err == nil || err.Error() != want {
			t.Errorf("%+v:\n got %v\nwant %s", cfg, err, want)
		}
	}
}

func TestLogin_WhoeverIsNotOnThisMachineNeedsOne(t *testing.T) {
	plain := door(t, &double{})
	public := door(t, &double{}, func(c *Config) { c.PublicURL = "https://qarion.example.com" })
	always := door(t, &double{}, func(c *Config) { c.Login = LoginAlways })
	for name, c := range map[string]struct {
		s       *Server
		headers []string
		want    int
	}{
		"direct":                  {plain, nil, 200},
		"through a proxy":         {plain, []string{"X-Forwarded-For", "203.0.113.7"}, 401},
		"another kind of proxy":   {plain, []string{"Forwarded", "for=203.0.113.7"}, 401},
		"and another":             {plain, []string{"Via", "1.1 proxy"}, 401},
		"behind a public address": {public, nil, 401},
		"by its public name":      {public, []string{"Host", "qarion.example.com"}, 401},
		"login always":            {always, nil, 401},
		"a viewer's token":        {public, []string{"Authorization", "Bearer viewer"}, 200},
		"in lower case":           {public, []string{"Authorization", "bearer  viewer"}, 200},
		"a trigger's token":       {public, []string{"Authorization", "Bearer trigger"}, 403},
		"another text":            {public, []string{"Authorization", "Bearer nothing"}, 401},
		"and on this machine":     {plain, []string{"Authorization", "Bearer nothing"}, 401},
		"another scheme":          {plain, []string{"Authorization", "Basic dmlld2VyOng="}, 401},
	} {
		res, text := ask(t, c.s, "GET", "/metrics", "", c.headers...)
		if res.StatusCode != c.want || c.want == 401 && res.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %.200s", name, res.StatusCode, text)
		}
	}
}

func TestFrom_TrustsOnlyTheProxiesThatWereNamed(t *testing.T) {
	s := door(t, &double{}, func(c *Config) { c.TrustedProxies = []string{"10.0.0.0/8", "192.0.2.1"} })
	for _, c := range []struct{ peer, forwarded, want string }{
		{"203.0.113.7:1", "", "203.0.113.7"},
		{"203.0.113.7:1", "1.1.1.1", "203.0.113.7"},
		{"10.1.2.3:1", "1.1.1.1", "1.1.1.1"},
		{"10.1.2.3:1", "6.6.6.6, 1.1.1.1, 192.0.2.1", "1.1.1.1"},
		{"10.1.2.3:1", "6.6.6.6, nonsense", "10.1.2.3"},
		{"[::ffff:10.1.2.3]:1", "1.1.1.1", "1.1.1.1"},
		{"10.1.2.3:1", "10.9.9.9", "10.9.9.9"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{}}
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := s.from(r); got != c.want {
			t.Errorf("%s, forwarded for %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

// TestBounds_SlowHeadersEnd: a header that drips in is cut off.
func TestBounds_SlowHeadersEnd(t *testing.T) {
	s := door(t, &double{}, func(c *Config) { c.headerTime = 200 * time.Millisecond })
	c, err := net.Dial("tcp", s.conns.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_ = c.SetReadDeadline(began.Add(20 * time.Second))
	if _, err := io.ReadAll(c); errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

// TestBounds_WhoOnlyHoldsConnectionsKeepsNobodyOut: thousands of connections
// that send nothing, or half a header, make place for one that asks.
func TestBounds_WhoOnlyHoldsConnectionsKeepsNobodyOut(t *testing.T) {
	s := door(t, &double{}, func(c *Config) { c.maxConnections = 64 })
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for i := range 1000 {
		c, err := net.Dial("tcp", s.conns.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		if i%2 == 0 {
			_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\n")
		}
	}
	for range 20 {
		if got := rawRequest(t, s, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); got != "HTTP/1.1 200 OK" {
			t.Fatalf("got %s", got)
		}
	}
	if n := s.conns.count(); n > 64 {
		t.Errorf("%d connections are open", n)
	}
}

// TestBounds_AnswersUnderWayAreNotCutOff: a new connection does not end one
// whose request is being answered.
func TestBounds_AnswersUnderWayAreNotCutOff(t *testing.T) {
	hold, entered := make(chan struct{}), make(chan struct{}, 8)
	s := door(t, &double{figures: func() (*Figures, error) { entered <- struct{}{}; <-hold; return &Figures{}, nil }},
		func(c *Config) { c.maxConnections = 2 })
	var all sync.WaitGroup
	statuses := make(chan string, 2)
	for range 2 {
		all.Go(func() { statuses <- rawRequest(t, s, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n") })
	}
	<-entered
	waitFor(t, func() bool {
		s.conns.mu.Lock()
		defer s.conns.mu.Unlock()
		busy := 0
		for _, c := range s.conns.open {
			busy += c.busy
		}
		return busy == 2
	})
	if got := rawRequest(t, s, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); strings.HasPrefix(got, "HTTP") {
		t.Errorf("one too many: %s", got)
	}
	close(hold)
	all.Wait()
	for range 2 {
		if got := <-statuses; got != "HTTP/1.1 200 OK" {
			t.Errorf("got %s", got)
		}
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the state that the test waits for did not come")
		}
	}
}

// TestClose_LetsAnswersLeave: what is being answered when the door closes
// arrives, and who only holds a connection does not hold up the end.
func TestClose_LetsAnswersLeave(t *testing.T) {
	hold, entered := make(chan struct{}), make(chan struct{})
	s := door(t, &double{figures: func() (*Figures, error) { close(entered); <-hold; return &Figures{}, nil }})
	idle, err := net.Dial("tcp", s.conns.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	got := make(chan string)
	go func() { got <- rawRequest(t, s, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n") }()
	<-entered
	closed := make(chan struct{})
	go func() { s.Close(); close(closed) }()
	close(hold)
	if line := <-got; line != "HTTP/1.1 200 OK" {
		t.Errorf("got %s", line)
	}
	select {
	case <-closed:
	case <-time.After(2 * closeTime):
		t.Error("the door does not close")
	}
}
