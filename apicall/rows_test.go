package apicall_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

// The tests of this file go through the tables of what an api_call means, row
// by row and over the wire. Each row has a name.

// loopback lets redirects and hosts from data reach the servers of a test.
var loopback = apicall.Egress{Allow: []string{"127.0.0.0/8"}}

// secret is in every credential of these tests.
const secret = "verysecret-canary"

// plus is a copy of properties with more of them.
func plus(props *value.Map, pairs ...any) *value.Map {
	out := value.MapOf()
	for k, v := range props.All() {
		out.Set(k, v)
	}
	for k, v := range value.MapOf(pairs...).All() {
		out.Set(k, v)
	}
	return out
}

// tried makes attempts as the engine does, only without its waits: until one
// succeeds, may not be retried, or was the last one.
func tried(t *testing.T, cfg apicall.Config, props *value.Map, change ...func(*engine.TaskInput)) []engine.TaskOutput {
	t.Helper()
	kind, err := apicall.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer kind.Close()
	flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: apicall.Name, Properties: props}}}
	prog, problems := kind.Prepare(flow, &flow.Tasks[0])
	if engine.Refused(problems) != nil {
		t.Fatalf("the task was refused: %v", problems)
	}
	var outs []engine.TaskOutput
	for n := 1; ; n++ {
		in := engine.NewTaskInput(flow, &flow.Tasks[0], nil, nil)
		in.Installation, in.Key.Run, in.Key.Attempt = "i", "01M84BFBV1N8Q6D2T4XW9B7C5E", n
		for _, c := range change {
			c(in)
		}
		out := prog.Execute(t.Context(), in)
		outs = append(outs, out)
		if out.Err == nil || !out.Err.Retryable {
			return outs
		}
		if _, more := prog.Needs().Retry.Next(n, 0); !more {
			return outs
		}
	}
}

// once makes one attempt.
func once(t *testing.T, cfg apicall.Config, props *value.Map, change ...func(*engine.TaskInput)) engine.TaskOutput {
	t.Helper()
	return tried(t, cfg, plus(props, "retry_count", int64(0)), change...)[0]
}

func statuses(list ...int64) []any {
	out := make([]any, len(list))
	for i, n := range list {
		out[i] = n
	}
	return out
}

// kinds of request, as the retry table tells them apart.
var kinds = []struct {
	name, op string
	keyed    bool
	column   int // of the table: 1 may be repeated, 2 may not
}{
	{"GET", "get", false, 1}, {"HEAD", "head", false, 1}, {"OPTIONS", "options", false, 1}, {"PUT", "put", false, 1},
	{"DELETE", "delete", false, 1}, {"POST with key", "post", true, 1}, {"PATCH with key", "patch", true, 1},
	{"POST without key", "post", false, 2}, {"PATCH without key", "patch", false, 2},
}

// TestRows_WhatIsRetried: every method against every failure, with and without
// retries. What counts are the requests that arrive.
func TestRows_WhatIsRetried(t *testing.T) {
	const yes, no = true, false
	u := testkit.NewUpstream(t)
	stranger := testkit.NewTLSUpstream(t, testkit.TLS{})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := "http://" + closed.Addr().String()
	closed.Close()
	wrong := value.MapOf("required_fields", []any{"id"})
	rows := []struct {
		name, url string
		class     string
		retried   [2]bool // may be repeated; may not
		more      []any
	}{
		{"connection refused", refusing, "connect", [2]bool{yes, yes}, nil},
		{"timeout", u.URL + "/silent", "timeout", [2]bool{yes, no}, []any{"timeout", "80ms"}},
		{"dropped before the answer", u.URL + "/drop", "closed", [2]bool{yes, yes}, nil},
		{"dropped in the middle of the answer", u.URL + "/half", "closed", [2]bool{yes, yes}, nil},
		{"certificate refused", stranger.URL + "/ok", "tls", [2]bool{no, no}, nil},
		{"egress refused", "http://169.254.169.254/", "egress", [2]bool{no, no}, nil},
		{"template error", u.URL + "/status/503?x={{ nothing }}", "template", [2]bool{no, no}, nil},
		{"too many redirects", u.URL + "/loop", "redirect", [2]bool{no, no}, nil},
		{"validation", u.URL + "/ok", "validation", [2]bool{no, no}, []any{"response_validation", wrong}},
		{"validation with retry_on_validation", u.URL + "/ok", "validation", [2]bool{yes, yes}, []any{"response_validation", wrong, "retry_on_validation", true}},
		{"404 in retry_on_status", u.URL + "/status/404", "status", [2]bool{yes, yes}, []any{"retry_on_status", statuses(404)}},
		{"503 in fail_on_status", u.URL + "/status/503", "status", [2]bool{no, no}, []any{"fail_on_status", statuses(503)}},
		{"503 in both lists", u.URL + "/status/503", "status", [2]bool{no, no}, []any{"fail_on_status", statuses(503), "retry_on_status", statuses(503)}},
		{"503 that is expected otherwise", u.URL + "/ok", "status", [2]bool{no, no}, []any{"response_validation", value.MapOf("expected_status_code", int64(201))}},
	}
	for status, retried := range map[int][2]bool{
		429: {yes, yes}, 503: {yes, yes}, 408: {yes, yes}, 425: {yes, yes}, 500: {yes, yes}, 502: {yes, yes}, 504: {yes, yes},
		501: {no, no}, 505: {no, no}, 507: {no, no}, 400: {no, no}, 401: {no, no}, 403: {no, no}, 404: {no, no}, 409: {no, no}, 410: {no, no},
		412: {no, no}, 413: {no, no}, 422: {no, no}, 423: {no, no}, 451: {no, no},
	} {
		row := rows[0]
		row.name, row.url, row.class, row.retried = strconv.Itoa(status), u.URL+"/status/"+strconv.Itoa(status), "status", retried
		rows = append(rows, row)
	}
	for _, row := range rows {
		for _, kind := range kinds {
			noBody := kind.op == "head" && (row.name == "dropped in the middle of the answer" || row.class == "validation")
			if noBody {
				continue
			}
			for _, count := range []int64{0, 2} {
				t.Run(fmt.Sprintf("%s/%s/retry_count=%d", row.name, kind.name, count), func(t *testing.T) {
					want, at := 1, u
					if row.retried[kind.column-1] {
						want += int(count)
					}
					if row.class == "timeout" { // these take their time
						t.Parallel()
						at = testkit.NewUpstream(t)
					}
					before := len(at.Requests())
					outs := tried(t, apicall.Config{}, plus(value.MapOf(row.more...), "url", strings.Replace(row.url, u.URL, at.URL, 1),
						"operation", kind.op, "idempotency_key", kind.keyed, "retry_count", count, "max_redirects", int64(1)))
					out := outs[len(outs)-1]
					if len(outs) != want || out.Err == nil || out.Err.Class != row.class || out.Err.Unknown {
						t.Errorf("%d attempts, want %d; the last: %+v", len(outs), want, out.Err)
					}
					arrives := strings.HasPrefix(row.url, u.URL) && row.class != "template" && row.class != "redirect"
					if sent := len(at.Requests()) - before; arrives && sent != want {
						t.Errorf("%d requests for %d attempts", sent, want)
					}
				})
			}
		}
	}
}

// TestRows_RetryAfter: seconds and dates, and where there is a limit.
func TestRows_RetryAfter(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, row := range []struct {
		name   string
		status int
		header string
		more   []any
		retry  bool
		wait   time.Duration // to within the two seconds that a date is off
	}{
		{"seconds, with 503", 503, "7", nil, true, 7 * time.Second},
		{"seconds, with 429", 429, "7", nil, true, 7 * time.Second},
		{"seconds, with another status that is retried", 502, "7", nil, true, 7 * time.Second},
		{"date", 503, in(90 * time.Second), nil, true, 90 * time.Second},
		{"date in the old format", 503, time.Now().Add(90 * time.Second).UTC().Format(time.RFC850), nil, true, 90 * time.Second},
		{"date in the past", 503, in(-time.Hour), nil, true, 0},
		{"zero", 503, "0", nil, true, 0},
		{"as long as the limit", 503, "300", nil, true, 300 * time.Second},
		{"longer than the limit", 503, "301", nil, false, 0},
		{"date beyond the limit", 503, in(time.Hour), nil, false, 0},
		{"longer than any number", 503, "99999999999999999999", nil, false, 0},
		{"a raised limit", 503, "3600", []any{"retry_after_max", "2h"}, true, time.Hour},
		{"a lowered limit", 503, "5", []any{"retry_after_max", int64(4)}, false, 0},
		{"a decimal point", 503, "2.0", nil, true, 2 * time.Second},
		{"a fraction", 503, "7.5", nil, true, 7500 * time.Millisecond},
		{"an epoch in seconds", 503, fmt.Sprint(time.Now().Add(90 * time.Second).Unix()), nil, true, 90 * time.Second},
		{"an epoch in milliseconds", 503, fmt.Sprint(time.Now().Add(90 * time.Second).UnixMilli()), nil, true, 90 * time.Second},
		{"an epoch that is over", 503, fmt.Sprint(time.Now().Add(-time.Hour).Unix()), nil, true, 0},
		{"an epoch beyond the limit", 503, fmt.Sprint(time.Now().Add(time.Hour).Unix()), nil, false, 0},
		{"a date of RFC 3339", 503, time.Now().Add(90 * time.Second).UTC().Format(time.RFC3339), nil, true, 90 * time.Second},
		{"no number", 503, "1.2.3", nil, true, 0},
		{"below zero", 503, "-5", nil, true, 0},
		{"words", 503, "soon", nil, true, 0},
		{"a status that is not retried stays so", 400, "1", nil, false, 0},
		{"a status that the flow retries", 404, "5", []any{"retry_on_status", statuses(404)}, true, 5 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			u := testkit.NewUpstream(t)
			u.Handle("/x", testkit.Reply(row.status, "", "Retry-After", row.header))
			props := plus(value.MapOf("url", u.URL+"/x", "operation", "post", "retry_count", int64(1)), row.more...)
			outs := tried(t, apicall.Config{}, props)
			e := outs[0].Err
			if e == nil || e.Retryable != row.retry || len(outs) != u.Count("/x") {
				t.Fatalf("got %+v in %d attempts, %d requests", e, len(outs), u.Count("/x"))
			}
			if off := e.RetryAfter - row.wait; off > 2*time.Second || off < -2*time.Second || e.RetryAfter < 0 {
				t.Errorf("the wait is %s, want %s", e.RetryAfter, row.wait)
			}
			if tooLong := row.status == 503 && !row.retry; tooLong && !strings.Contains(outs[0].Details.NotRetried, "is longer than retry_after_max") {
				t.Errorf("nobody says why there is no retry: %q", outs[0].Details.NotRetried)
			}
		})
	}
}

// TestRows_RateLimits: what headers beside Retry-After say about the next
// attempt.
func TestRows_RateLimits(t *testing.T) {
	const planned = 0 // nothing is asked for
	epoch := fmt.Sprint(time.Now().Add(60 * time.Second).Unix())
	epochMS := fmt.Sprint(time.Now().Add(60 * time.Second).UnixMilli())
	for _, row := range []struct {
		name    string
		status  int
		headers []string
		wait    time.Duration
		by      string
	}{
		{"X-RateLimit-Reset as an epoch", 429, []string{"X-RateLimit-Reset", epoch}, 60 * time.Second, "X-RateLimit-Reset"},
		{"in milliseconds", 429, []string{"X-RateLimit-Reset", epochMS}, 60 * time.Second, "X-RateLimit-Reset"},
		{"as seconds from now", 429, []string{"X-RateLimit-Reset", "60"}, 60 * time.Second, "X-RateLimit-Reset"},
		{"with 503", 503, []string{"X-RateLimit-Reset", "60"}, 60 * time.Second, "X-RateLimit-Reset"},
		{"another spelling", 429, []string{"X-Rate-Limit-Reset", epoch}, 60 * time.Second, "X-Rate-Limit-Reset"},
		{"Reset-After", 429, []string{"X-RateLimit-Reset-After", "1.337"}, 1337 * time.Millisecond, "X-RateLimit-Reset-After"},
		{"RateLimit-Reset of the drafts", 429, []string{"RateLimit-Reset", "2"}, 2 * time.Second, "RateLimit-Reset"},
		{"the dictionary of a later draft", 429, []string{"RateLimit", "limit=100, remaining=0, reset=60"}, 60 * time.Second, "RateLimit"},
		{"the list of the last ones", 429, []string{"RateLimit", `"burst";r=5;t=1, "day";r=0;t=60`}, 60 * time.Second, "RateLimit"},
		{"a span, for requests", 429, []string{"X-RateLimit-Remaining-Requests", "0", "X-RateLimit-Reset-Requests", "1m0s"}, 60 * time.Second, "X-RateLimit-Reset-Requests"},
		{"the longer one of two", 429, []string{"X-RateLimit-Reset-Requests", "1s", "X-RateLimit-Reset-Tokens", "1m0s"}, 60 * time.Second, "X-RateLimit-Reset-Tokens"},
		{"retry-after-ms", 429, []string{"retry-after-ms", "1337", "Retry-After", "2"}, 1337 * time.Millisecond, "Retry-After-Ms"},
		{"Retry-After wins", 429, []string{"X-RateLimit-Reset", "60", "Retry-After", "3"}, 3 * time.Second, "Retry-After"},
		{"a Retry-After that says nothing", 429, []string{"X-RateLimit-Reset", "60", "Retry-After", "soon"}, 60 * time.Second, "X-RateLimit-Reset"},
		{"another status, nothing left", 500, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "60"}, 60 * time.Second, "X-RateLimit-Reset"},
		{"another status, some left", 500, []string{"X-RateLimit-Remaining", "4999", "X-RateLimit-Reset", "60"}, planned, ""},
		{"503 for other reasons: some left", 503, []string{"X-RateLimit-Remaining", "4999", "X-RateLimit-Reset", "60"}, planned, ""},
		{"another status, nobody knows", 500, []string{"X-RateLimit-Reset", "60"}, planned, ""},
		{"nonsense", 429, []string{"X-RateLimit-Reset", "tomorrow", "RateLimit", "a, b;c;t="}, planned, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			u := testkit.NewUpstream(t)
			u.Handle("/x", testkit.Reply(row.status, "", row.headers...))
			out := tried(t, apicall.Config{}, value.MapOf("url", u.URL+"/x", "retry_count", int64(1)))[0]
			if off := out.Err.RetryAfter - row.wait; !out.Err.Retryable || off > 0 && row.wait == planned || off > time.Second || off < -2*time.Second || out.Err.RetryAfterBy != row.by {
				t.Errorf("the wait is %s by %q, want %s by %q", out.Err.RetryAfter, out.Err.RetryAfterBy, row.wait, row.by)
			}
		})
	}
	u := testkit.NewUpstream(t)
	u.Handle("/x", testkit.Reply(429, "", "X-RateLimit-Reset", fmt.Sprint(time.Now().Add(2*time.Hour).Unix())))
	out := tried(t, apicall.Config{}, value.MapOf("url", u.URL+"/x", "retry_count", int64(1)))[0]
	if !strings.HasPrefix(out.Details.NotRetried, "X-RateLimit-Reset ") || !strings.HasSuffix(out.Details.NotRetried, " is longer than retry_after_max (5m)") {
		t.Errorf("beyond the limit: %q", out.Details.NotRetried)
	}
}

// TestRows_Timeout: a call ends within its timeout, whatever the server does.
func TestRows_Timeout(t *testing.T) {
	const timeout = 250 * time.Millisecond
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { deaf.Close() })
	interim := testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		for {
			w.WriteHeader(http.StatusEarlyHints)
			c.Wait(20 * time.Millisecond)
		}
	})
	upgrade := testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		c.Wait(5 * time.Second)
	})
	large := strings.Repeat("x", 16<<20) // more than the buffers of a connection hold
	for _, row := range []struct {
		name   string
		answer testkit.Answer
		url    string // "": the upstream's
		class  string // "": any, or none
		more   []any
	}{
		{"never answers", testkit.Silent(), "", "timeout", nil},
		{"does not read the request", testkit.Deaf(), "", "timeout", []any{"operation", "post", "body_format", "raw", "body", large}},
		{"headers, a line at a time", testkit.EndlessHeaders(20 * time.Millisecond), "", "timeout", nil},
		{"headers without end", testkit.EndlessHeaders(0), "", "too_large", nil},
		{"interim answers without end", interim, "", "timeout", nil},
		{"another protocol", upgrade, "", "", nil},
		{"headers and then nothing", testkit.Stall(200), "", "timeout", nil},
		{"a failure's headers and then nothing", testkit.Stall(500), "", "status", nil},
		{"a body, a byte at a time", testkit.Drip(20 * time.Millisecond), "", "timeout", nil},
		{"a body that is ignored, a byte at a time", testkit.Drip(20 * time.Millisecond), "", "timeout", []any{"response_handling", "ignore"}},
		{"a redirect whose body never ends", testkit.Stall(302, "Location", "/ok"), "", "timeout", nil},
		{"slow redirects", testkit.Slow(timeout/3, testkit.Redirect(302, "/x")), "", "timeout", nil},
		{"gzip that becomes too much", testkit.Bomb(1 << 30), "", "too_large", []any{"timeout", "10s"}},
		{"an endless handshake", testkit.Answer{}, "https://" + deaf.Addr().String(), "timeout", nil},
		{"an endless answer of a proxy", testkit.Answer{}, "https://127.0.0.1:1/", "timeout", []any{"proxy", "http://" + deaf.Addr().String()}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			u := testkit.NewUpstream(t)
			u.Handle("/x", row.answer)
			if row.url == "" {
				row.url = u.URL + "/x"
			}
			start := time.Now()
			out := once(t, apicall.Config{}, plus(value.MapOf("url", row.url, "timeout", timeout.String()), row.more...))
			elapsed := time.Since(start)
			if row.class != "" && (out.Err == nil || out.Err.Class != row.class || out.Err.Unknown) {
				t.Errorf("got %+v, want %s", out.Err, row.class)
			}
			if row.class == "timeout" && elapsed < timeout {
				t.Errorf("it was given up after %s", elapsed)
			}
			if elapsed > timeout+3*time.Second {
				t.Errorf("it ended after %s", elapsed)
			}
		})
	}
	t.Run("a token that is never given", func(t *testing.T) {
		t.Parallel()
		u := testkit.NewUpstream(t)
		u.Handle("/token", testkit.Silent())
		start := time.Now()
		out := once(t, apicall.Config{Credentials: oauthOf(u)}, value.MapOf("url", u.URL+"/ok", "timeout", timeout.String(), "auth_type", "oauth2", "credential_id", "c"))
		if out.Err == nil || out.Err.Class != "auth" || !out.Err.Retryable || time.Since(start) > timeout+3*time.Second || u.Count("/ok") != 0 {
			t.Errorf("got %+v after %s", out.Err, time.Since(start))
		}
	})
}

func oauthOf(u *testkit.Upstream, pairs ...any) stored {
	c := credential("c", "oauth", "client_id", "id", "client_secret", secret, "token_url", u.URL+"/token")
	for k, v := range value.MapOf(pairs...).All() {
		c["c"].Data.Set(k, v)
	}
	return c
}

// TestRows_RedirectsDropCredentials: nothing that was meant for one origin
// reaches another, nor comes back after a detour.
func TestRows_RedirectsDropCredentials(t *testing.T) {
	first, other, safe := testkit.NewUpstream(t), testkit.NewUpstream(t), testkit.NewTLSUpstream(t, testkit.TLS{})
	tokens := first.OAuth("/token", testkit.OAuthRules{})
	port := first.URL[strings.LastIndexByte(first.URL, ':'):]
	for _, kind := range []struct {
		name  string
		creds stored
		props []any
	}{
		{"basic", credential("c", "basic_auth", "username", "u", "password", secret), []any{"auth_type", "basic"}},
		{"bearer", credential("c", "custom", "token", secret), []any{"auth_type", "bearer"}},
		{"api_key in the usual header", credential("c", "api_key", "api_key", secret), []any{"auth_type", "api_key"}},
		{"api_key in another header", credential("c", "api_key", "api_key", secret, "header_name", "X-Shop"), []any{"auth_type", "api_key"}},
		{"api_key in the query", credential("c", "api_key", "api_key", secret, "query_param", "key"), []any{"auth_type", "api_key"}},
		{"oauth2", oauthOf(first), []any{"auth_type", "oauth2"}},
		{"headers of the flow", nil, []any{"headers", value.MapOf("Authorization", secret, "Cookie", "a="+secret, "X-Api-Key", secret, "X-Own", secret)}},
	} {
		for _, to := range []struct{ name, url string }{
			{"another port", other.URL + "/ok"}, {"another scheme", safe.URL + "/ok"}, {"another host name", "http://localhost" + port + "/ok"},
		} {
			t.Run(kind.name+"/"+to.name, func(t *testing.T) {
				first.Handle("/x", testkit.Redirect(302, to.url))
				props := plus(value.MapOf(kind.props...), "url", first.URL+"/x", "ca_file", safe.CAFile)
				if kind.creds != nil {
					props.Set("credential_id", "c")
				}
				reached := func() []testkit.Request {
					return slices.Concat(first.Requests("/ok"), other.Requests("/ok"), safe.Requests("/ok"))
				}
				before := len(reached())
				out := once(t, apicall.Config{Credentials: kind.creds, Egress: loopback}, props)
				all := reached()
				if out.Err != nil || len(all) != before+1 {
					t.Fatalf("%v, %d requests behind the redirect", out.Err, len(all)-before)
				}
				for _, r := range all {
					mustNotShow(t, r)
				}
			})
		}
		t.Run(kind.name+"/there and back", func(t *testing.T) {
			first.Handle("/x", testkit.Redirect(302, other.URL+"/back"))
			first.Handle("/home", testkit.OK(`{}`))
			other.Handle("/back", testkit.Redirect(302, first.URL+"/home"))
			before := first.Count("/home")
			props := plus(value.MapOf(kind.props...), "url", first.URL+"/x")
			if kind.creds != nil {
				props.Set("credential_id", "c")
			}
			out := once(t, apicall.Config{Credentials: kind.creds, Egress: loopback}, props)
			if out.Err != nil || first.Count("/home") != before+1 {
				t.Fatalf("got %v, %d requests", out.Err, first.Count("/home")-before)
			}
			mustNotShow(t, first.Requests("/home")[before])
		})
	}
	if tokens.Issued() == 0 {
		t.Error("no token was ever used")
	}
}

func mustNotShow(t *testing.T, r testkit.Request) {
	t.Helper()
	if shown := fmt.Sprint(r.URI, r.Header, string(r.Body)); strings.Contains(shown, secret) || r.Header.Get("Authorization") != "" || r.Header.Get("Referer") != "" {
		t.Errorf("a credential left its origin: %s", shown)
	}
}

// TestRows_Redirects: which are followed, how far, and with what.
func TestRows_Redirects(t *testing.T) {
	u, other := testkit.NewUpstream(t), testkit.NewUpstream(t)
	u.Handle("/hops/", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		n, _ := strconv.Atoi(strings.TrimPrefix(c.URL.Path, "/hops/"))
		if n > 0 {
			http.Redirect(w, c.Request, "/hops/"+strconv.Itoa(n-1), http.StatusFound)
		}
	}))
	other.Handle("/end", testkit.OK(`{}`))
	u.Handle("/nowhere", testkit.Status(302))
	post := []any{"operation", "post", "body", value.MapOf("a", int64(1)), "idempotency_key", "k"}
	for _, row := range []struct {
		name, path string
		more       []any
		class      string // "": a success
		status     int
		arrives    string // at the other origin: method, body, content type, key
	}{
		{"ten in a row", "/hops/10", nil, "", 200, ""},
		{"eleven in a row", "/hops/11", nil, "redirect", 0, ""},
		{"as many as max_redirects", "/hops/2", []any{"max_redirects", int64(2)}, "", 200, ""},
		{"more than max_redirects", "/hops/3", []any{"max_redirects", int64(2)}, "redirect", 0, ""},
		{"follow_redirects = false", "/hops/1", []any{"follow_redirects", false}, "", 302, ""},
		{"follow_redirects = false, 200 expected", "/hops/1", []any{"follow_redirects", false, "response_validation", value.MapOf("expected_status_code", int64(200))}, "status", 302, ""},
		{"without Location", "/nowhere", nil, "redirect", 302, ""},
		{"without Location, 302 expected", "/nowhere", []any{"response_validation", value.MapOf("expected_status_code", int64(302))}, "", 302, ""},
		{"without Location, follow_redirects = false", "/nowhere", []any{"follow_redirects", false}, "", 302, ""},
		{"300 is an answer", "/redirect/300?to=/ok", nil, "", 300, ""},
		{"304 is an answer", "/redirect/304?to=/ok", nil, "", 304, ""},
		{"GET, 301 to another origin", "/redirect/301?to=OTHER", nil, "", 200, "GET   "},
		{"GET, 302 to another origin", "/redirect/302?to=OTHER", nil, "", 200, "GET   "},
		{"GET, 303 to another origin", "/redirect/303?to=OTHER", nil, "", 200, "GET   "},
		{"GET, 307 to another origin", "/redirect/307?to=OTHER", nil, "", 200, "GET   "},
		{"GET, 308 to another origin", "/redirect/308?to=OTHER", nil, "", 200, "GET   "},
		{"POST, 301 to another origin", "/redirect/301?to=OTHER", post, "", 200, "GET   "},
		{"POST, 302 to another origin", "/redirect/302?to=OTHER", post, "", 200, "GET   "},
		{"POST, 303 to another origin", "/redirect/303?to=OTHER", post, "", 200, "GET   "},
		{"POST, 307 to another origin", "/redirect/307?to=OTHER", post, "redirect", 0, ""},
		{"POST, 308 to another origin", "/redirect/308?to=OTHER", post, "redirect", 0, ""},
		{"PUT, 302 to another origin", "/redirect/302?to=OTHER", []any{"operation", "put", "body", value.MapOf("a", int64(1))}, "redirect", 0, ""},
		{"DELETE, 307 to another origin", "/redirect/307?to=OTHER", []any{"operation", "delete"}, "", 200, "DELETE   "},
		{"HEAD, 303 to another origin", "/redirect/303?to=OTHER", []any{"operation", "head"}, "", 200, "HEAD   "},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := other.Count("/end")
			out := once(t, apicall.Config{Egress: loopback}, plus(value.MapOf("url", u.URL+strings.Replace(row.path, "OTHER", other.URL+"/end", 1)), row.more...))
			class, arrives := "", ""
			if out.Err != nil {
				class = out.Err.Class
			}
			if got := other.Requests("/end"); len(got) > before {
				r := got[before]
				arrives = fmt.Sprintf("%s %s %s %s", r.Method, r.Body, r.Header.Get("Content-Type"), r.Key)
			}
			if class != row.class || out.Details.StatusCode != row.status || arrives != row.arrives {
				t.Errorf("got %+v, status %d, there arrived %q; want %q, %d, %q", out.Err, out.Details.StatusCode, arrives, row.class, row.status, row.arrives)
			}
		})
	}
}

// TestRows_TokenIsRenewedOnce: 401 is answered by one renewal and one replay,
// and that is no retry.
func TestRows_TokenIsRenewedOnce(t *testing.T) {
	const ok, no = "", "status"
	for _, row := range []struct {
		name     string
		refused  int // the status of a request without a good token
		then     testkit.Answer
		more     []any
		class    string
		requests int // at the API, beside the first good one
		tokens   int // in all
	}{
		{"401", 401, testkit.OK(`{}`), nil, ok, 2, 2},
		{"401 although nothing is retried", 401, testkit.OK(`{}`), []any{"retry_count", int64(0)}, ok, 2, 2},
		{"403 is no reason by default", 403, testkit.OK(`{}`), nil, no, 1, 1},
		{"403 in refresh_on_status", 403, testkit.OK(`{}`), []any{"refresh_on_status", statuses(403)}, ok, 2, 2},
		{"419 in refresh_on_status, beside 401", 419, testkit.OK(`{}`), []any{"refresh_on_status", statuses(401, 419)}, ok, 2, 2},
		{"401 when refresh_on_status is 403", 401, testkit.OK(`{}`), []any{"refresh_on_status", statuses(403)}, no, 1, 1},
		{"401 when refresh_on_status is empty", 401, testkit.OK(`{}`), []any{"refresh_on_status", statuses()}, no, 1, 1},
		{"the replay is refused too", 401, testkit.Status(401), nil, no, 2, 2},
		{"the replay is refused too, with retries", 401, testkit.Status(401), []any{"retry_count", int64(3)}, no, 2, 2},
		{"the replay fails otherwise", 401, testkit.Status(422), nil, no, 2, 2},
		{"the replay meets 503, which is retried", 401, testkit.First(2, testkit.Status(503), testkit.OK(`{}`)), []any{"retry_count", int64(1)}, ok, 3, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			u := testkit.NewUpstream(t)
			tokens := u.OAuth("/token", testkit.OAuthRules{ClientID: "id", ClientSecret: secret, Style: "header"})
			store := &tokenStore{kept: map[string]apicall.Token{}} // one token for all that follows
			cfg := apicall.Config{Credentials: oauthOf(u), Tokens: store}
			props := plus(value.MapOf("url", u.URL+"/api", "operation", "post", "body", value.MapOf("a", int64(1)),
				"idempotency_key", "k", "auth_type", "oauth2", "credential_id", "c"), row.more...)
			if out := once(t, cfg, plus(props, "url", u.URL+"/ok")); out.Err != nil {
				t.Fatal(out.Err)
			}
			tokens.Revoke()
			u.Handle("/api", tokens.Guard(row.refused, row.then))
			outs := tried(t, cfg, props)
			out, class := outs[len(outs)-1], ""
			if out.Err != nil {
				class = out.Err.Class
			}
			got := u.Requests("/api")
			if class != row.class || len(got) != row.requests || tokens.Issued() != row.tokens {
				t.Errorf("got %+v after %d requests and %d tokens, want %q, %d, %d", out.Err, len(got), tokens.Issued(), row.class, row.requests, row.tokens)
			}
			for _, r := range got {
				if string(r.Body) != `{"a":1}` || r.Key != "k" || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("another request was sent: %+v", r)
				}
			}
			if len(got) > 1 && got[0].Bearer() == got[1].Bearer() {
				t.Error("the replay carries the token that was refused")
			}
		})
	}
	for _, authType := range []string{"basic", "bearer", "api_key"} {
		t.Run("nothing to renew: "+authType, func(t *testing.T) {
			u := testkit.NewUpstream(t)
			creds := map[string]stored{
				"basic": credential("c", "basic_auth", "username", "u", "password", secret), "bearer": credential("c", "custom", "token", secret),
				"api_key": credential("c", "api_key", "api_key", secret),
			}[authType]
			outs := tried(t, apicall.Config{Credentials: creds}, value.MapOf("url", u.URL+"/status/401", "auth_type", authType, "credential_id", "c", "retry_count", int64(2)))
			if len(outs) != 1 || outs[0].Err == nil || u.Count("/status/401") != 1 {
				t.Errorf("%d attempts, %d requests: %+v", len(outs), u.Count("/status/401"), outs[0].Err)
			}
		})
	}
	t.Run("another origin's 401 is not ours", func(t *testing.T) {
		u, other := testkit.NewUpstream(t), testkit.NewUpstream(t)
		tokens := u.OAuth("/token", testkit.OAuthRules{})
		out := once(t, apicall.Config{Credentials: oauthOf(u), Egress: loopback},
			value.MapOf("url", u.URL+"/redirect/302?to="+other.URL+"/status/401", "auth_type", "oauth2", "credential_id", "c"))
		if out.Err == nil || tokens.Issued() != 1 || len(other.Requests()) != 1 {
			t.Errorf("got %+v, %d tokens, %d requests", out.Err, tokens.Issued(), len(other.Requests()))
		}
	})
}

// TestRows_TokenEndpoint: where the client says who it is, and with what grant.
func TestRows_TokenEndpoint(t *testing.T) {
	for _, row := range []struct {
		name  string
		rules testkit.OAuthRules
		creds []any
		class string
	}{
		{"header by default", testkit.OAuthRules{Style: "header"}, nil, ""},
		{"header", testkit.OAuthRules{Style: "header"}, []any{"auth_style", "header"}, ""},
		{"body", testkit.OAuthRules{Style: "body"}, []any{"auth_style", "body"}, ""},
		{"header where the body is wanted", testkit.OAuthRules{Style: "body"}, nil, "auth"},
		{"a secret that a form must encode", testkit.OAuthRules{ClientID: "a:b", ClientSecret: "p w&=%+ü", Style: "header"}, []any{"client_id", "a:b", "client_secret", "p w&=%+ü"}, ""},
		{"a secret that a form must encode, in the body", testkit.OAuthRules{ClientID: "a:b", ClientSecret: "p w&=%+ü", Style: "body"}, []any{"client_id", "a:b", "client_secret", "p w&=%+ü", "auth_style", "body"}, ""},
		{"a wrong secret", testkit.OAuthRules{ClientSecret: "another"}, nil, "auth"},
		{"refresh_token", testkit.OAuthRules{RefreshToken: "r0"}, []any{"refresh_token", "r0"}, ""},
		{"refresh_token, rotated", testkit.OAuthRules{RefreshToken: "r0", Rotate: true}, []any{"refresh_token", "r0"}, ""},
		{"a refresh token that was spent", testkit.OAuthRules{RefreshToken: "r1"}, []any{"refresh_token", "r0"}, "auth"},
	} {
		t.Run(row.name, func(t *testing.T) {
			u := testkit.NewUpstream(t)
			tokens := u.OAuth("/token", row.rules)
			u.Handle("/api", tokens.Guard(401, testkit.OK(`{}`)))
			cfg := apicall.Config{Credentials: oauthOf(u, row.creds...), Tokens: &tokenStore{kept: map[string]apicall.Token{}}}
			props := value.MapOf("url", u.URL+"/api", "auth_type", "oauth2", "credential_id", "c", "retry_count", int64(1))
			for range 2 { // the second time the first token is worthless, and its refresh token too if they rotate
				outs := tried(t, cfg, props)
				class := ""
				if err := outs[0].Err; err != nil {
					class = err.Class
				}
				if class != row.class || len(outs) != 1 {
					t.Errorf("got %+v in %d attempts, want %q", outs[0].Err, len(outs), row.class)
				}
				tokens.Revoke()
			}
		})
	}
}

// TestRows_Success: which status is one.
func TestRows_Success(t *testing.T) {
	u := testkit.NewUpstream(t)
	expect := func(v any) []any { return []any{"response_validation", value.MapOf("expected_status_code", v)} }
	for _, row := range []struct {
		name    string
		status  int
		more    []any
		message string // "": a success
	}{
		{"200", 200, nil, ""}, {"201", 201, nil, ""}, {"202", 202, nil, ""}, {"204", 204, nil, ""}, {"206", 206, nil, ""}, {"299", 299, nil, ""},
		{"304", 304, nil, ""}, {"399", 399, nil, ""},
		{"400", 400, nil, "400 Bad Request"}, {"404", 404, nil, "404 Not Found"}, {"499", 499, nil, "499"},
		{"500", 500, nil, "500 Internal Server Error"}, {"599", 599, nil, "599"}, {"600", 600, nil, "600"},
		{"expected_status_code", 200, expect(int64(200)), ""},
		{"expected_status_code, exactly that", 201, expect(int64(200)), "201 Created, expected 200"},
		{"expected_status_code list, first", 200, expect(statuses(200, 404)), ""},
		{"expected_status_code list, last", 404, expect(statuses(200, 404)), ""},
		{"expected_status_code list, none", 202, expect(statuses(200, 404)), "202 Accepted, expected 200 or 404"},
		{"expected_status_code of a failure", 503, expect(int64(503)), ""},
		{"expected_status_code, empty list", 202, expect(statuses()), ""},
		{"response_handling = ignore", 500, []any{"response_handling", "ignore"}, "500 Internal Server Error"},
	} {
		t.Run(row.name, func(t *testing.T) {
			out := once(t, apicall.Config{}, plus(value.MapOf("url", u.URL+"/status/"+strconv.Itoa(row.status)), row.more...))
			message := ""
			if out.Err != nil {
				message = out.Err.Message
			}
			if message != row.message || out.Details.StatusCode != row.status {
				t.Errorf("got %q, status %d; want %q", message, out.Details.StatusCode, row.message)
			}
		})
	}
	t.Run("an unexpected success is not retried", func(t *testing.T) {
		if outs := tried(t, apicall.Config{}, plus(value.MapOf("url", u.URL+"/status/200", "retry_count", int64(2)), expect(int64(201))...)); len(outs) != 1 {
			t.Errorf("%d attempts", len(outs))
		}
	})
}

// TestRows_RepeatedDelete: a DELETE that is sent again after a crash, and finds
// nothing, has done its work.
func TestRows_RepeatedDelete(t *testing.T) {
	u := testkit.NewUpstream(t)
	for _, row := range []struct {
		name, op string
		status   int64
		again    bool
		success  bool
	}{
		{"404 of a repeated DELETE", "delete", 404, true, true}, {"410 of a repeated DELETE", "delete", 410, true, true},
		{"404 of a first DELETE", "delete", 404, false, false}, {"403 of a repeated DELETE", "delete", 403, true, false},
		{"404 of a repeated GET", "get", 404, true, false}, {"404 of a repeated PUT", "put", 404, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			out := once(t, apicall.Config{}, value.MapOf("url", fmt.Sprintf("%s/status/%d", u.URL, row.status), "operation", row.op),
				func(in *engine.TaskInput) { in.Again = row.again })
			if (out.Err == nil) != row.success || out.Err == nil && !out.Details.Repeated {
				t.Errorf("got %+v, repeated %v", out.Err, out.Details.Repeated)
			}
		})
	}
}

// TestRows_IdempotencyKey: what is sent, and what it depends on.
func TestRows_IdempotencyKey(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/x", testkit.Status(503))
	keys := func(t *testing.T, key any, change ...func(*engine.TaskInput)) []string {
		before := u.Count("/x")
		tried(t, apicall.Config{}, value.MapOf("url", u.URL+"/x", "operation", "post", "retry_count", int64(2), "idempotency_key", key), change...)
		var out []string
		for _, r := range u.Requests("/x")[before:] {
			out = append(out, r.Key)
		}
		return out
	}
	t.Run("false", func(t *testing.T) {
		if got := keys(t, false); len(got) != 3 || strings.Join(got, "") != "" {
			t.Errorf("got %q", got)
		}
	})
	first := keys(t, true)
	t.Run("true: 26 characters, the same in all attempts", func(t *testing.T) {
		if len(first) != 3 || len(first[0]) != 26 || first[1] != first[0] || first[2] != first[0] {
			t.Errorf("got %q", first)
		}
	})
	for name, change := range map[string]func(*engine.TaskInput){
		"another run":          func(in *engine.TaskInput) { in.Key.Run = "01M84BFBV1N8Q6D2T4XW9B7C5F" },
		"another task":         func(in *engine.TaskInput) { in.Key.Task = "t2" },
		"another item":         func(in *engine.TaskInput) { in.Key.Item = 1 },
		"another installation": func(in *engine.TaskInput) { in.Installation = "j" },
	} {
		t.Run("true: differs with "+name, func(t *testing.T) {
			if got := keys(t, true, change); got[0] == first[0] || len(got[0]) != 26 {
				t.Errorf("got %q", got)
			}
		})
	}
	for name, change := range map[string]func(*engine.TaskInput){
		"another dispatch": func(in *engine.TaskInput) { in.Key.Dispatch, in.Again = 3, true }, "another generation": func(in *engine.TaskInput) { in.Key.Generation = 2 },
	} {
		t.Run("true: the same with "+name, func(t *testing.T) {
			if got := keys(t, true, change); got[0] != first[0] {
				t.Errorf("got %q, want %q", got, first)
			}
		})
	}
	t.Run("a template", func(t *testing.T) {
		if got := keys(t, "order-{{ node_id }}"); got[0] != "order-t" || got[2] != got[0] {
			t.Errorf("got %q", got)
		}
	})
}

// TestRows_Body: the exact bytes, beyond those of TestRequest_IsBuiltFromRenderedValues.
func TestRows_Body(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/x", testkit.OK(`{}`))
	list := []any{int64(1), "b", nil, true, 1.5}
	for _, row := range []struct {
		name, format string
		body         any
		headers      *value.Map
		want, kind   string
	}{
		{"json list", "json", list, nil, `[1,"b",null,true,1.5]`, "application/json"},
		{"json null in a table", "json", value.MapOf("a", nil), nil, `{"a":null}`, "application/json"},
		{"json empty table", "json", value.MapOf(), nil, `{}`, "application/json"},
		{"json characters that HTML would escape", "json", value.MapOf("a", "<&>\u2028ü\n\"\\"), nil, "{\"a\":\"<&>\u2028ü\\n\\\"\\\\\"}", "application/json"},
		{"json flag", "json", true, nil, `true`, "application/json"},
		{"json text, as it is", "json", "{\"b\" : 1,\n \"a\": [ ]}", nil, "{\"b\" : 1,\n \"a\": [ ]}", "application/json"},
		{"json with a type of its own", "json", value.MapOf("a", int64(1)), value.MapOf("content-type", "application/vnd.api+json"), `{"a":1}`, "application/vnd.api+json"},
		{"form null is left out", "form", value.MapOf("a", nil, "b", "", "c", false), nil, "b=&c=false", "application/x-www-form-urlencoded"},
		{"form list repeats", "form", value.MapOf("a", list), nil, "a=1&a=b&a=true&a=1.5", "application/x-www-form-urlencoded"},
		{"form is encoded", "form", value.MapOf("a&b", "c=d+e ü"), nil, "a%26b=c%3Dd%2Be+%C3%BC", "application/x-www-form-urlencoded"},
		{"form empty", "form", value.MapOf(), nil, "", "application/x-www-form-urlencoded"},
		{"raw", "raw", "a\r\n\x00ü{}", nil, "a\r\n\x00ü{}", "text/plain; charset=utf-8"},
		{"raw with a type of its own", "raw", "a,b\n", value.MapOf("Content-Type", "text/csv"), "a,b\n", "text/csv"},
		{"xml text, as it is", "xml", "<a  b='1'/>", nil, "<a  b='1'/>", "application/xml"},
		{"xml with a type of its own", "xml", "<a/>", value.MapOf("CONTENT-TYPE", "application/soap+xml"), "<a/>", "application/soap+xml"},
	} {
		for _, op := range []string{"post", "put", "patch", "delete"} {
			t.Run(row.name+"/"+op, func(t *testing.T) {
				props := value.MapOf("url", u.URL+"/x", "operation", op, "body_format", row.format, "body", row.body)
				if row.headers != nil {
					props.Set("headers", row.headers)
				}
				before := u.Count("/x")
				out := once(t, apicall.Config{}, props)
				if out.Err != nil {
					t.Fatal(out.Err)
				}
				r := u.Requests("/x")[before]
				if string(r.Body) != row.want || r.Header.Get("Content-Type") != row.kind || len(r.Header.Values("Content-Type")) != 1 {
					t.Errorf("sent %q as %q, want %q as %q", r.Body, r.Header.Values("Content-Type"), row.want, row.kind)
				}
				if n := r.Header.Get("Content-Length"); n != strconv.Itoa(len(row.want)) && !(op == "delete" && row.want == "") {
					t.Errorf("Content-Length %q for %d bytes", n, len(row.want))
				}
			})
		}
	}
}

// TestRows_Params: the exact query.
func TestRows_Params(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/", testkit.OK(`{}`))
	for _, row := range []struct {
		name, url string
		params    *value.Map
		want      string
	}{
		{"list repeats the key", "/x", value.MapOf("a", []any{int64(1), "b", false}), "/x?a=1&a=b&a=false"},
		{"null leaves the key out", "/x", value.MapOf("a", nil, "b", int64(2)), "/x?b=2"},
		{"null in a list is left out", "/x", value.MapOf("a", []any{nil, int64(1)}), "/x?a=1"},
		{"nothing but nulls", "/x", value.MapOf("a", nil), "/x"},
		{"empty list", "/x", value.MapOf("a", []any{}), "/x"},
		{"empty text keeps the key", "/x", value.MapOf("a", ""), "/x?a="},
		{"order is kept", "/x", value.MapOf("z", int64(1), "a", int64(2)), "/x?z=1&a=2"},
		{"merged with a query in url", "/x?a=1&b=%20", value.MapOf("c", int64(3)), "/x?a=1&b=%20&c=3"},
		{"merged with the same key in url", "/x?a=1", value.MapOf("a", int64(2)), "/x?a=1&a=2"},
		{"merged with an empty query in url", "/x?", value.MapOf("a", int64(2)), "/x?a=2"},
		{"keys and values are encoded", "/x", value.MapOf("a&b", "c=d&e#f+g ü/?"), "/x?a%26b=c%3Dd%26e%23f%2Bg+%C3%BC%2F%3F"},
		{"numbers", "/x", value.MapOf("i", int64(-7), "f", 1.5, "t", true), "/x?i=-7&f=1.5&t=true"},
		{"a template keeps its list", "/x", value.MapOf("a", "{{ [1, 2] }}"), "/x?a=1&a=2"},
		{"a template in text", "/x", value.MapOf("a", "n {{ node_id }}&b=1"), "/x?a=n+t%26b%3D1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := len(u.Requests())
			if out := once(t, apicall.Config{}, value.MapOf("url", u.URL+row.url, "params", row.params)); out.Err != nil {
				t.Fatal(out.Err)
			}
			if got := u.Requests()[before].URI; got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

// TestRows_TLS: authorities, names, dates and client certificates. None of it
// is retried.
func TestRows_TLS(t *testing.T) {
	plain, needs := testkit.NewTLSUpstream(t, testkit.TLS{}), testkit.NewTLSUpstream(t, testkit.TLS{NeedClient: true})
	old, named := testkit.NewTLSUpstream(t, testkit.TLS{Expired: true}), testkit.NewTLSUpstream(t, testkit.TLS{Name: "other.example"})
	for _, row := range []struct {
		name    string
		u       *testkit.Upstream
		more    []any
		classes []string // none: a success
	}{
		{"an authority that is not known", plain, nil, []string{"tls"}},
		{"ca_file", plain, []any{"ca_file", plain.CAFile}, nil},
		{"ca_file of another authority", plain, []any{"ca_file", needs.CAFile}, []string{"tls"}},
		{"verify_tls = false", plain, []any{"verify_tls", false}, nil},
		{"an expired certificate", old, []any{"ca_file", old.CAFile}, []string{"tls"}},
		{"an expired certificate, verify_tls = false", old, []any{"verify_tls", false}, nil},
		{"a certificate for another name", named, []any{"ca_file", named.CAFile}, []string{"tls"}},
		{"client_cert and client_key", needs, []any{"ca_file", needs.CAFile, "client_cert", needs.ClientCert, "client_key", needs.ClientKey}, nil},
		// In TLS 1.3 the refusal follows the handshake, and may be overtaken by
		// the end of the connection.
		{"no client certificate", needs, []any{"ca_file", needs.CAFile}, []string{"tls", "closed"}},
		{"a client certificate of another authority", needs, []any{"ca_file", needs.CAFile, "client_cert", plain.ClientCert, "client_key", plain.ClientKey}, []string{"tls", "closed"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := row.u.Count("/ok")
			out := once(t, apicall.Config{}, plus(value.MapOf("url", row.u.URL+"/ok"), row.more...))
			arrived := row.u.Requests("/ok")[before:]
			switch {
			case row.classes == nil && (out.Err != nil || len(arrived) != 1):
				t.Errorf("got %+v, %d requests", out.Err, len(arrived))
			case row.classes != nil && (out.Err == nil || !slices.Contains(row.classes, out.Err.Class) || len(arrived) != 0):
				t.Errorf("got %+v, %d requests; want %v", out.Err, len(arrived), row.classes)
			case out.Err != nil && out.Err.Class == "tls" && out.Err.Retryable:
				t.Errorf("is retried: %+v", out.Err)
			case row.u == needs && row.classes == nil && arrived[0].ClientName != "client":
				t.Errorf("the client certificate was of %q", arrived[0].ClientName)
			}
		})
	}
}

// TestRows_MaxResponseBytes: the cap counts what the body becomes.
func TestRows_MaxResponseBytes(t *testing.T) {
	u := testkit.NewUpstream(t)
	for _, row := range []struct {
		name   string
		answer testkit.Answer
		class  string
	}{
		{"less", testkit.Reply(200, strings.Repeat("x", 999)), ""},
		{"as many", testkit.Reply(200, strings.Repeat("x", 1000)), ""},
		{"one more", testkit.Reply(200, strings.Repeat("x", 1001)), "too_large"},
		{"few on the wire and more when decoded", testkit.Bomb(1001), "too_large"},
		{"as many when decoded", testkit.Bomb(1000), ""},
		{"an answer that says no, and too much", testkit.Reply(404, strings.Repeat("x", 5000)), "status"},
	} {
		t.Run(row.name, func(t *testing.T) {
			u.Handle("/x", row.answer)
			outs := tried(t, apicall.Config{}, value.MapOf("url", u.URL+"/x", "max_response_bytes", int64(1000), "retry_count", int64(2)))
			out, class := outs[0], ""
			if out.Err != nil {
				class = out.Err.Class
			}
			if class != row.class || len(outs) != 1 || class == "too_large" && !strings.Contains(out.Err.Message, "max_response_bytes (1000)") {
				t.Errorf("got %+v in %d attempts", out.Err, len(outs))
			}
		})
	}
}

// TestRows_BreakerCounts: what is a failure of the host, what a success, and
// what neither.
func TestRows_BreakerCounts(t *testing.T) {
	const failure, success, neither = "failure", "success", "neither"
	u, stranger := testkit.NewUpstream(t), testkit.NewTLSUpstream(t, testkit.TLS{})
	rows := []struct {
		name, url, want string
		more            []any
	}{
		{"no answer", u.URL + "/drop", failure, nil},
		{"half an answer", u.URL + "/half", failure, nil},
		{"no connection", "http://127.0.0.1:1/", failure, nil},
		{"timeout", u.URL + "/silent", failure, []any{"timeout", "20ms"}},
		{"TLS failure", stranger.URL + "/ok", failure, nil},
		{"failed validation", u.URL + "/ok", success, []any{"response_validation", value.MapOf("required_fields", []any{"id"})}},
		{"a status that is not expected", u.URL + "/ok", success, []any{"response_validation", value.MapOf("expected_status_code", int64(201))}},
		{"too large", u.URL + "/bomb", success, []any{"max_response_bytes", int64(10)}},
		{"429", u.URL + "/status/429", neither, []any{"retry_delay", int64(0)}},
		{"egress refused", "http://169.254.169.254/", neither, nil},
	}
	for _, status := range []int{500, 502, 503, 504} {
		rows = append(rows, rows[0])
		r := &rows[len(rows)-1]
		r.name, r.url = strconv.Itoa(status), u.URL+"/status/"+strconv.Itoa(status)
	}
	for _, status := range []int{200, 204, 304, 400, 401, 403, 404, 408, 409, 422, 501, 505} {
		rows = append(rows, rows[0])
		r := &rows[len(rows)-1]
		r.name, r.url, r.want = strconv.Itoa(status), u.URL+"/status/"+strconv.Itoa(status), success
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := apicall.NewBreakers(apicall.BreakerConfig{Failures: 2})
			run := func(url string, more ...any) {
				once(t, apicall.Config{Breakers: b}, plus(value.MapOf(more...), "url", url, "breaker", "b"))
			}
			// After one failure, another one opens the breaker; a success makes
			// it forget the first; anything else does neither.
			run(u.URL + "/drop")
			run(row.url, row.more...)
			got := failure
			if b.List()[0].State == apicall.BreakerClosed {
				run(u.URL + "/drop")
				got = success
				if b.List()[0].State == apicall.BreakerOpen {
					got = neither
				}
			}
			if got != row.want {
				t.Errorf("it counts as %s, want %s", got, row.want)
			}
		})
	}
}

// TestRows_Egress: a host that data made reaches what is allowed and no more,
// not even over a connection that was opened for another.
func TestRows_Egress(t *testing.T) {
	u := testkit.NewUpstream(t)
	host := strings.TrimPrefix(u.URL, "http://")
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, url string
		allow     []string
		more      []any
		want      string // a part of the message; "": a success
	}{
		{"literal", u.URL + "/ok", nil, nil, ""},
		{"default of a variable", "http://{{ fixed }}/ok", nil, nil, ""},
		{"variable of a trigger", "http://{{ given }}/ok", nil, nil, "loopback, and the host comes from data"},
		{"value of a task", "http://{{ xcom_up }}/ok", nil, nil, "loopback, and the host comes from data"},
		{"computed from data", "http://127.0.0.{{ 1 if xcom_up else 2 }}:" + port + "/ok", nil, nil, "loopback, and the host comes from data"},
		{"a path from data", u.URL + "/{{ xcom_word }}", nil, nil, ""},
		{"data, allowed by network", "http://{{ xcom_up }}/ok", []string{"127.0.0.0/8"}, nil, ""},
		{"data, allowed by address", "http://{{ xcom_up }}/ok", []string{"127.0.0.1"}, nil, ""},
		{"data, allowed by address and port", "http://{{ xcom_up }}/ok", []string{host}, nil, ""},
		{"data, another port is allowed", "http://{{ xcom_up }}/ok", []string{"127.0.0.1:1"}, nil, "is not allowed"},
		{"redirect to another host", u.URL + "/redirect/302?to=http://localhost:" + port + "/ok", nil, nil, "is not allowed"},
		{"link-local, literal", "http://169.254.169.254/", nil, nil, "link-local"},
		{"link-local, network allowed", "http://169.254.169.254/", []string{"169.254.0.0/16"}, nil, "link-local"},
		{"link-local in IPv6", "http://[fe80::1%25lo]/", nil, nil, "link-local"},
		{"link-local, mapped", "http://[::ffff:169.254.169.254]/", nil, nil, "link-local"},
		{"metadata in IPv6", "http://[fd00:ec2::254]/", nil, nil, "cloud metadata"},
		{"data through a proxy", "http://{{ xcom_up }}/ok", nil, []any{"proxy", u.URL}, "loopback, and the host comes from data"},
		{"private from data", "http://{{ xcom_private }}/", nil, nil, "private, and the host comes from data"},
	} {
		t.Run(row.name, func(t *testing.T) {
			kind, err := apicall.New(apicall.Config{Egress: apicall.Egress{Allow: row.allow}})
			if err != nil {
				t.Fatal(err)
			}
			defer kind.Close()
			flow := &engine.Flow{ID: "f", Variables: value.MapOf("fixed", host, "given", "api.example.com"), Tasks: []engine.Task{
				{ID: "warm", Type: apicall.Name, Properties: value.MapOf("url", u.URL+"/ok")},
				{ID: "t", Type: apicall.Name, Properties: plus(value.MapOf("url", row.url, "retry_count", int64(1)), row.more...)},
			}}
			var out engine.TaskOutput
			for i := range flow.Tasks { // the first leaves a connection open
				prog, problems := kind.Prepare(flow, &flow.Tasks[i])
				if engine.Refused(problems) != nil {
					t.Fatal(problems)
				}
				out = prog.Execute(t.Context(), engine.NewTaskInput(flow, &flow.Tasks[i], value.MapOf("given", host),
					map[engine.TaskID]any{"up": host, "word": "ok", "private": "10.1.2.3"}))
			}
			switch {
			case row.want == "" && out.Err != nil:
				t.Errorf("got %+v", out.Err)
			case row.want != "" && (out.Err == nil || out.Err.Class != "egress" || out.Err.Retryable || !strings.Contains(out.Err.Message, row.want)):
				t.Errorf("got %+v, want %s", out.Err, row.want)
			}
		})
	}
}

// TestRows_ThroughTheEngine runs tasks on an engine and holds what the upstream
// saw against what the engine recorded.
func TestRows_ThroughTheEngine(t *testing.T) {
	u := testkit.NewUpstream(t)
	effects := &testkit.Effects{}
	u.Handle("/keyed", effects.Once(testkit.First(2, testkit.Drop(), testkit.OK(`{}`))))
	u.Handle("/once", testkit.Status(500))
	u.Handle("/asked", testkit.First(1, testkit.RetryAfter(503, time.Second), testkit.OK(`{}`)))
	rec := &testkit.Recorder{}
	kind, err := apicall.New(apicall.Config{Slots: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	n := testkit.StartNode(t, testkit.NodeConfig{Slots: 4, Types: []engine.TaskType{kind}, Change: func(c *runtime.Config) {
		c.Projections = append(c.Projections, rec)
	}})
	planned := map[string]testkit.Planned{}
	flow := &engine.Flow{ID: "f", Timeout: time.Minute}
	add := func(id, path string, retries int64, after []string, more ...any) {
		task := engine.Task{ID: engine.TaskID(id), Type: apicall.Name, Properties: plus(value.MapOf("url", u.URL+path, "retry_count", retries,
			"retry_delay", "20ms", "headers", value.MapOf("X-Run", "{{ run_id }}", "X-Task", "{{ node_id }}", "X-Attempt", "{{ attempt }}")), more...)}
		for _, a := range after {
			task.Dependencies = append(task.Dependencies, engine.TaskID(a))
		}
		flow.Tasks = append(flow.Tasks, task)
		planned[id] = testkit.Planned{Task: id, After: after, Retries: int(retries)}
	}
	add("flaky", "/flaky/2/503", 3, nil)
	add("keyed", "/keyed", 3, []string{"flaky"}, "operation", "post", "idempotency_key", true)
	add("posted", "/flaky/1/500", 1, nil, "operation", "post")
	add("asked", "/asked", 1, nil)
	add("once", "/once", 0, nil, "operation", "post")
	add("late", "/slow/10ms", 0, []string{"posted", "asked"})
	add("never", "/ok", 0, []string{"once"})
	if wrong := engine.Refused(engine.Compile(flow, map[string]engine.TaskType{apicall.Name: kind}).Problems); wrong != nil {
		t.Fatal(wrong)
	}
	if _, err := n.Engine.PutFlow(t.Context(), flow); err != nil {
		t.Fatal(err)
	}
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "f"})
	if err != nil {
		t.Fatal(err)
	}
	if doc = rec.End(t, doc.RunID); doc.Status != engine.Failed {
		t.Fatalf("run: %+v", doc)
	}
	n.Stop(t) // and with it all that is still to be projected
	h := testkit.History{Requests: u.Requests()}
	for _, p := range planned {
		p.Run = string(doc.RunID)
		h.Tasks = append(h.Tasks, p)
	}
	for _, c := range rec.Changes() {
		if c.Kind == engine.AttemptDone && !c.Superseded {
			h.Log = append(h.Log, logged(t, c.Attempt))
		}
	}
	for _, v := range h.Check() {
		t.Error(v)
	}
	calls := map[string]int{}
	for _, r := range h.Requests {
		calls[r.Task]++
	}
	want := map[string]int{"flaky": 3, "keyed": 3, "posted": 2, "asked": 2, "once": 1, "late": 1}
	if !maps.Equal(calls, want) || effects.Total() != 1 || len(h.Log) != 12 {
		t.Errorf("calls %v, want %v; %d effects, %d records", calls, want, effects.Total(), len(h.Log))
	}
}

// logged is a record as the checker of histories wants it.
func logged(t *testing.T, rec *engine.AttemptRecord) testkit.Logged {
	t.Helper()
	var d engine.Details
	if err := json.Unmarshal(rec.Details, &d); err != nil {
		t.Fatal(err)
	}
	return testkit.Logged{
		Run: string(rec.Run), Task: string(rec.Task), Attempt: rec.Attempt, Outcome: string(rec.Outcome), Unknown: d.Repeated, Key: d.IdempotencyKey,
		Method: d.Method, Class: rec.Class, Status: rec.Status, NotBefore: rec.NotBefore.Time(), At: rec.End.Time(),
	}
}
