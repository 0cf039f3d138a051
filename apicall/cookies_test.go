package apicall

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

// TestCookies_GoBackAsTheyCame: what users of HTTP clients have reported of
// cookies that were changed, dropped or kept on their way, and what a browser
// does with them. A server sets them, redirects, and looks at what comes.
func TestCookies_GoBackAsTheyCame(t *testing.T) {
	for name, c := range map[string]struct {
		set  []string
		want string
	}{
		"quotes stay":                      {[]string{`sid="abc=="; Path=/`}, `sid="abc=="`},
		"JSON stays":                       {[]string{`cfg={"a":"b","n":[1,2]}; Path=/`}, `cfg={"a":"b","n":[1,2]}`},
		"a space and a comma stay":         {[]string{"a=b c,d; Path=/"}, "a=b c,d"},
		"an equals sign stays":             {[]string{"a=b=c==; Path=/"}, "a=b=c=="},
		"percent signs stay":               {[]string{"a=%7B%22x%22%3A1%7D+%; Path=/"}, "a=%7B%22x%22%3A1%7D+%"},
		"a backslash stays":                {[]string{`a=b\"c\\; Path=/`}, `a=b\"c\\`},
		"UTF-8 stays":                      {[]string{"a=caf\u00e9; Path=/"}, "a=caf\u00e9"},
		"other bytes stay":                 {[]string{"a=caf\xe9; Path=/"}, "a=caf\xe9"},
		"names in brackets and with colon": {[]string{"basket[0]=1; Path=/", "amp:x=2; Path=/"}, "basket[0]=1; amp:x=2"},
		"an empty value":                   {[]string{"a=; Path=/"}, "a="},
		"space around":                     {[]string{"  a =  b  ;  Path = / "}, "a=b"},
		"no name":                          {[]string{"just text", "=value", "b=1; Path=/"}, "b=1"},
		"in the order they were set":       {[]string{"b=1; Path=/", "a=2; Path=/", "c=3; Path=/"}, "b=1; a=2; c=3"},
		"the last of a name":               {[]string{"a=1; Path=/", "a=2; Path=/"}, "a=2"},
		"names have a case":                {[]string{"A=1; Path=/", "a=2; Path=/"}, "A=1; a=2"},
		"the default path":                 {[]string{"a=1", "b=2; Path="}, "a=1; b=2"},
		"a path in quotes is none":         {[]string{`a=1; Path="/"`}, "a=1"},
		"another path":                     {[]string{"a=1; Path=/other", "b=2; Path=/en", "c=3; Path=/x/end/"}, ""},
		"Max-Age 0 takes back":             {[]string{"a=1; Path=/", "a=; Path=/; Max-Age=0"}, ""},
		"a past date takes back":           {[]string{"a=1; Path=/", "a=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"}, ""},
		"a past date of two digits":        {[]string{"a=1; Path=/", "a=; Path=/; Expires=Thu, 01-Jan-70 00:00:01 GMT"}, ""},
		"a past date in quotes":            {[]string{"a=1; Path=/", `a=; Path=/; Expires="Sun, 01-Jan-1995 01:00:00 GMT"`}, ""},
		"a date that is none":              {[]string{"a=1; Path=/; Expires=1w"}, "a=1"},
		"a date of another kind":           {[]string{"a=1; Path=/; Expires=2011-01-01T00:00:00Z"}, "a=1"},
		"a far date":                       {[]string{"a=1; Path=/; Expires=Fri, 31 Dec 9999 23:59:59 GMT"}, "a=1"},
		"Max-Age before Expires":           {[]string{"a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", "b=1; Path=/; Max-Age=0; Expires=Fri, 31 Dec 9999 23:59:59 GMT"}, "a=1"},
		"a Max-Age that overflows":         {[]string{"a=1; Path=/; Max-Age=9223372036", "b=2; Path=/; Max-Age=99999999999999999999999"}, "a=1; b=2"},
		"a Max-Age that is none":           {[]string{"a=1; Path=/; Max-Age=", "b=2; Path=/; Max-Age=1.5", "c=3; Path=/; Max-Age=+0"}, "a=1; b=2; c=3"},
		"Secure to this machine":           {[]string{"a=1; Path=/; Secure; SameSite=None", "__Host-b=2; Path=/; Secure"}, "a=1; __Host-b=2"},
		"prefixes that are not kept to":    {[]string{"__Secure-a=1; Path=/", "__host-b=2; Path=/x; Secure", "__Host-c=3; Path=/; Secure; Domain=127.0.0.1"}, ""},
		"its own address as domain":        {[]string{"a=1; Path=/; Domain=127.0.0.1", "b=2; Path=/; Domain=.127.0.0.1"}, "a=1; b=2"},
		"another domain":                   {[]string{"a=1; Path=/; Domain=example.com", "b=2; Path=/; Domain=0.0.1", "c=3; Path=/; Domain=com"}, ""},
		"an empty domain":                  {[]string{"a=1; Path=/; Domain="}, "a=1"},
		"unknown attributes":               {[]string{"a=1; Path=/; Partitioned; Priority=High; ; =x; Version=1; HttpOnly"}, "a=1"},
		"larger than a cookie may be":      {[]string{"a=" + strings.Repeat("x", maxCookie) + "; Path=/", "b=2; Path=/"}, "b=2"},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/x/start" {
					w.Header()["Set-Cookie"] = c.set
					http.Redirect(w, r, "/x/end", http.StatusFound)
					return
				}
				got = strings.Join(r.Header["Cookie"], " & ")
			}))
			defer srv.Close()
			if out := attemptOf(t, taskOf(t, kindOf(t, Config{Slots: 1}), "url", srv.URL+"/x/start", "cookie_jar", "shop")); out.Err != nil {
				t.Fatal(out.Err)
			}
			if got != c.want {
				t.Errorf("sent back: %q, want %q", got, c.want)
			}
		})
	}
}

// TestCookies_ThatAreNotKeptSayWhy: a person who misses a cookie finds it in
// what is shown of the task.
func TestCookies_ThatAreNotKeptSayWhy(t *testing.T) {
	for _, c := range []struct{ from, line, want string }{
		{"https://shop.example.com/", "a=1; Domain=example.org", "Domain=example.org does not hold shop.example.com"},
		{"https://shop.example.com/", "a=1; Domain=other.example.com", "Domain=other.example.com does not hold shop.example.com"},
		{"https://shop.example.com/", "a=1; Domain=ample.com", "Domain=ample.com does not hold shop.example.com"},
		{"https://shop.example.com/", "a=1; Domain=.Example.COM", ""},
		{"https://shop.example.co.uk/", "a=1; Domain=co.uk", "Domain=co.uk does not hold shop.example.co.uk"},
		{"https://api.github.io/", "a=1; Domain=github.io", "Domain=github.io does not hold api.github.io"},
		{"http://shop.example.com/", "a=1; Secure", "Secure, but set over plain http"},
		{"http://localhost:8080/", "a=1; Secure", ""},
		{"http://[::1]:8080/", "a=1; Secure", ""},
		{"http://app.localhost/", "a=1; Secure", ""},
		{"https://shop.example.com/", "a=1; Secure", ""},
		{"http://shop.example.com/", "__Secure-a=1", "Secure, but set over plain http"},
		{"https://shop.example.com/", "__Secure-a=1", "by its name it must be Secure"},
		{"https://shop.example.com/", "__Host-a=1; Secure", "by its name it must have Path=/ and no Domain"},
		{"https://shop.example.com/", "__Host-a=1; Secure; Path=/", ""},
		{"https://shop.example.com/", "a=1\x01", "it has a control character"},
		{"https://shop.example.com/", "a=" + strings.Repeat("x", 8<<10), "it is larger than 8 KiB"},
	} {
		from, err := url.Parse(c.from)
		if err != nil {
			t.Fatal(err)
		}
		if _, why, ok := setCookie(c.line, from, time.Now()); !ok || why != c.want {
			t.Errorf("%s from %s: %q %v, want %q", cut(c.line, 60), c.from, why, ok, c.want)
		}
	}
	u := testkit.NewUpstream(t)
	u.Handle("/a", testkit.Do(func(w http.ResponseWriter, _ *testkit.Call) {
		w.Header()["Set-Cookie"] = []string{"kept=1", "lost=verysecretvalue; Domain=example.org", "old=; Max-Age=0"}
	}))
	out := attemptOf(t, taskOf(t, kindOf(t, Config{Slots: 1}), "url", u.URL+"/a", "cookie_jar", "shop"))
	if want := "shop (set: kept; taken back: old; refused: lost (Domain=example.org does not hold 127.0.0.1))"; out.Details.CookieJar != want {
		t.Errorf("shown: %s\nwant   %s", out.Details.CookieJar, want)
	}
	if n := len(out.Cookies.Jar); n != 2 || out.Cookies.Jar[0].Name != "kept" || out.Cookies.Jar[1].Value != "" {
		t.Errorf("kept: %+v", out.Cookies.Jar)
	}
}

// TestCookies_DatesAreReadAsBrowsersDo: RFC 6265, 5.1.1.
func TestCookies_DatesAreReadAsBrowsersDo(t *testing.T) {
	for text, want := range map[string]string{
		"Sun, 06 Nov 1994 08:49:37 GMT":     "1994-11-06T08:49:37Z",
		"Sunday, 06-Nov-94 08:49:37 GMT":    "1994-11-06T08:49:37Z",
		"Sun Nov  6 08:49:37 1994":          "1994-11-06T08:49:37Z",
		`"Sun, 01-Jan-1995 01:00:00 GMT"`:   "1995-01-01T01:00:00Z",
		"Mon, 10-Dec-2029 1:2:3 PST":        "2029-12-10T01:02:03Z",
		"10 Feb 2030 08:49:37 UTC":          "2030-02-10T08:49:37Z",
		"Thu, 01 Jan 70 00:00:00 GMT":       "1970-01-01T00:00:00Z",
		"Thu, 01 Jan 69 00:00:00 GMT":       "2069-01-01T00:00:00Z",
		"08:49:37 6 november 1994":          "1994-11-06T08:49:37Z",
		"Sun, 31 Feb 2030 08:49:37 GMT":     "",
		"Sun, 06 Nov 1600 08:49:37 GMT":     "",
		"Sun, 06 Nov 1994 24:00:00 GMT":     "",
		"Sun, 06 Nov 1994":                  "",
		"06 11 1994 08:49:37":               "",
		"2030-01-01T00:00:00Z":              "",
		"0":                                 "",
		"":                                  "",
		"never":                             "",
		"99999 Nov 06 08:49:37 1":           "",
		"Wed, 09 Jun 2021 10:18:14 GMT+2:0": "2021-06-09T10:18:14Z",
	} {
		at, ok := cookieDate(text)
		got := ""
		if ok {
			got = at.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// TestCookies_SetBackAndForth: what counts is what was set last, also when that
// is what the jar held before.
func TestCookies_SetBackAndForth(t *testing.T) {
	from := "http://127.0.0.1/"
	a := &attempt{prog: &program{props: &props{cookieJar: "shop"}}, cookies: &cookies{held: []engine.Cookie{
		{From: from, Name: "sid", Value: "1", Set: engine.Pos{Seq: 3}}, {From: from, Name: "lang", Value: "de", Set: engine.Pos{Seq: 3}},
	}}}
	set := func(name, v string) {
		a.cookies.set = append(a.cookies.set, given{Cookie: engine.Cookie{From: from, Name: name, Value: v}})
	}
	left := func() string {
		a.fillJar()
		return string(must(engine.JarText(nil, a.out.Cookies.Jar)))
	}
	set("sid", "2")
	set("lang", "de")
	if got := left(); got != `[{"f":"http://127.0.0.1/","n":"sid","v":"2"}]` {
		t.Errorf("set once: %s", got)
	}
	set("sid", "1")
	if got := left(); got != `[]` {
		t.Errorf("set back: %s", got)
	}
	set("sid", "3")
	if got := left(); got != `[{"f":"http://127.0.0.1/","n":"sid","v":"3"}]` {
		t.Errorf("set again: %s", got)
	}
}

func must(text []byte, _ []string) []byte { return text }

// TestCookies_AsValuesForOthers: resp_<task>.cookies has what was set and not
// taken back, also what no jar takes, as far as there is room.
func TestCookies_AsValuesForOthers(t *testing.T) {
	large := strings.Repeat("x", 7<<10)
	u := testkit.NewUpstream(t)
	u.Handle("/a", testkit.Do(func(w http.ResponseWriter, _ *testkit.Call) {
		w.Header()["Set-Cookie"] = []string{`q="quoted"`, "latin=caf\xe9", "gone=1", "gone=; Max-Age=0", "elsewhere=1; Domain=example.org", "l1=" + large, "l2=" + large, "l3=" + large, "last=1"}
	}))
	kind := kindOf(t, Config{Slots: 1})
	flow := &engine.Flow{ID: "f", Tasks: []engine.Task{
		{ID: "t", Type: Name, Properties: value.MapOf("url", u.URL+"/a"), Answers: true},
	}}
	prog, problems := kind.Prepare(flow, &flow.Tasks[0])
	if engine.Refused(problems) != nil {
		t.Fatal(problems)
	}
	out := attemptOf(t, prog.(*program))
	got, err := value.ParseJSON(out.Cookies.Values)
	if err != nil {
		t.Fatal(err)
	}
	m := got.(*value.Map)
	for name, want := range map[string]any{"q": `"quoted"`, "latin": "café", "elsewhere": "1", "l1": large, "l2": large, "last": "1", "l3": nil, "gone": nil} {
		v, ok := m.Get(name)
		if ok != (want != nil) || ok && v != want {
			t.Errorf("%s is %.40v, want %.40v", name, v, want)
		}
	}
	if !strings.Contains(out.Details.Note, "the cookie l3 is too large for resp_t.cookies") {
		t.Errorf("note: %s", out.Details.Note)
	}
}

// FuzzSetCookie: whatever a server sets, nothing breaks, what is kept goes back
// as a header that is one, and a jar reads it back.
func FuzzSetCookie(f *testing.F) {
	for _, s := range []string{"a=b", `a="b c"; Path=/; Secure`, "a=\xff; Domain=x; Max-Age=9", "=; Expires=Thu, 01-Jan-70 00:00:01 GMT", "a=b; Expires=1:2:3 4 dec 5"} {
		f.Add(s)
	}
	from := &url.URL{Scheme: "https", Host: "shop.example.com", Path: "/a/b"}
	f.Fuzz(func(t *testing.T, line string) {
		c, refused, ok := setCookie(line, from, time.Unix(1_800_000_000, 0))
		if !ok || refused != "" {
			return
		}
		text, dropped := engine.JarText(nil, []engine.Cookie{c})
		if dropped != nil || !strings.HasPrefix(string(text), "[") {
			t.Fatalf("%q does not fit: %s", line, text)
		}
		k := &cookies{jar: newJar()}
		k.put(&c)
		sent := cookieHeader("", k.jar.Cookies(&url.URL{Scheme: "https", Host: "shop.example.com", Path: max(c.Path, "/a/b")}))
		if c.Expires == 0 && !strings.Contains(strings.SplitN(line, ";", 2)[0], strings.TrimPrefix(sent, c.Name+"=")) {
			t.Fatalf("%q was sent as %q", line, sent)
		}
		if strings.ContainsFunc(sent, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			t.Fatalf("%q was sent as %q", line, sent)
		}
	})
}
