package testkit

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// ask makes one request and returns status and body; 0 when there was no whole
// answer.
func ask(t *testing.T, c *http.Client, method, address, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// direct is a client that follows no redirects and, as it keeps no connection,
// repeats nothing by itself.
func direct() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func TestUpstream_RecordsWhatItSees(t *testing.T) {
	u := NewUpstream(t)
	u.Handle("POST /orders", RetryAfter(503, 2*time.Second))
	u.Handle("/orders", OK(`{"a":1}`))
	ask(t, u.Client(), "POST", u.URL+"/orders?run=r1&task=t1&attempt=2", "body", "Idempotency-Key", "k1")
	ask(t, u.Client(), "GET", u.URL+"/orders", "", "X-Run", "r2", "X-Task", "t2")
	ask(t, u.Client(), "GET", u.URL+"/nothing", "")
	got := u.Await(t, "/orders", 2)
	if len(got) != 2 || u.Count("/nothing") != 1 || len(u.Requests()) != 3 {
		t.Fatalf("got %+v", u.Requests())
	}
	first, second := got[0], got[1]
	if first.Run != "r1" || first.Task != "t1" || first.Attempt != 2 || first.Key != "k1" || string(first.Body) != "body" || first.Status != 503 ||
		first.NotBefore.Sub(first.At) < 2*time.Second || first.URI != "/orders?run=r1&task=t1&attempt=2" {
		t.Errorf("got %+v", first)
	}
	if second.Run != "r2" || second.Task != "t2" || second.Status != 200 || second.At.Before(first.At) || u.Requests("/nothing")[0].Status != 404 {
		t.Errorf("got %+v", second)
	}
}

func TestUpstream_PlaysItsScript(t *testing.T) {
	u := NewUpstream(t)
	effects := &Effects{}
	u.Handle("/effects/", effects.Once(First(1, Drop(), OK(`{}`))))
	for _, c := range []struct {
		path string
		want []int // of one request after the other
	}{
		{"/ok", []int{200}}, {"/status/422", []int{422}}, {"/slow/1ms", []int{200}}, {"/half", []int{0}}, {"/headers", []int{0}},
		{"/flaky/2/503", []int{503, 503, 200, 200}}, {"/after/429/1", []int{429}}, {"/loop", []int{302}}, {"/redirect/308?to=/ok", []int{308}},
		{"/bomb2", []int{404}}, {"/effects/1", []int{0, 200, 200}},
	} {
		for i, want := range c.want {
			if status, body := ask(t, direct(), "POST", u.URL+c.path, "x", "Idempotency-Key", "k"); status != want {
				t.Errorf("%s, %d: %d %s, want %d", c.path, i, status, body, want)
			}
		}
	}
	if effects.Of("k") != 1 || effects.Total() != 1 {
		t.Errorf("%d effects of a key", effects.Total())
	}
	ask(t, u.Client(), "POST", u.URL+"/effects/2", "")
	ask(t, u.Client(), "POST", u.URL+"/effects/2", "")
	if effects.Of("") != 2 {
		t.Errorf("%d effects without a key", effects.Of(""))
	}
	u.Handle("/raw", Raw("HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nhi"))
	if status, body := ask(t, direct(), "GET", u.URL+"/raw", ""); status != 299 || body != "hi" {
		t.Errorf("raw: %d %s", status, body)
	}
	u.Handle("/date", RetryAfterDate(503, time.Second))
	ask(t, u.Client(), "GET", u.URL+"/date", "")
	if r := u.Requests("/date")[0]; r.NotBefore.Sub(r.At) < time.Second || r.NotBefore.Sub(r.At) > 3*time.Second {
		t.Errorf("a date %s away", r.NotBefore.Sub(r.At))
	}
}

// TestUpstream_StopsAtOnce, whatever hangs in it.
func TestUpstream_StopsAtOnce(t *testing.T) {
	u := NewUpstream(t)
	u.Handle("/deaf", Deaf())
	u.Handle("/stall", Stall(200))
	u.Handle("/trickle", EndlessHeaders(time.Hour))
	client := direct()
	done := make(chan int)
	paths := []string{"/silent", "/drip/1h", "/slow/1h", "/deaf", "/stall", "/trickle"}
	for _, p := range paths {
		go func() {
			status, _ := ask(t, client, "POST", u.URL+p, "x")
			done <- status
		}()
	}
	for _, p := range paths {
		u.Await(t, p, 1)
	}
	start := time.Now()
	u.Close()
	for range paths {
		if status := <-done; status != 0 {
			t.Errorf("a hanging request was answered with %d", status)
		}
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("it took %s to stop", d)
	}
}

func TestUpstream_TokensExpireRotateAndAreChecked(t *testing.T) {
	u := NewUpstream(t)
	o := u.OAuth("/token", OAuthRules{ClientID: "id one", ClientSecret: "s", Style: "header", RefreshToken: "r0", Rotate: true})
	u.Handle("/api", o.Guard(401, OK(`{}`)))
	fetch := func(user, form string) (int, string) {
		headers := []string{"Content-Type", "application/x-www-form-urlencoded"}
		req, _ := http.NewRequest("POST", u.URL, nil)
		if user != "" {
			req.SetBasicAuth(user, "s")
			headers = append(headers, "Authorization", req.Header.Get("Authorization"))
		}
		return ask(t, u.Client(), "POST", u.URL+"/token", form, headers...)
	}
	call := func(token string) int {
		status, _ := ask(t, u.Client(), "GET", u.URL+"/api", "", "Authorization", "Bearer "+token)
		return status
	}
	for _, c := range []struct {
		user, form string
		status     int
		want       string
	}{
		{"id+one", "grant_type=client_credentials", 200, `"access_token":"access-1"`},
		{"id+two", "grant_type=client_credentials", 401, "invalid_client"},
		{"", "grant_type=client_credentials&client_id=id+one&client_secret=s", 401, "invalid_client"},
		{"id+one", "grant_type=refresh_token&refresh_token=r0", 200, `"refresh_token":"refresh-2"`},
		{"id+one", "grant_type=refresh_token&refresh_token=r0", 400, "invalid_grant"},
		{"id+one", "grant_type=refresh_token&refresh_token=refresh-2", 200, `"access_token":"access-3"`},
		{"id+one", "grant_type=password", 400, "unsupported_grant_type"},
	} {
		if status, body := fetch(c.user, c.form); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %s, want %d %s", c.user, c.form, status, body, c.status, c.want)
		}
	}
	if call("access-1") != 200 || call("access-3") != 200 || call("access-9") != 401 || o.Issued() != 3 {
		t.Errorf("the guard errs; %d tokens", o.Issued())
	}
	o.Revoke()
	o.Change(func(r *OAuthRules) { r.Style, r.ExpiresIn = "body", 3600 })
	if status, body := fetch("", "grant_type=client_credentials&client_id=id+one&client_secret=s"); status != 200 || !strings.Contains(body, `"expires_in":3600`) {
		t.Errorf("in the body: %d %s", status, body)
	}
	if call("access-1") != 401 || call("access-4") != 200 {
		t.Error("a token that was taken back is good, or the new one is not")
	}
	u.note(func() { o.valid["access-4"] = time.Now() })
	if call("access-4") != 401 {
		t.Error("an expired token is good")
	}
	down := Status(503)
	o.Change(func(r *OAuthRules) { r.Instead = &down })
	if status, _ := fetch("id+one", "grant_type=client_credentials"); status != 503 {
		t.Errorf("instead of a token: %d", status)
	}
}

func TestUpstream_TLS(t *testing.T) {
	client := func(u *Upstream, withCert bool) *http.Client {
		text, err := os.ReadFile(u.CAFile)
		must(t, err)
		conf := &tls.Config{RootCAs: x509.NewCertPool()}
		conf.RootCAs.AppendCertsFromPEM(text)
		if withCert {
			pair, err := tls.LoadX509KeyPair(u.ClientCert, u.ClientKey)
			must(t, err)
			conf.Certificates = []tls.Certificate{pair}
		}
		return &http.Client{Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}}
	}
	u := NewTLSUpstream(t, TLS{NeedClient: true, HTTP2: true})
	if status, body := ask(t, client(u, true), "GET", u.URL+"/ok", ""); status != 200 || u.Requests()[0].ClientName != "client" || u.Requests()[0].Proto != "HTTP/2.0" {
		t.Errorf("%d %s: %+v", status, body, u.Requests())
	}
	if status, _ := ask(t, client(u, false), "GET", u.URL+"/ok", ""); status != 0 {
		t.Errorf("without a client certificate: %d", status)
	}
	for name, conf := range map[string]TLS{"expired": {Expired: true}, "another name": {Name: "other.example"}} {
		u := NewTLSUpstream(t, conf)
		_, err := client(u, false).Get(u.URL + "/ok")
		var e *url.Error
		var bad *tls.CertificateVerificationError
		if !errors.As(err, &e) || !errors.As(e.Err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
