package web

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

// TestEvents_WhoMayListen: whoever may list runs.
func TestEvents_WhoMayListen(t *testing.T) {
	s := door(t, echo(), func(c *Config) { c.Login = LoginAlways })
	for role, want := range map[string]int{"": 401, "trigger": 403, "viewer": 200, "operator": 200, "admin": 200} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+apiPrefix+"/events?topics=runs", nil)
		if err != nil {
			t.Fatal(err)
		}
		if role != "" {
			req.Header.Set("Authorization", "Bearer "+role)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != want {
			t.Errorf("%q: %d, want %d", role, res.StatusCode, want)
		}
		if want == 200 {
			line, err := bufio.NewReader(res.Body).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "retry: ") || res.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
				t.Errorf("%q: %q %v %v", role, line, err, res.Header)
			}
		}
		res.Body.Close()
	}
	if res, text := ask(t, s, "GET", apiPrefix+"/events?topics=everything", "", "Authorization", "Bearer viewer"); res.StatusCode != 400 || !strings.Contains(text, "everything") {
		t.Errorf("a wrong topic: %d %s", res.StatusCode, text)
	}
}
