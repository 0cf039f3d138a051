package apicall

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

// The tests of this file are about faults that other products of this kind
// have had. Each has a name that says what must not happen.

// theCredential is a store that holds one credential, called c.
type theCredential struct{ engine.Credential }

func (c theCredential) Get(context.Context, string) (engine.Credential, error) {
	return c.Credential, nil
}

func credentialOf(kind string, pairs ...any) theCredential {
	return theCredential{engine.Credential{ID: "c", Type: kind, Data: value.MapOf(pairs...)}}
}

func oauthCredential(u *testkit.Upstream) theCredential {
	return credentialOf("oauth", "client_id", "id", "client_secret", "secret", "token_url", u.URL+"/token")
}

// taskOf prepares a task of a type.
func taskOf(t *testing.T, kind *TaskType, pairs ...any) *program {
	t.Helper()
	flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: Name, Properties: value.MapOf(pairs...)}}}
	prog, problems := kind.Prepare(flow, &flow.Tasks[0])
	if engine.Refused(problems) != nil {
		t.Fatal(problems)
	}
	return prog.(*program)
}

func kindOf(t *testing.T, cfg Config) *TaskType {
	t.Helper()
	kind, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	return kind
}

// attemptOf makes one attempt.
func attemptOf(t *testing.T, prog *program, change ...func(*engine.TaskInput)) engine.TaskOutput {
	in := engine.NewTaskInput(&engine.Flow{ID: "f"}, &engine.Task{ID: "t"}, nil, nil)
	in.Key.Run = "01M84BFBV1N8Q6D2T4XW9B7C5E"
	for _, c := range change {
		c(in)
	}
	return prog.Execute(t.Context(), in)
}

func TestSeen_BearerIsNotSentAsBasic(t *testing.T) {
	u := testkit.NewUpstream(t)
	for _, token := range []string{"plain", "name:password", "bmFtZTpwYXNzd29yZA=="} { // also one that looks like the other kind
		prog := taskOf(t, kindOf(t, Config{Credentials: credentialOf("custom", "token", token)}), "url", u.URL+"/ok", "auth_type", "bearer", "credential_id", "c")
		out := attemptOf(t, prog)
		got := u.Requests("/ok")
		if sent := got[len(got)-1].Header.Get("Authorization"); out.Err != nil || sent != "Bearer "+token {
			t.Errorf("%v, sent %q for the token %q", out.Err, sent, token)
		}
	}
}

func TestSeen_TwoTasksAtOnceFetchOneToken(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/token", testkit.Slow(50*time.Millisecond, testkit.OK(`{"access_token":"a1","token_type":"bearer","expires_in":3600}`)))
	kind := kindOf(t, Config{Credentials: oauthCredential(u)})
	var all sync.WaitGroup
	for _, path := range []string{"/ok", "/status/201"} {
		prog := taskOf(t, kind, "url", u.URL+path, "auth_type", "oauth2", "credential_id", "c")
		all.Go(func() {
			if out := attemptOf(t, prog); out.Err != nil {
				t.Error(out.Err)
			}
		})
	}
	all.Wait()
	got := u.Requests("/ok", "/status/201")
	if n := u.Count("/token"); n != 1 || len(got) != 2 || got[0].Bearer() != "a1" || got[1].Bearer() != "a1" {
		t.Errorf("%d tokens were fetched for %d requests", n, len(got))
	}
}

// Some servers say "expired" with 403, or even with 200. The first is renewed
// if the flow says so; the second is an answer like any other.
func TestSeen_ExpiredTokenIsRenewedWhateverStatusTheServerUses(t *testing.T) {
	const said = `{"error":"token expired"}`
	u := testkit.NewUpstream(t)
	tokens := u.OAuth("/token", testkit.OAuthRules{})
	u.Handle("/200", testkit.OK(said))
	kind := kindOf(t, Config{Credentials: oauthCredential(u)})
	with := func(path string) engine.TaskOutput {
		return attemptOf(t, taskOf(t, kind, "url", u.URL+path, "auth_type", "oauth2", "credential_id", "c", "refresh_on_status", []any{int64(401), int64(403)}))
	}
	with("/ok")
	tokens.Revoke()
	u.Handle("/403", tokens.Guard(403, testkit.OK(`{"id":7}`)))
	if out := with("/403"); out.Err != nil || string(out.Value) != `{"id":7}` || tokens.Issued() != 2 || u.Count("/403") != 2 {
		t.Errorf("403: %+v %s, %d tokens, %d requests", out.Err, out.Value, tokens.Issued(), u.Count("/403"))
	}
	if out := with("/200"); out.Err != nil || string(out.Value) != said || tokens.Issued() != 2 || u.Count("/200") != 1 {
		t.Errorf("200: %+v %s, %d tokens, %d requests", out.Err, out.Value, tokens.Issued(), u.Count("/200"))
	}
}

func TestSeen_BadRequestIsNotRetried(t *testing.T) {
	u := testkit.NewUpstream(t)
	for _, op := range operations {
		out := attemptOf(t, taskOf(t, kindOf(t, Config{}), "url", u.URL+"/status/400", "operation", op, "idempotency_key", true, "retry_count", int64(5)))
		if out.Err == nil || out.Err.Retryable || out.Details.NotRetried != "400 is not retried" {
			t.Errorf("%s: %+v, %q", op, out.Err, out.Details.NotRetried)
		}
	}
}

func TestSeen_ReadTimeoutIsRetried(t *testing.T) {
	u := testkit.NewUpstream(t)
	for _, path := range []string{"/silent", "/drip/10ms"} { // no answer, and one that does not end
		prog := taskOf(t, kindOf(t, Config{}), "url", u.URL+path, "timeout", "50ms", "retry_count", int64(1))
		out := attemptOf(t, prog)
		if out.Err == nil || out.Err.Class != "timeout" || !out.Err.Retryable || out.Details.RetryReason != "timeout" {
			t.Errorf("%s: %+v, reason %q", path, out.Err, out.Details.RetryReason)
		}
		if _, more := prog.Needs().Retry.Next(1, 0); !more {
			t.Errorf("%s: no attempt is left", path)
		}
	}
}

func TestSeen_BackoffGrowsByItsFactor(t *testing.T) {
	delays := func(random float64, pairs ...any) (out []time.Duration) {
		prog := taskOf(t, kindOf(t, Config{}), append([]any{"url", "https://api.example.com", "retry_count", int64(6)}, pairs...)...)
		for n := 1; ; n++ {
			d, more := prog.Needs().Retry.Next(n, random)
			if !more {
				return out
			}
			out = append(out, d)
		}
	}
	const s = time.Second
	for _, c := range []struct {
		name   string
		random float64
		pairs  []any
		want   []time.Duration
	}{
		{"factor 2", 0, []any{"retry_backoff", 2.0, "retry_jitter", "none"}, []time.Duration{1 * s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s}},
		{"factor 3", 0, []any{"retry_backoff", int64(3), "retry_delay", "2s", "retry_jitter", "none"}, []time.Duration{2 * s, 6 * s, 18 * s, 54 * s, 162 * s, 300 * s}},
		{"factor 2, at most 10 s", 0, []any{"retry_backoff", 2.0, "retry_jitter", "none", "retry_max_delay", int64(10)}, []time.Duration{1 * s, 2 * s, 4 * s, 8 * s, 10 * s, 10 * s}},
		{"factor 2, the least that jitter draws", 0, []any{"retry_backoff", 2.0}, []time.Duration{s / 2, 1 * s, 2 * s, 4 * s, 8 * s, 16 * s}},
		{"factor 2, in the middle", 0.5, []any{"retry_backoff", 2.0}, []time.Duration{3 * s / 4, 3 * s / 2, 3 * s, 6 * s, 12 * s, 24 * s}},
		{"factor 1 is fixed", 0.5, nil, []time.Duration{s, s, s, s, s, s}},
	} {
		if got := delays(c.random, c.pairs...); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// A call may take as long as the flow says: nothing below it has a shorter
// limit, once the connection stands.
func TestSeen_LongTimeoutIsNotCutByAnotherLimit(t *testing.T) {
	u := testkit.NewUpstream(t)
	for _, timeout := range []any{int64(600), "10m"} {
		prog := taskOf(t, kindOf(t, Config{}), "url", u.URL+"/ok", "timeout", timeout)
		var left time.Duration
		out := attemptOf(t, prog, func(in *engine.TaskInput) {
			in.OnSending(func(ctx context.Context, _ func() engine.Details) error {
				end, _ := ctx.Deadline()
				left = time.Until(end)
				return nil
			})
		})
		if out.Err != nil || left < 9*time.Minute || left > 10*time.Minute || out.Details.TimeoutMS != 600_000 {
			t.Errorf("timeout %v: %+v, %s are left when the request is sent", timeout, out.Err, left)
		}
		for _, tr := range []*http.Transport{prog.client.trusted, prog.client.guarded} {
			if tr.ResponseHeaderTimeout != 0 {
				t.Errorf("the transport ends a call after %s", tr.ResponseHeaderTimeout)
			}
			if tr.TLSHandshakeTimeout != DefaultConnectTimeout || prog.props.connectTimeout != DefaultConnectTimeout {
				t.Errorf("a connection may take %s and its handshake %s", prog.props.connectTimeout, tr.TLSHandshakeTimeout)
			}
		}
	}
}

func TestSeen_StatusAndBodyOfAFailureAreKept(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/whole", testkit.Reply(502, `{"error":"no stock"}`, "Content-Type", "application/json", "X-Request-Id", "r7"))
	u.Handle("/half", testkit.Half(502))
	u.Handle("/stalled", testkit.Stall(502))
	u.Handle("/page", testkit.Reply(502, "<h1>Bad Gateway</h1>", "Content-Type", "text/html"))
	for path, body := range map[string]string{"/whole": `{"error":"no stock"}`, "/half": `{"half":`, "/stalled": "", "/page": "<h1>Bad Gateway</h1>"} {
		out := attemptOf(t, taskOf(t, kindOf(t, Config{}), "url", u.URL+path, "timeout", "1s", "retry_count", int64(1)))
		d := out.Details
		if out.Err == nil || out.Err.Class != "status" || out.Err.Message != "502 Bad Gateway" || !out.Err.Retryable || d.StatusCode != 502 || d.ResponseExcerpt != body {
			t.Errorf("%s: %+v, status %d, body %q", path, out.Err, d.StatusCode, d.ResponseExcerpt)
		}
		if path == "/whole" && d.ResponseHeaders["x-request-id"] != "r7" {
			t.Errorf("the headers are lost: %v", d.ResponseHeaders)
		}
	}
}

func TestSeen_ProxySettingIsNoHeader(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/x", testkit.OK(`{}`))
	cfg := Config{Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("only the proxy knows") }}
	for _, c := range []struct {
		url, proxy, uri string
		headers         []string
	}{
		{u.URL + "/x", "", "/x", []string{"Accept-Encoding", "User-Agent", "X-Own"}},
		{"http://api.example.com/x", u.URL, "http://api.example.com/x", []string{"Accept-Encoding", "User-Agent", "X-Own"}},
		{"http://api.example.com/x", strings.Replace(u.URL, "//", "//user:pw@", 1), "http://api.example.com/x", []string{"Accept-Encoding", "Proxy-Authorization", "User-Agent", "X-Own"}},
	} {
		out := attemptOf(t, taskOf(t, kindOf(t, cfg), "url", c.url, "proxy", c.proxy, "headers", value.MapOf("X-Own", "1")))
		if out.Err != nil {
			t.Fatal(out.Err)
		}
		got := u.Requests("/x")
		r := got[len(got)-1]
		if names := slices.Sorted(maps.Keys(r.Header)); r.URI != c.uri || !slices.Equal(names, c.headers) {
			t.Errorf("sent %s with %v, want %s with %v", r.URI, names, c.uri, c.headers)
		}
		for name, v := range r.Header {
			if strings.Contains(strings.Join(v, " "), strings.TrimPrefix(u.URL, "http://")) {
				t.Errorf("the header %s names the proxy: %v", name, v)
			}
		}
	}
}
