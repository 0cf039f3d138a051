package node

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// TestPages_OfANodeThatWorks: a person starts a run on a flow's page, comes to
// its page, reads there why the other one failed, and finds every page.
func TestPages_OfANodeThatWorks(t *testing.T) {
	n := httpNode(t)
	failed := runFlow(t, n, "bad")
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.PostForm(n.URL()+"/flows/good/runs", url.Values{})
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	to := res.Header.Get("Location")
	if res.StatusCode != http.StatusSeeOther || !regexp.MustCompile(`^/runs/[0-9A-Z]{26}$`).MatchString(to) {
		t.Fatalf("the form: %d to %q", res.StatusCode, to)
	}
	waitFor(t, "the page shows the end of the run", func() bool {
		_, text := get(t, n.URL()+to)
		return strings.Contains(text, "<title>good success")
	})
	for path, want := range map[string]string{
		"/": "bad", "/flows": "good", "/flows/good": "api_call", "/runs": string(failed.RunID), "/runs?status=failed": string(failed.RunID), "/runs?q=last": "",
		"/runs/" + string(failed.RunID): "503", "/runs/" + string(failed.RunID) + "?view=graph": "task a, failed",
		"/runs/" + string(failed.RunID) + "?view=timeline": "task a, failed", "/runs/" + string(failed.RunID) + "?task=a&attempt=99": "Attempt 1", "/node": "v1.2.3", "/breakers": "",
		"/query?sql=" + url.QueryEscape("select flow_id from xt_flow_executions"): "bad", to + "/xcom/a": "{}",
	} {
		status, text := get(t, n.URL()+path)
		if status != http.StatusOK || !strings.Contains(text, want) || !strings.Contains(text, "</html>") {
			t.Errorf("%s: %d without %q\n%s", path, status, want, text)
		}
	}
	waitFor(t, "the log shows both calls", func() bool {
		_, text := get(t, n.URL()+"/log")
		return strings.Count(text, `id="op-`) == 2
	})
	if status, text := get(t, n.URL()+"/runs?status=nonsense"); status != http.StatusBadRequest || !strings.Contains(text, "nonsense") {
		t.Errorf("a status that there is not: %d", status)
	}
	if status, text := get(t, n.URL()+"/flows/gud"); status != http.StatusNotFound || !strings.Contains(text, "no flow &#34;gud&#34;") {
		t.Errorf("a flow that there is not: %d\n%s", status, text)
	}
}
