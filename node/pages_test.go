package node

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
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
		"/runs/" + string(failed.RunID) + "?view=timeline": "task a, failed", "/runs/" + string(failed.RunID) + "?task=a&attempt=99": "Attempt 1", "/node": "v1.2.3", "/breakers": "", "/schedules": `<td class="mono">@yearly</td>`,
		"/query?sql=" + url.QueryEscape("select flow_id from xt_flow_executions"): "bad", to + "/xcom/a": "{}",
	} {
		status, text := get(t, n.URL()+path)
		if status != http.StatusOK || !strings.Contains(text, want) || !strings.Contains(text, "</html>") {
			t.Errorf("%s: %d without %q\n%s", path, status, want, text)
		}
	}
	for _, do := range []struct{ action, then string }{{"pause", "/schedules/resume"}, {"resume", "/schedules/pause"}} {
		res, err := c.PostForm(n.URL()+"/schedules/"+do.action, url.Values{"flow": {"good"}, "trigger": {""}})
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if status, text := get(t, n.URL()+"/schedules"); res.StatusCode != http.StatusSeeOther || status != http.StatusOK || !strings.Contains(text, `action="`+do.then+`"`) {
			t.Errorf("%s: %d, and then\n%s", do.action, res.StatusCode, text)
		}
	}
	if status, text := get(t, n.URL()+"/flows/good/graph.svg"); status != http.StatusOK || !strings.HasPrefix(text, `<svg xmlns="http://www.w3.org/2000/svg"`) || !strings.Contains(text, "<title>task a</title>") ||
		xml.Unmarshal([]byte(text), new(struct{})) != nil {
		t.Errorf("the picture: %d\n%s", status, text)
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

// TestPages_ManyRunsAtOnce: what was chosen is shown with what follows, and done
// when a person says so; what cannot be does not keep the rest from it.
func TestPages_ManyRunsAtOnce(t *testing.T) {
	n := httpNode(t)
	failed, good := string(runFlow(t, n, "bad").RunID), string(runFlow(t, n, "good").RunID)
	post := func(path string, form url.Values) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.URL()+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Accept", "text/html")
		return answered(t, http.DefaultClient, req)
	}
	runs := func(query string) int {
		t.Helper()
		_, text := get(t, n.URL()+"/runs"+query)
		return strings.Count(text, `name="run" value="`)
	}
	if got := runs(""); got != 2 {
		t.Fatalf("%d runs to choose from", got)
	}
	chosen := url.Values{"run": {failed, good, failed}, "from": {"failed"}}
	status, text := post("/runs/rerun", chosen)
	if status != 200 || !strings.Contains(text, "0 tasks kept, 1 task done again") || !strings.Contains(text, "not this one") || !strings.Contains(text, "Run 1 run again") ||
		!strings.Contains(text, "qarion runs rerun "+failed+" --from failed") || runs("") != 2 {
		t.Errorf("before it is sure: %d, %d runs\n%s", status, runs(""), text)
	}
	chosen.Set("sure", "1")
	if status, text = post("/runs/rerun", chosen); status != 200 || !strings.Contains(text, "1 run begun") || runs("") != 3 {
		t.Errorf("sure: %d, %d runs\n%s", status, runs(""), text)
	}
	if status, text = post("/runs/cancel", url.Values{"run": {failed}, "sure": {"1"}}); status != http.StatusConflict || !strings.Contains(text, "None of them could be") {
		t.Errorf("a run that has ended: %d\n%s", status, text)
	}
	for _, form := range []url.Values{{}, {"run": make([]string, 1001)}} {
		for i := range form["run"] {
			form["run"][i] = string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		}
		if status, _ := post("/runs/cancel", form); status != http.StatusBadRequest {
			t.Errorf("%d runs are chosen: %d", len(form["run"]), status)
		}
	}
	if all, mine := runs("?trigger=api"), runs("?trigger=rerun"); all != 2 || mine != 1 {
		t.Errorf("by trigger: %d of api, %d of rerun, want 2 and 1", all, mine)
	}
}

// TestPages_ItemsAreCounted: a task that is done for each item shows how many have
// ended how, and why the first have failed, in one row.
func TestPages_ItemsAreCounted(t *testing.T) {
	n := httpNode(t, func(cfg *Config) {
		text := "[[tasks]]\nid = \"a\"\ntype = \"set\"\nfor_each = \"{{ [1, 0, 2, 0] }}\"\nproperties = { values = { share = \"{{ 6 // item }}\" } }\n"
		if err := os.WriteFile(filepath.Join(cfg.Flows, "items.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	run := runFlow(t, n, "items")
	status, text := get(t, n.URL()+"/runs/"+string(run.RunID))
	if status != http.StatusOK || !strings.Contains(text, "2 of 4 items succeeded, 2 failed") || !strings.Contains(text, `<li value="2">`) || !strings.Contains(text, `<progress max="4" value="4"`) {
		t.Errorf("%d\n%s", status, text)
	}
}
