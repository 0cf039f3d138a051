package apicall

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

// Token endpoints deviate from the standard in what they answer. What can be
// meant is taken.
func TestDeviate_TokenAnswers(t *testing.T) {
	const token = "tok-abcdefgh-123"
	const jsonKind, form = "application/json", "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		kind, body string
		fields     []any
		want       string // the header that is sent; else what the message says
	}{
		"no type":              {jsonKind, `{"access_token":"` + token + `","expires_in":86399}`, nil, "Bearer " + token},
		"BearerToken":          {jsonKind, `{"access_token":"` + token + `","token_type":"BearerToken"}`, nil, "Bearer " + token},
		"scheme":               {jsonKind, `{"access_token":"` + token + `"}`, []any{"scheme", "Zoho-oauthtoken"}, "Zoho-oauthtoken " + token},
		"life as text":         {jsonKind, `{"access_token":"` + token + `","expires_in":"3599"}`, nil, "Bearer " + token},
		"life with a fraction": {jsonKind, `{"access_token":"` + token + `","expires_in":3600.0}`, nil, "Bearer " + token},
		"empty life":           {jsonKind, `{"access_token":"` + token + `","expires_in":""}`, nil, "Bearer " + token},
		"nonsense as life":     {jsonKind, `{"access_token":"` + token + `","expires_in":{"a":1}}`, nil, "Bearer " + token},
		"byte order mark":      {jsonKind, "\ufeff" + `{"access_token":"` + token + `"}`, nil, "Bearer " + token},
		"scope as a list":      {jsonKind, `{"access_token":"` + token + `","scope":["a","b"]}`, nil, "Bearer " + token},
		"form":                 {form, "access_token=" + token + "&token_type=bearer&expires_in=3600", nil, "Bearer " + token},
		"form called text":     {"text/plain", "access_token=" + token + "&expires=5183999", nil, "Bearer " + token},
		"token_path":           {jsonKind, `{"tokenData":{"access_token":"` + token + `"},"ok":true}`, []any{"token_path", "tokenData.access_token"}, "Bearer " + token},
		"elsewhere":            {jsonKind, `{"tokenData":{"access_token":"` + token + `"},"errors":[]}`, nil, "gave no access_token (it gave: tokenData, errors); the credential's token_path says where the token is"},
		"path to nowhere":      {jsonKind, `{"token":"` + token + `"}`, []any{"token_path", "a.b"}, "gave no a.b (it gave: token)"},
	} {
		t.Run(name, func(t *testing.T) {
			u := testkit.NewUpstream(t)
			u.Handle("/token", testkit.Reply(http.StatusOK, c.body, "Content-Type", c.kind))
			u.Handle("/x", testkit.OK(`{}`))
			fields := append([]any{"client_id", "cid", "client_secret", "s3cret-value", "token_url", u.URL + "/token"}, c.fields...)
			kind := kindOf(t, Config{Slots: 1, Credentials: credentialOf("oauth", fields...)})
			out := attemptOf(t, taskOf(t, kind, "url", u.URL+"/x", "auth_type", "oauth2", "credential_id", "c"))
			if out.Err != nil {
				if !strings.Contains(out.Err.Message, c.want) || strings.Contains(out.Err.Message, token) {
					t.Errorf("got %s\nwant %s", out.Err.Message, c.want)
				}
				return
			}
			for _, r := range u.Requests() {
				if got := r.Header.Get("Authorization"); r.Path == "/x" && got != c.want {
					t.Errorf("sent %q, want %q", got, c.want)
				}
			}
		})
	}
}

// A server says in many ways when to come again.
func TestDeviate_WaitsThatServersAskFor(t *testing.T) {
	now := time.Unix(1_795_700_000, 0).UTC()
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	epoch := strconv.FormatInt(now.Unix()+7, 10)
	for name, c := range map[string]struct {
		h      http.Header
		status int
		want   time.Duration // -1: none
	}{
		"seconds":                         {header("Retry-After", "2"), 503, 2 * time.Second},
		"a decimal point":                 {header("Retry-After", "2.0"), 429, 2 * time.Second},
		"a fraction":                      {header("Retry-After", "0.25"), 429, 250 * time.Millisecond},
		"a point in time":                 {header("Retry-After", epoch), 429, 7 * time.Second},
		"a date":                          {header("Retry-After", now.Add(9*time.Second).Format(http.TimeFormat)), 503, 9 * time.Second},
		"a date of RFC 3339":              {header("Retry-After", now.Add(9*time.Second).Format(time.RFC3339)), 503, 9 * time.Second},
		"milliseconds":                    {header("Retry-After-Ms", "1500", "Retry-After", "2"), 429, 1500 * time.Millisecond},
		"limit used up, as a wait":        {header("RateLimit-Remaining", "0", "RateLimit-Reset", "2"), 429, 2 * time.Second},
		"limit used up, as a time":        {header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", epoch), 403, 7 * time.Second},
		"limit used up, in ms since 1970": {header("X-RateLimit-Reset", epoch+"000"), 429, 7 * time.Second},
		"one header for all":              {header("RateLimit", `"default";r=0;t=5`), 429, 5 * time.Second},
		"a limit that is not used up":     {header("X-RateLimit-Remaining", "12", "X-RateLimit-Reset", "30"), 500, -1},
		"nonsense":                        {header("Retry-After", "soon"), 503, -1},
		"nothing":                         {header(), 503, -1},
	} {
		got, _, ok := askedWait(c.h, c.status, now)
		if !ok {
			got = -1
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestDeviate_CookiesLiveThroughTheRedirectsOfAnAttempt(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/start", testkit.Reply(http.StatusFound, "", "Location", "/end", "Set-Cookie", "sid=Zm9vYmFy1234; Path=/"))
	u.Handle("/end", testkit.OK(`{}`))
	prog := taskOf(t, kindOf(t, Config{Slots: 1}), "url", u.URL+"/start", "headers", value.MapOf("Cookie", "theme=dark"))
	for range 2 { // the second attempt starts without them
		if out := attemptOf(t, prog); out.Err != nil {
			t.Fatal(out.Err)
		}
	}
	for i, r := range u.Requests() {
		want := []string{"theme=dark", "theme=dark; sid=Zm9vYmFy1234"}[i%2]
		if got := r.Header.Get("Cookie"); got != want {
			t.Errorf("request %d, %s: cookie %q, want %q", i, r.Path, got, want)
		}
	}
}

func TestDeviate_AMethodThatARedirectChangedIsSaid(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/a", testkit.Redirect(http.StatusMovedPermanently, "/a/"))
	u.Handle("/a/", testkit.OK(`{}`))
	kind := kindOf(t, Config{Slots: 1})
	out := attemptOf(t, taskOf(t, kind, "url", u.URL+"/a", "operation", "post", "body", value.MapOf("x", int64(1))))
	if out.Err != nil || !strings.Contains(out.Details.Note, "POST became GET (301 to /a/)") {
		t.Errorf("%v, note %q", out.Err, out.Details.Note)
	}
	out = attemptOf(t, taskOf(t, kind, "url", u.URL+"/a", "operation", "post", "follow_redirects", "same-method"))
	if out.Err == nil || !strings.Contains(out.Err.Message, "would turn the POST into a GET") {
		t.Errorf("same-method: %v", out.Err)
	}
}

func TestDeviate_ARedirectToNowhereIsAFailure(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/a", testkit.Status(http.StatusFound))
	kind := kindOf(t, Config{Slots: 1})
	out := attemptOf(t, taskOf(t, kind, "url", u.URL+"/a"))
	if out.Err == nil || !strings.Contains(out.Err.Message, "without a Location header") {
		t.Errorf("got %v", out.Err)
	}
	expected := value.MapOf("expected_status_code", int64(302))
	if out = attemptOf(t, taskOf(t, kind, "url", u.URL+"/a", "response_validation", expected)); out.Err != nil {
		t.Errorf("an expected 302: %v", out.Err)
	}
}

func TestDeviate_BasicAuthWithAnEmptyHalf(t *testing.T) {
	for want, fields := range map[string][]any{
		"Basic c2tfa2V5XzEyMzQ1Og==": {"username", "sk_key_12345", "password", ""},
		"Basic OnRva2VuXzEyMzQ1Ng==": {"username", "", "password", "token_123456"},
	} {
		u := testkit.NewUpstream(t)
		u.Handle("/x", testkit.OK(`{}`))
		kind := kindOf(t, Config{Slots: 1, Credentials: credentialOf("basic_auth", fields...)})
		out := attemptOf(t, taskOf(t, kind, "url", u.URL+"/x", "auth_type", "basic", "credential_id", "c"))
		if out.Err != nil {
			t.Fatal(out.Err)
		}
		if got := u.Requests()[0].Header.Get("Authorization"); got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
	}
	missing := engine.Credential{ID: "c", Type: "basic_auth", Data: value.MapOf("username", "u")}
	if err := missing.Check(); err == nil || !strings.Contains(err.Error(), `needs the field "password" (it may be "")`) {
		t.Errorf("a field that is not given: %v", err)
	}
}

func TestDeviate_FormsWithNestedFields(t *testing.T) {
	body := value.MapOf("mode", "payment", "line_items", []any{value.MapOf("price", "p1", "tags", []any{"a", "b"})}, "metadata", value.MapOf("order", int64(7), "none", nil), "ids", []any{int64(1), int64(2)})
	for style, want := range map[string]string{
		"brackets": "mode=payment&line_items[0][price]=p1&line_items[0][tags][0]=a&line_items[0][tags][1]=b&metadata[order]=7&ids=1&ids=2",
		"dots":     "mode=payment&line_items[0].price=p1&line_items[0].tags[0]=a&line_items[0].tags[1]=b&metadata.order=7&ids=1&ids=2",
		"json":     `mode=payment&line_items=[{"price":"p1","tags":["a","b"]}]&metadata={"order":7,"none":null}&ids=1&ids=2`,
	} {
		got, err := formBody(body, style)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := url.QueryUnescape(string(got))
		if err != nil || plain != want {
			t.Errorf("%s: %s\nwant %s", style, plain, want)
		}
	}
	if _, err := formBody(body, formFlat); err == nil || !strings.Contains(err.Error(), `the field "line_items" holds a list of tables or lists, and a form has only texts: form_style = "brackets", "dots", "json" says how`) {
		t.Errorf("without a style: %v", err)
	}
	flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: Name, Properties: value.MapOf("url", "http://a.example/", "operation", "post", "body_format", "form", "body", body)}}}
	_, problems := kindOf(t, Config{Slots: 1}).Prepare(flow, &flow.Tasks[0])
	if len(problems) != 2 { // one for each field
		t.Errorf("found when the flow is loaded: %v", problems)
	}
}
