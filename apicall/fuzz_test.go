package apicall

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// FuzzURL fills path, query and parameters with any data: they change nothing
// but what they fill.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"a", "..", "a/../b", "?x=1&y", "#", "%2e%2e", "a b", "\r\n", "@evil.example", "\x00", "é", ".", "//", ";"} {
		f.Add(s)
	}
	kind, err := New(Config{Slots: 1})
	if err != nil {
		f.Fatal(err)
	}
	flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Properties: value.MapOf(
		"url", "https://api.example.com/a/{{ v }}/b?q={{ v }}", "params", value.MapOf("p", "{{ v }}"))}}}
	prog, problems := kind.Prepare(flow, &flow.Tasks[0])
	if engine.Refused(problems) != nil {
		f.Fatal(problems)
	}
	f.Fuzz(func(t *testing.T, v string) {
		vars := jinja.MapVars{"v": {Value: v, Origin: value.Response}}
		got, err := prog.(*program).render(context.Background(), vars)
		if err != nil {
			return // refused: nothing is sent
		}
		u := got.url
		segments := strings.Split(u.EscapedPath(), "/")
		query, err := url.ParseQuery(u.RawQuery)
		if u.Scheme != "https" || u.Host != "api.example.com" || u.User != nil || u.Fragment != "" || len(segments) != 4 || segments[3] != "b" ||
			err != nil || len(query) != 2 || len(query["q"]) != 1 || len(query["p"]) != 1 || !got.trusted {
			t.Fatalf("%q makes %s", v, u)
		}
		plain, err := url.PathUnescape(segments[2])
		if err != nil || plain != v || query.Get("q") != v || query.Get("p") != v || plain == "." || plain == ".." || plain == "" {
			t.Fatalf("%q arrives as %q, %q, %q", v, plain, query.Get("q"), query.Get("p"))
		}
	})
}

// FuzzPath puts any data beside any literal text: the number of segments is
// what the author wrote, the literal stands as it was, and the data comes back.
func FuzzPath(f *testing.F) {
	for _, literal := range []string{"drive", "My Files", "Städte", "a|b", "g%2Fp", "100%25", "{x}", "a[1]", ";v=1", "a?q", "\"", "\\", "a#b", "\xff"} {
		for _, data := range []string{"../../admin/users/1", "a b", "ä", "%2e%2e", "?x=1", "#", "a%2Fb", "\x00"} {
			f.Add(literal, data)
		}
	}
	kind, err := New(Config{Slots: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, literal, data string) {
		if strings.ContainsAny(literal, "/?#{}\\") || literal == "" {
			return // the author's own structure
		}
		flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Properties: value.MapOf("url", "https://api.example.com/"+literal+"/{{ v }}/end")}}}
		prog, problems := kind.Prepare(flow, &flow.Tasks[0])
		if engine.Refused(problems) != nil {
			return
		}
		got, err := prog.(*program).render(context.Background(), jinja.MapVars{"v": {Value: data, Origin: value.Response}})
		if err != nil {
			return // refused: nothing is sent
		}
		sent := got.url.RequestURI() // what stands in the request line
		segments := strings.Split(sent, "/")
		if len(segments) != 4 || segments[3] != "end" || strings.ContainsAny(sent, " ?#|\"") {
			t.Fatalf("%q beside %q makes %s", data, literal, sent)
		}
		if plain, err := url.PathUnescape(segments[2]); err != nil || plain != data {
			t.Fatalf("%q beside %q arrives as %q", data, literal, plain)
		}
		wrote, errWrote := url.PathUnescape(literal)
		if plain, err := url.PathUnescape(segments[1]); err != nil || errWrote == nil && plain != wrote {
			t.Fatalf("the literal %q arrives as %q", literal, plain)
		}
		if strings.Contains(strings.ToUpper(literal), "%2F") && !strings.Contains(strings.ToUpper(segments[1]), "%2F") {
			t.Fatalf("an escape of the literal %q was lost: %s", literal, sent)
		}
	})
}

// FuzzHost makes the host of data: it never becomes trusted, nor anything else
// than a host.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"a.example", "a@b", "a/b", "127.0.0.1:80", "[::1]", "a:b@c", "a?b", "a#b", "a\\b", "%41"} {
		f.Add(s)
	}
	kind, err := New(Config{Slots: 1})
	if err != nil {
		f.Fatal(err)
	}
	flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Properties: value.MapOf("url", "https://{{ v }}/x")}}}
	prog, problems := kind.Prepare(flow, &flow.Tasks[0])
	if engine.Refused(problems) != nil {
		f.Fatal(problems)
	}
	f.Fuzz(func(t *testing.T, v string) {
		got, err := prog.(*program).render(context.Background(), jinja.MapVars{"v": {Value: v, Origin: value.Trigger}})
		if err == nil && (got.trusted || got.url.User != nil || got.url.Path != "/x" || got.url.RawQuery != "" || got.url.Host != v) {
			t.Fatalf("%q makes %s, trusted %v", v, got.url, got.trusted)
		}
	})
}

// FuzzRetryAfter reads any header: a wait is never negative nor endless.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "120", "-1", "1e9", "99999999999999999999", "Wed, 21 Oct 2037 07:28:00 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, _ := retryAfter(s, time.Unix(1_800_000_000, 0)); d < 0 || d > maxRetryAfter*time.Second {
			t.Fatalf("%q is %s", s, d)
		}
	})
}

// FuzzRedactor hides a secret in any text, whatever form it has there.
func FuzzRedactor(f *testing.F) {
	f.Add("s3cret/+=\"x", "user", "before ", " after")
	f.Add("12345678", "", "", "")
	f.Add("pässwörd", "u:", "12345678", "ssss")
	f.Add("***bearer***", "u", "*", "*")
	f.Fuzz(func(t *testing.T, secret, user, before, after string) {
		if len(secret) < minSecret || strings.Contains(hidden, secret) {
			return
		}
		r := newRedactor([]string{secret})
		raw := []byte(secret)
		quoted := string(value.AppendString(nil, secret))
		for _, form := range []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), quoted[1 : len(quoted)-1],
			hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw),
			base64.StdEncoding.EncodeToString([]byte(user + ":" + secret)),
		} {
			if got := r.values(form); got == form {
				t.Fatalf("%q is shown as it is", form)
			}
		}
		if got := r.values(before + secret + after); strings.Contains(got, secret) && !strings.Contains(before+hidden+after, secret) {
			t.Fatalf("%q is in %q", secret, got)
		}
	})
}
