package browsertest

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// place is a page in one of its states.
type place struct{ name, path string }

func places(t *testing.T, tab context.Context, url string) []place {
	failed := strings.TrimPrefix(runOf(t, tab, url, "declined_card"), url)
	wide := strings.TrimPrefix(runOf(t, tab, url, "fan_out"), url)
	task := strings.TrimPrefix(runOf(t, tab, url, "flaky_invoice"), url)
	value := strings.TrimPrefix(runOf(t, tab, url, "get_user"), url)
	return []place{
		{"home", "/"}, {"runs", "/runs"}, {"runs-failed", "/runs?status=failed"}, {"runs-none", "/runs?flow=none_such"}, {"runs-wrong", "/runs?since=soon"},
		{"flows", "/flows"}, {"flow", "/flows/fan_out"}, {"flow-form", "/flows/post_order"}, {"no-flow", "/flows/none_such"},
		{"run-failed", failed}, {"run-graph", wide + "?view=graph"}, {"run-timeline", wide + "?view=timeline"}, {"run-log", wide + "?view=log"},
		{"run-attempts", task + "?task=create_invoice"}, {"no-run", "/runs/none"}, {"xcom", value + "/xcom/get_user"}, {"runs-trigger", "/runs?trigger=cli"},
		{"log", "/log"}, {"query", "/query?sql=SELECT+flow_id,+status+FROM+xt_flow_executions"}, {"query-wrong", "/query?sql=SELEC"},
		{"breakers", "/breakers"}, {"schedules", "/schedules"}, {"hooks", "/hooks"}, {"credentials", "/credentials"}, {"node", "/node"}, {"login", "/login"}, {"nowhere", "/nowhere"},
	}
}

// TestPages_Axe holds every page in both themes, also on the screen of a phone,
// against WCAG 2.2 A and AA; none complains of its policy, none is wider than
// the screen.
func TestPages_Axe(t *testing.T) {
	axe := axeCore(t)
	tab := browser(t)
	url, dir := demoIn(t)
	said := hear(t, tab)
	look := func(p place) {
		for _, color := range []string{"light", "dark"} {
			t.Run(p.name+"-"+color, func(t *testing.T) {
				do(t, tab, emulation.SetDeviceMetricsOverride(1280, 800, 1, false), theme(color))
				open(t, tab, url+p.path)
				picture(t, tab, p.name+"-"+color)
				if wide := see[bool](t, tab, `document.documentElement.scrollWidth > innerWidth`); wide {
					t.Error("it scrolls sideways")
				}
				if text := said.take(); text != "" {
					t.Errorf("it complains: %s", text)
				}
				violations(t, tab, axe)
				if color == "light" {
					do(t, tab, emulation.SetDeviceMetricsOverride(320, 640, 1, true))
					picture(t, tab, p.name+"-phone")
					if wide := see[int](t, tab, `document.documentElement.scrollWidth`); wide > 320 {
						t.Errorf("on a phone it is %d wide", wide)
					}
					violations(t, tab, axe)
				}
			})
		}
	}
	for _, p := range places(t, tab, url) {
		look(p)
	}
	c := exec.Command(program(t), "ui", "--data-dir", dir)
	link, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	open(t, tab, strings.TrimSpace(string(link)))
	await(t, tab, "being logged in", `document.querySelector('header form[action="/logout"]')`)
	for _, name := range []string{"breakers", "hooks", "credentials", "tokens", "users"} {
		look(place{name + "-admin", "/" + name})
	}
}

// axeCore is the source of axe-core.
func axeCore(t *testing.T) []byte {
	t.Helper()
	axe, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Skip("no axe-core: npm ci in web/browsertest")
	}
	return axe
}

// violations runs axe on a page, past the page's policy: it is no part of it.
func violations(t *testing.T, tab context.Context, axe []byte) {
	t.Helper()
	do(t, tab, chromedp.Evaluate(string(axe)+";0", nil))
	var found []struct {
		ID, Help string
		Nodes    []struct{ HTML, FailureSummary string }
	}
	var text string
	do(t, tab, chromedp.Evaluate(`axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}).then((r) => JSON.stringify(r.violations))`, &text, awaitPromise))
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		for _, n := range v.Nodes {
			t.Errorf("%s (%s): %s\n%s", v.ID, v.Help, n.HTML, n.FailureSummary)
		}
	}
}

// TestRun_TheReasonIsOnTheFirstScreen: what failed, with which answer, without
// scrolling.
func TestRun_TheReasonIsOnTheFirstScreen(t *testing.T) {
	tab := browser(t)
	url := demo(t)
	open(t, tab, runOf(t, tab, url, "declined_card"))
	if !see[bool](t, tab, `(() => { const at = document.querySelector('.card.failed h2').getBoundingClientRect(); return at.top >= 0 && at.bottom <= innerHeight })()`) {
		t.Error("the reason is not on the first screen")
	}
	if text := see[string](t, tab, `document.querySelector('.card.failed').innerText`); !strings.Contains(text, "402") || !strings.Contains(text, "POST http") {
		t.Errorf("the reason is %q", text)
	}
}
