package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzPath: whatever path and query a stranger sends, the door neither falls
// over nor leads away, answers with a policy, and never repeats what it was sent
// as markup.
func FuzzPath(f *testing.F) {
	s, err := Open(Config{Listen: "127.0.0.1:0"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	s.Use(shown())
	for _, path := range []string{
		"/", "/runs", "/runs/R1?view=graph&task=a", "/runs/R1/xcom/a", "/flows/orders", "/login?next=//evil.example", "/query?sql=SELECT+1&format=csv", "/log?since=2h",
		"/runs/%2e%2e/x", "/runs/..%2f..%2fetc/passwd", "//evil.example", "/runs/R1/", "/runs//R1", "/assets/x/app.js", "/api/v1/runs?limit=-1", `/runs/<script>q1q</script>`,
		`/runs?flow="><script>q1q</script>`, "/flows/%00", "/runs/R1?view=%zz", `/\evil.example`, "/%2F%2Fevil.example", "/login?next=javascript:q1q", "/runs/R1?task=%F0%9F%92%A9&turn=99999999999999999999",
	} {
		f.Add(path, "GET")
		f.Add(path, "POST")
	}
	f.Fuzz(func(t *testing.T, path, method string) {
		if method != http.MethodGet && method != http.MethodPost || strings.ContainsAny(path, " \r\n") || !strings.HasPrefix(path, "/") {
			t.Skip()
		}
		u, err := url.ParseRequestURI(path)
		if err != nil {
			t.Skip()
		}
		r := httptest.NewRequest(method, "/", nil)
		r.URL, r.RequestURI, r.Host, r.RemoteAddr = u, path, "localhost", "127.0.0.1:1"
		r.Header.Set("Accept", html)
		w := httptest.NewRecorder()
		s.serve(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %q: %d\n%.300s", method, path, w.Code, w.Body)
		}
		if w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %q: no policy: %v", method, path, w.Header())
		}
		if to := w.Header().Get("Location"); to != "" {
			at, err := url.Parse(to)
			if err != nil || at.Host != "" || at.Scheme != "" || strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
				t.Errorf("%s %q leads to %q", method, path, to)
			}
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") && strings.Contains(w.Body.String(), "<script>q1q") {
			t.Errorf("%s %q is repeated as markup", method, path)
		}
	})
}
