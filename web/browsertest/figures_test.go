package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestFigures measures what the first page costs a browser, how fast a run of
// 10,000 tasks opens, and how many connections fifty tabs take. It only says
// what it saw: QARION_FIGURES=1 go test -v -run Figures .
func TestFigures(t *testing.T) {
	if os.Getenv("QARION_FIGURES") == "" {
		t.Skip("it measures: QARION_FIGURES=1")
	}
	var large strings.Builder
	for i := range 10_000 {
		text := task(fmt.Sprintf("t%d", i), "get", "/", "")
		if i >= 100 {
			text = strings.Replace(text, "type =", fmt.Sprintf("dependencies = [\"t%d\"]\ntype =", i-100), 1)
		}
		large.WriteString(text)
	}
	tab := browser(t)
	node := serve(t, map[string]string{"large": large.String(), "quick": task("a", "get", "/", "")})
	go func() {
		for range node.calls { // nobody waits for them here
		}
	}()
	node.run(t, "trigger", "quick", "--wait")
	node.run(t, "trigger", "large", "--wait=10m")
	run := node.run(t, "runs", "list", "--flow", "large", "-q")

	times := func(name, path string) {
		var paint, load []float64
		for range 7 {
			open(t, tab, "about:blank")
			open(t, tab, node.url+path)
			await(t, tab, "its paint", `performance.getEntriesByName('first-contentful-paint').length`)
			paint = append(paint, see[float64](t, tab, `performance.getEntriesByName('first-contentful-paint')[0].startTime`))
			load = append(load, see[float64](t, tab, `performance.getEntriesByType('navigation')[0].loadEventEnd`))
		}
		slices.Sort(paint)
		slices.Sort(load)
		t.Logf("%s: first paint %.0f ms (best %.0f, worst %.0f), loaded %.0f ms (best %.0f, worst %.0f)", name, paint[3], paint[0], paint[6], load[3], load[0], load[6])
	}
	times("first page", "/")
	times("runs", "/runs")
	for _, view := range []string{"", "?view=graph", "?view=timeline", "?view=log"} {
		times("run of 10,000 tasks "+view, "/runs/"+run+view)
	}
	times("flow of 10,000 tasks", "/flows/large")

	tabs := []context.Context{tab}
	for range 49 {
		next, cancel := chromedp.NewContext(tab)
		t.Cleanup(cancel)
		if err := chromedp.Run(next); err != nil {
			t.Fatal(err)
		}
		tabs = append(tabs, next)
	}
	for _, one := range tabs {
		open(t, one, node.url+"/runs?flow=quick")
		see[bool](t, one, mark)
	}
	node.run(t, "trigger", "quick", "--wait")
	for i, one := range tabs {
		await(t, one, fmt.Sprintf("tab %d shows the new run", i), `document.body.mark && document.querySelectorAll('tbody tr').length >= 2`)
	}
	t.Logf("50 tabs are live; streams that are open: %s", streams(t, node))
}

// streams are the node's open connections by state, as the system sees them.
func streams(t *testing.T, node *served) string {
	out, err := exec.Command("sh", "-c", "ss -Htn state established '( sport = :"+node.http[strings.LastIndex(node.http, ":")+1:]+" )' | wc -l").Output()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(out)) + " connections (one of them the stream; browsers keep up to six for requests)"
}
