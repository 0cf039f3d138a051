package browsertest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// task is a task of one call; more are lines of its properties.
func task(id, operation, path, more string) string {
	return fmt.Sprintf("[[tasks]]\nid = %q\ntype = \"api_call\"\n[tasks.properties]\nurl = \"$API%s\"\noperation = %q\nretry_count = 0\n%s\n", id, path, operation, more)
}

// loaded waits for the page at a path to be whole.
func loaded(t *testing.T, tab context.Context, path string) {
	t.Helper()
	await(t, tab, "the page "+path, fmt.Sprintf(`location.pathname.startsWith(%q) && document.readyState === 'complete'`, path))
}

// TestLogin_WithTheCodeOfACommand: the person of the machine gets in once,
// resets a breaker, sees hooks and credentials, makes a token, and leaves.
func TestLogin_WithTheCodeOfACommand(t *testing.T) {
	tab := browser(t)
	node := serve(t, map[string]string{"down": task("a", "get", "/down", "") + task("b", "get", "/down", "") + task("c", "get", "/down", "") +
		task("d", "get", "/down", "") + task("e", "get", "/down", "")}) // five failures open a breaker
	said := hear(t, tab)
	node.run(t, "credentials", "store", "--credential-id", "shop", "--type", "custom", "--json", `{"token": "hidden-canary"}`)
	open(t, tab, node.url+"/credentials")
	if text := see[string](t, tab, `document.body.innerText`); !strings.Contains(text, "qarion ui") {
		t.Errorf("who may not is not told how: %s", text)
	}
	link := node.run(t, "ui")
	open(t, tab, link)
	await(t, tab, "being logged in", `document.querySelector('header form[action="/logout"]')`)
	if at := see[string](t, tab, `location.href`); at != node.url+"/" {
		t.Errorf("the login leads to %s", at)
	}
	if text := see[string](t, tab, `document.cookie`); text != "" {
		t.Errorf("a script reads the cookie: %s", text)
	}
	open(t, tab, node.url+"/credentials")
	if text := see[string](t, tab, `document.body.innerText`); !strings.Contains(text, "shop") || strings.Contains(text, "hidden-canary") {
		t.Errorf("credentials: %s", text)
	}
	open(t, tab, node.url+"/hooks")
	await(t, tab, "the hooks", `document.querySelector('h1').innerText === 'Hooks'`)

	do(t, tab, chromedp.Navigate(node.url+"/flows/down"), chromedp.Click(`form[action$="/runs"] button`, chromedp.ByQuery))
	loaded(t, tab, "/runs/")
	await(t, tab, "its end", `document.querySelector('h1 .status.failed')`)
	open(t, tab, node.url+"/breakers")
	await(t, tab, "a breaker that is open", `document.querySelector('.status.open')`)
	do(t, tab, chromedp.Click(`form[action="/breakers/reset"] button`, chromedp.ByQuery))
	await(t, tab, "a breaker that is closed", `document.querySelector('.status.closed')`)

	open(t, tab, node.url+"/tokens")
	do(t, tab, chromedp.SetValue(`input[name="name"]`, "ci", chromedp.ByQuery), chromedp.Submit(`form.filter`, chromedp.ByQuery))
	await(t, tab, "the token", `document.querySelector('.card.success pre')`)
	token := see[string](t, tab, `document.querySelector('.card.success pre').innerText`)
	if !strings.HasPrefix(token, "qt_") {
		t.Errorf("the token is %q", token)
	}

	do(t, tab, chromedp.Click(`form[action="/logout"] button`, chromedp.ByQuery))
	loaded(t, tab, "/login")
	if see[bool](t, tab, `localStorage.getItem('qarion-key') !== null`) {
		t.Error("the key is kept after the logout")
	}
	open(t, tab, node.url+"/") // so that the address changes, and not its fragment alone
	open(t, tab, link)
	await(t, tab, "that the code was used", `document.querySelector('#wrong:not([hidden])')?.innerText.includes('was used')`)
	do(t, tab, chromedp.SendKeys(`#secret`, token+kb.Enter, chromedp.ByQuery))
	await(t, tab, "the login of the token", `document.querySelector('.who')?.innerText.includes('token ci (viewer)')`)
	if text := said.take(); text != "" {
		t.Errorf("it complains: %s", text)
	}
}

// TestCancel_WhatIsTypedStays: a run is cancelled while its page keeps itself
// current; what stands in the form is not taken away (kestra#16628).
func TestCancel_WhatIsTypedStays(t *testing.T) {
	tab := browser(t)
	node := serve(t, map[string]string{"slow": task("wait", "get", "/held", "")})
	open(t, tab, node.url+"/flows/slow")
	do(t, tab, chromedp.Click(`form[action$="/runs"] button`, chromedp.ByQuery))
	loaded(t, tab, "/runs/")
	node.called(t, "/held")
	await(t, tab, "the form", `document.querySelector('form[action$="/cancel"]')`)
	do(t, tab, chromedp.Click(`//summary[.="Cancel this run"]`, chromedp.BySearch), chromedp.SendKeys(`input[name="reason"]`, "wrong customer", chromedp.ByQuery))
	do(t, tab, chromedp.Evaluate(`document.activeElement.blur(); globalThis.seen = 0; new MutationObserver(() => seen++).observe(document.getElementById('main'), {subtree: true, childList: true, characterData: true})`, nil))
	await(t, tab, "the page to change", `seen > 3`)
	if text := see[string](t, tab, `document.querySelector('input[name="reason"]').value + document.querySelector('form[action$="/cancel"]').closest('details').open`); text != "wrong customertrue" {
		t.Errorf("the form has %q", text)
	}
	do(t, tab, chromedp.Click(`form[action$="/cancel"] button`, chromedp.ByQuery))
	await(t, tab, "the end", `document.querySelector('h1 .status.cancelled')`)
	if text := see[string](t, tab, `document.body.innerText`); !strings.Contains(text, "wrong customer") {
		t.Errorf("the reason is not shown\n%s", text)
	}
}

// TestRerun_FromWhatFailed: the page says what a rerun keeps and does, and leads
// to the new run, which keeps what had succeeded.
func TestRerun_FromWhatFailed(t *testing.T) {
	tab := browser(t)
	node := serve(t, map[string]string{"orders": task("fetch", "get", "/", "") + strings.Replace(task("book", "get", "/until", ""), "type =", "dependencies = [\"fetch\"]\ntype =", 1)})
	open(t, tab, node.url+"/flows/orders")
	do(t, tab, chromedp.Click(`form[action$="/runs"] button`, chromedp.ByQuery))
	loaded(t, tab, "/runs/")
	await(t, tab, "the failure", `document.querySelector('h1 .status.failed')`)
	first := see[string](t, tab, `location.pathname`)
	node.release()
	do(t, tab, chromedp.Click(`//summary[.="Run again"]`, chromedp.BySearch), chromedp.Click(`button[name="try"]`, chromedp.ByQuery))
	await(t, tab, "what it would do", `document.querySelector('#does')`)
	if text := see[string](t, tab, `document.querySelector('.card').innerText`); !strings.Contains(text, "1 task") || !strings.Contains(text, "book") {
		t.Errorf("it would do: %s", text)
	}
	picture(t, tab, "rerun-light")
	violations(t, tab, axeCore(t))
	do(t, tab, chromedp.Click(`form[action$="/rerun"] button.main`, chromedp.ByQuery))
	await(t, tab, "the new run", `location.pathname.startsWith('/runs/') && !location.pathname.startsWith('`+first+`') && document.querySelector('h1 .status.success')`)
	if text := see[string](t, tab, `document.body.textContent`); !strings.Contains(text, "kept from") || !strings.Contains(text, "Repeats") {
		t.Errorf("the new run says nothing of the old one")
	}
}

// TestResolve_AnInterruptedCall: the node is killed while a POST is on its way;
// the first page says that somebody is needed, who says how it ended.
func TestResolve_AnInterruptedCall(t *testing.T) {
	tab := browser(t)
	node := serve(t, map[string]string{"pay": task("pay_back", "post", "/held", "body = { amount = 7 }")})
	open(t, tab, node.url+"/flows/pay")
	do(t, tab, chromedp.Click(`form[action$="/runs"] button`, chromedp.ByQuery))
	loaded(t, tab, "/runs/")
	node.called(t, "/held")
	node.end(os.Kill)
	node.start(t)
	open(t, tab, node.url+"/")
	await(t, tab, "that somebody is needed", `document.querySelector('.needs .status.interrupted')`)
	do(t, tab, chromedp.Click(`.needs a`, chromedp.ByQuery))
	loaded(t, tab, "/runs/")
	picture(t, tab, "run-interrupted-light")
	violations(t, tab, axeCore(t))
	do(t, tab, chromedp.SetValue(`input[name="value"]`, `{"refund": 3544790567247868102}`, chromedp.ByQuery), chromedp.Click(`button[value="success"]`, chromedp.ByQuery))
	await(t, tab, "the end", `document.querySelector('h1 .status.success')`)
	do(t, tab, chromedp.Navigate(see[string](t, tab, `location.origin + location.pathname + '/xcom/pay_back'`)))
	if text := see[string](t, tab, `document.querySelector('pre').textContent`); !strings.Contains(text, "3544790567247868102") {
		t.Errorf("the value is %s", text)
	}
}

// TestStale_ALostNodeIsSaid: the page says since when it is not current, keeps
// what it shows, and goes on when the node is back.
func TestStale_ALostNodeIsSaid(t *testing.T) {
	tab := browser(t)
	node := serve(t, map[string]string{"quick": task("a", "get", "/", "")})
	node.run(t, "trigger", "quick", "--wait")
	open(t, tab, node.url+"/runs")
	see[bool](t, tab, mark)
	rows := `document.querySelectorAll('tbody tr').length`
	node.end(os.Kill)
	await(t, tab, "the word", `document.getElementById('live').innerText.startsWith('not live since')`)
	if n := see[int](t, tab, rows); n != 1 {
		t.Errorf("it shows %d runs", n)
	}
	picture(t, tab, "stale-light")
	violations(t, tab, axeCore(t))
	node.start(t)
	node.run(t, "trigger", "quick", "--wait")
	await(t, tab, "the new run", `document.body.mark && `+rows+` === 2 && document.getElementById('live').hidden`)
}

// TestKeyboard_Alone: a flow is found, started, watched and cancelled, and a
// failure read, with keys only.
func TestKeyboard_Alone(t *testing.T) {
	tab := browser(t)
	node := serve(t, map[string]string{"slow": task("wait", "get", "/held", ""), "wrong": task("a", "get", "/html", "")})
	node.run(t, "runs", "list")
	key := func(keys ...string) {
		t.Helper()
		for _, k := range keys {
			do(t, tab, chromedp.KeyEvent(k))
		}
	}
	tabTo := func(what string) { // as somebody does who sees where the focus is
		t.Helper()
		for range 80 {
			key(kb.Tab)
			if see[bool](t, tab, `Boolean(document.activeElement.matches('`+what+`'))`) {
				if !see[bool](t, tab, `getComputedStyle(document.activeElement).outlineStyle !== 'none' || document.activeElement.closest('svg')`) {
					t.Errorf("the focus on %s is not seen", what)
				}
				return
			}
		}
		t.Fatalf("no way to %s", what)
	}
	open(t, tab, node.url+"/")
	key("g", "f")
	loaded(t, tab, "/flows")
	key("j", kb.Enter)
	loaded(t, tab, "/flows/slow")
	tabTo(`form[action$="/runs"] button`)
	key(kb.Enter)
	loaded(t, tab, "/runs/")
	node.called(t, "/held")
	await(t, tab, "the form", `document.querySelector('form[action$="/cancel"]')`)
	tabTo(`details:has(form[action$="/cancel"]) summary`)
	key(kb.Enter)
	tabTo(`form[action$="/cancel"] button`)
	key(kb.Enter)
	await(t, tab, "the end", `document.querySelector('h1 .status.cancelled') && document.readyState === 'complete'`)
	key("?")
	await(t, tab, "the keys", `document.querySelector('dialog[open]')`)
	key(kb.Escape)
	await(t, tab, "no keys", `!document.querySelector('dialog[open]')`)
	do(t, tab, chromedp.Evaluate(`fetch('/api/v1/flows/wrong/runs?wait=30', {method: 'POST'}).then((r) => r.status)`, nil, awaitPromise))
	key("g", "r")
	loaded(t, tab, "/runs")
	await(t, tab, "the failed run", `document.querySelector('tr.bad')`)
	key("f", kb.Enter)
	loaded(t, tab, "/runs/")
	await(t, tab, "why", `document.querySelector('.card.failed h2')?.innerText.includes('422')`)
}

// TestData_IsNeverMarkup: an answer full of it is shown as it is and does
// nothing (airflow#36826); one of eight megabytes does not make the page large
// (airflow#52772).
func TestData_IsNeverMarkup(t *testing.T) {
	tab := browser(t)
	node := serve(t, map[string]string{"html": task("a", "get", "/html", ""), "big": task("a", "get", "/big", "")})
	said := hear(t, tab)
	chromedp.ListenTarget(tab, func(e any) {
		if _, ok := e.(*page.EventJavascriptDialogOpening); ok {
			t.Error("a dialog opens")
		}
	})
	for _, flow := range []string{"html", "big"} {
		do(t, tab, chromedp.Navigate(node.url+"/flows/"+flow), chromedp.Click(`form[action$="/runs"] button`, chromedp.ByQuery))
		loaded(t, tab, "/runs/")
		await(t, tab, "its end", `document.querySelector('.card.failed pre')`)
		for _, view := range []string{"", "?task=a", "?view=log", "?view=graph", "?view=timeline"} {
			do(t, tab, chromedp.Navigate(see[string](t, tab, `location.origin + location.pathname`)+view))
			if title := see[string](t, tab, `document.title`); strings.Contains(title, "taken") {
				t.Errorf("%s: a script of the answer has run", view)
			}
			if n := see[int](t, tab, `document.documentElement.outerHTML.length`); n > 64<<10 {
				t.Errorf("%s%s: the page has %d characters", flow, view, n)
			}
		}
	}
	open(t, tab, node.url+"/runs?flow=html")
	do(t, tab, chromedp.Click(`tbody a.open`, chromedp.ByQuery))
	loaded(t, tab, "/runs/")
	if text := see[string](t, tab, `document.querySelector('.card.failed pre').innerText`); !strings.Contains(text, `<img src=x onerror=`) {
		t.Errorf("the answer is shown as %q", text)
	}
	if text := said.take(); text != "" {
		t.Errorf("it complains: %s", text)
	}
}

// TestForm_LargeNumbersStay: a browser's numbers are floats; what is typed goes
// to the call as it was (temporalio/ui#2670).
func TestForm_LargeNumbersStay(t *testing.T) {
	tab := browser(t)
	const large = "3544790567247868102"
	node := serve(t, map[string]string{"count": "[variables]\nid = 7\n" + task("a", "post", "/", "idempotency_key = true\nbody = { id = \"{{ id }}\" }\nbody_format = \"json\"")})
	open(t, tab, node.url+"/flows/count")
	do(t, tab, chromedp.SetValue(`input[name="var.id"]`, large, chromedp.ByQuery), chromedp.Click(`form[action$="/runs"] button`, chromedp.ByQuery))
	loaded(t, tab, "/runs/")
	await(t, tab, "its end", `document.querySelector('h1 .status.success')`)
	if text := see[string](t, tab, `document.body.textContent`); !strings.Contains(text, large) {
		t.Error("the page shows another number")
	}
	do(t, tab, chromedp.Navigate(see[string](t, tab, `location.origin + location.pathname + '/xcom/a'`)))
	if text := see[string](t, tab, `document.querySelector('pre').textContent`); !strings.Contains(text, large) {
		t.Errorf("the value is shown as %s", text)
	}
	node.mu.Lock()
	defer node.mu.Unlock()
	if got := strings.Join(node.bodies, ""); !strings.Contains(got, large) {
		t.Errorf("the call had %s", got)
	}
}

// TestTimes_AreThoseOfTheViewer: in its zone, UTC beside it; how long something
// takes does not depend on its clock, also where that is hours behind (n8n#25618).
func TestTimes_AreThoseOfTheViewer(t *testing.T) {
	tab := browser(t)
	node := serve(t, map[string]string{"slow": task("wait", "get", "/held", "")})
	do(t, tab, emulation.SetTimezoneOverride("Asia/Kolkata"), emulation.SetLocaleOverride().WithLocale("en-GB"),
		chromedp.ActionFunc(func(ctx context.Context) error {
			_, err := page.AddScriptToEvaluateOnNewDocument(`{ const D = Date; globalThis.Date = class extends D { constructor(...a) { if (a.length) super(...a); else super(D.now() - 3 * 3600e3); } static now() { return D.now() - 3 * 3600e3; } }; }`).Do(ctx)
			return err
		}))
	open(t, tab, node.url+"/flows/slow")
	do(t, tab, chromedp.Click(`form[action$="/runs"] button`, chromedp.ByQuery))
	loaded(t, tab, "/runs/")
	node.called(t, "/held")
	await(t, tab, "a second", `/^[1-9]/.test(document.querySelector('[data-ms]')?.innerText)`)
	if text := see[string](t, tab, `document.querySelector('[data-ms]').innerText`); strings.Contains(text, "-") || strings.Contains(text, "h") {
		t.Errorf("so far: %s", text)
	}
	for _, what := range []string{"Started", "Execution date"} {
		got := see[[]string](t, tab, fmt.Sprintf(`(() => { const t = [...document.querySelectorAll('dt')].find((d) => d.innerText === %q).parentElement.querySelector('time'); return [t.innerText, t.title, t.dateTime, new Intl.DateTimeFormat('en-GB', {dateStyle: 'short', timeStyle: 'medium', timeZone: 'Asia/Kolkata'}).format(new Date(t.dateTime))]; })()`, what))
		if got[0] != got[3] || !strings.HasSuffix(got[1], " UTC") || !strings.HasSuffix(got[2], "Z") {
			t.Errorf("%s is %q", what, got)
		}
	}
}

// TestGone_IsSaid: a run that is not there, and one whose flow was taken away
// (airflow#38329, prefect legacy-ui#376).
func TestGone_IsSaid(t *testing.T) {
	tab := browser(t)
	node := serve(t, map[string]string{"quick": task("a", "get", "/", "")})
	open(t, tab, node.url+"/runs/01M84BFBV1N8Q6D2T4XW9B7C5E")
	if text := see[string](t, tab, `document.querySelector('main').innerText`); !strings.Contains(text, "[retention] runs") {
		t.Errorf("a run that is gone: %s", text)
	}
	node.run(t, "trigger", "quick", "--wait")
	open(t, tab, node.url+"/runs")
	run := see[string](t, tab, `document.querySelector('tbody a.open').href`)
	if err := os.Remove(node.dir + "/flows/quick.toml"); err != nil {
		t.Fatal(err)
	}
	open(t, tab, node.url+"/flows")
	await(t, tab, "the flow to go", `!document.querySelector('#flow-quick')`)
	for _, view := range []string{"", "?task=a", "?view=graph", "?view=timeline", "?view=log"} {
		open(t, tab, run+view)
		if text := see[string](t, tab, `document.querySelector('h1').innerText`); !strings.Contains(text, "success") {
			t.Errorf("%s of a run whose flow is gone: %s", view, text)
		}
	}
}
