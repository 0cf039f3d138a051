package browsertest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

func awaitPromise(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// mark is put on a page; it is gone when the page was loaded anew.
const mark = `document.body.mark = true`

// TestLive_ARunIsStartedAndWatchedToItsEnd, by the form, without loading the
// page again.
func TestLive_ARunIsStartedAndWatchedToItsEnd(t *testing.T) {
	tab := browser(t)
	url := demo(t)
	said := hear(t, tab)
	open(t, tab, url+"/flows/busy_reports")
	do(t, tab, chromedp.Click(`form[action$="/runs"] button`, chromedp.ByQuery))
	await(t, tab, "the run's page", `location.pathname.startsWith('/runs/') && document.readyState === 'complete'`)
	see[bool](t, tab, mark)
	await(t, tab, "its end", `document.querySelector('h1 .status')?.innerText.includes('success')`)
	if !see[bool](t, tab, `document.body.mark === true`) {
		t.Error("the page was loaded anew")
	}
	if text := said.take(); text != "" {
		t.Errorf("it complains: %s", text)
	}
}

// TestLive_SevenTabsOnOneStream: browsers open six connections to a host; all
// seven tabs show a new run.
func TestLive_SevenTabsOnOneStream(t *testing.T) {
	first := browser(t)
	url := demo(t)
	tabs := []context.Context{first}
	for range 6 {
		tab, cancel := chromedp.NewContext(first)
		t.Cleanup(cancel)
		if err := chromedp.Run(tab); err != nil { // opens it
			t.Fatal(err)
		}
		tabs = append(tabs, tab)
	}
	for _, tab := range tabs {
		open(t, tab, url+"/runs?flow=get_user")
		see[bool](t, tab, mark)
	}
	workers := 0
	do(t, first, chromedp.ActionFunc(func(ctx context.Context) error {
		list, err := target.GetTargets().WithFilter(target.Filter{{}}).Do(ctx)
		for _, info := range list {
			if info.Type == "shared_worker" {
				workers++
			}
		}
		return err
	}))
	if workers != 1 {
		t.Errorf("%d workers hold streams", workers)
	}
	before := see[int](t, first, `document.querySelectorAll('tbody tr').length`)
	do(t, first, chromedp.Evaluate(`fetch('/api/v1/flows/get_user/runs', {method: 'POST'}).then((r) => r.status)`, nil, awaitPromise))
	for _, tab := range tabs {
		await(t, tab, "the new run", fmt.Sprintf(`document.body.mark && document.querySelectorAll('tbody tr').length > %d`, before))
	}
}

// TestNoScript_PagesShowAndFormsWork.
func TestNoScript_PagesShowAndFormsWork(t *testing.T) {
	tab := browser(t)
	url := demo(t)
	do(t, tab, emulation.SetScriptExecutionDisabled(true))
	open(t, tab, url+"/flows/get_user")
	do(t, tab, chromedp.Click(`form[action$="/runs"] button`, chromedp.ByQuery), chromedp.WaitVisible(`nav[aria-label="Views of the run"]`, chromedp.ByQuery))
	var at string
	do(t, tab, chromedp.Location(&at))
	if !strings.HasPrefix(at, url+"/runs/") {
		t.Errorf("after the start it is at %s", at)
	}
}

// TestBack_KeepsTheFilter.
func TestBack_KeepsTheFilter(t *testing.T) {
	tab := browser(t)
	url := demo(t)
	open(t, tab, url+"/runs?status=failed")
	do(t, tab, chromedp.Click(`tbody a.open`, chromedp.ByQuery), chromedp.WaitVisible(`dl.figures`, chromedp.ByQuery), chromedp.Evaluate(`history.back()`, nil))
	await(t, tab, "the list", `location.search === '?status=failed' && document.querySelectorAll('tbody tr').length === 1`)
}

// TestKeys_AFailureIsFoundWithoutAMouse.
func TestKeys_AFailureIsFoundWithoutAMouse(t *testing.T) {
	tab := browser(t)
	url := demo(t)
	open(t, tab, url+"/")
	do(t, tab, chromedp.KeyEvent("g"), chromedp.KeyEvent("r"))
	await(t, tab, "the runs", `location.pathname === '/runs' && document.readyState === 'complete' && document.querySelector('tbody a.open')`)
	do(t, tab, chromedp.KeyEvent("j"))
	await(t, tab, "a row with the focus", `document.activeElement.matches('tbody a.open')`)
	do(t, tab, chromedp.KeyEvent("\r"))
	await(t, tab, "a run", `location.pathname.startsWith('/runs/')`)
}
