package browsertest

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestRuns_SeveralAreCancelled: those that are chosen, after the page has said
// what follows and which commands do the same.
func TestRuns_SeveralAreCancelled(t *testing.T) {
	tab := browser(t)
	node := serve(t, map[string]string{"slow": task("wait", "get", "/held", "")})
	var ids []string
	for range 3 {
		ids = append(ids, node.run(t, "trigger", "slow", "-q"))
		node.called(t, "/held")
	}
	open(t, tab, node.url+"/runs")
	for _, id := range ids[:2] {
		do(t, tab, chromedp.Click(`input[value="`+id+`"]`, chromedp.ByQuery))
	}
	do(t, tab, chromedp.Click(`#several button`, chromedp.ByQuery))
	loaded(t, tab, "/runs/cancel")
	if text := see[string](t, tab, `document.body.innerText`); !strings.Contains(text, "Cancel 2 runs?") || !strings.Contains(text, "calls in flight are cut off") || strings.Contains(text, ids[2]) {
		t.Errorf("before it is sure\n%s", text)
	}
	if text := see[string](t, tab, `document.querySelector('details pre').textContent`); !strings.Contains(text, "qarion runs cancel "+ids[0]) {
		t.Errorf("the commands are %q", text)
	}
	do(t, tab, chromedp.Click(`button.danger`, chromedp.ByQuery))
	await(t, tab, "what was done", `document.querySelector('h1').innerText === 'Cancel 2 runs: done'`)
	open(t, tab, node.url+"/runs?status=cancelled")
	await(t, tab, "two that are cancelled", `document.querySelectorAll('tbody tr').length === 2`)
	open(t, tab, node.url+"/runs?status=running")
	await(t, tab, "one that goes on", `document.querySelectorAll('tbody tr').length === 1`)
}

// TestGraph_ArrowsGoAlongTheLines: right to what needs a task, left to what it
// needs, up and down beside it.
func TestGraph_ArrowsGoAlongTheLines(t *testing.T) {
	tab := browser(t)
	after := func(text, deps string) string {
		return strings.Replace(text, "type =", "dependencies = ["+deps+"]\ntype =", 1)
	}
	node := serve(t, map[string]string{"graph": task("first", "get", "/", "") + after(task("upper", "get", "/", ""), `"first"`) + after(task("lower", "get", "/", ""), `"first"`) +
		after(task("last", "get", "/", ""), `"upper", "lower"`)})
	open(t, tab, node.url+"/flows/graph")
	do(t, tab, chromedp.Evaluate(`document.querySelector('.box[aria-label^="task first"]').focus()`, nil))
	at := func(want string) {
		t.Helper()
		await(t, tab, "the focus on "+want, fmt.Sprintf(`document.activeElement.getAttribute('aria-label')?.startsWith('task %s')`, want))
	}
	at("first")
	do(t, tab, chromedp.KeyEvent(kb.ArrowRight))
	one := see[string](t, tab, `document.activeElement.getAttribute('aria-label').split(',')[0].slice(5)`)
	other, key, back := "lower", kb.ArrowDown, kb.ArrowUp
	if one == "lower" || see[bool](t, tab, `Number(document.querySelector('.box[aria-label^="task upper"] rect').getAttribute('y')) > Number(document.querySelector('.box[aria-label^="task lower"] rect').getAttribute('y'))`) {
		other = map[string]string{"lower": "upper", "upper": "lower"}[one]
	}
	if see[bool](t, tab, fmt.Sprintf(`Number(document.activeElement.querySelector('rect').getAttribute('y')) > Number(document.querySelector('.box[aria-label^="task %s"] rect').getAttribute('y'))`, other)) {
		key, back = back, key
	}
	do(t, tab, chromedp.KeyEvent(key))
	at(other)
	do(t, tab, chromedp.KeyEvent(back))
	at(one)
	do(t, tab, chromedp.KeyEvent(kb.ArrowRight))
	at("last")
	do(t, tab, chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.ArrowLeft))
	at("first")
}

// TestXCom_APathIsCopied: as a template reads that part of the value.
func TestXCom_APathIsCopied(t *testing.T) {
	tab := browser(t)
	node := serve(t, map[string]string{"quick": task("get-user", "get", "/", "")})
	run := node.run(t, "run", "flows/quick.toml", "-q")
	said := hear(t, tab)
	open(t, tab, node.url+"/runs/"+run+"/xcom/get-user")
	do(t, tab, chromedp.Evaluate(`navigator.clipboard.writeText = async (text) => { globalThis.copied = text; }; 0`, nil),
		chromedp.Click(`button.copy[data-copy*=".id "]`, chromedp.ByQuery))
	await(t, tab, "the copy", `globalThis.copied`)
	if text := see[string](t, tab, `copied`); text != "{{ xcom_get_user.id }}" {
		t.Errorf("copied: %q", text)
	}
	if text := see[string](t, tab, `document.querySelector('.tree').innerText`); !strings.Contains(text, "3544790567247868102") {
		t.Errorf("the tree shows\n%s", text)
	}
	if text := said.take(); text != "" {
		t.Errorf("it complains: %s", text)
	}
}

// TestLog_StaysWhileSomebodyReads: whoever has gone down in it finds the lines
// where they were, is told so, and sees what is new at the top.
func TestLog_StaysWhileSomebodyReads(t *testing.T) {
	tab := browser(t)
	var text strings.Builder
	for i := range 60 {
		text.WriteString(task(fmt.Sprintf("t%d", i), "get", "/", ""))
	}
	node := serve(t, map[string]string{"many": text.String(), "one": task("a", "get", "/", "")})
	go func() {
		for range node.calls { // nobody waits for them here
		}
	}()
	node.run(t, "trigger", "many", "--wait")
	open(t, tab, node.url+"/log")
	await(t, tab, "the lines", `document.querySelectorAll('tbody tr').length === 60`)
	do(t, tab, chromedp.Evaluate(`scrollTo(0, 600)`, nil))
	await(t, tab, "that it pauses", `!document.getElementById('live').hidden && document.getElementById('live').innerText.includes('while you read')`)
	node.run(t, "trigger", "one", "--wait")
	await(t, tab, "the new line, for who loads it", `fetch('/log').then(async (r) => { globalThis.lines = (await r.text()).split('id="op-').length - 1; }), globalThis.lines === 61`)
	if n := see[int](t, tab, `document.querySelectorAll('tbody tr').length`); n != 60 {
		t.Errorf("%d lines while somebody reads", n)
	}
	do(t, tab, chromedp.Evaluate(`scrollTo(0, 0)`, nil))
	await(t, tab, "the new line at the top", `document.querySelectorAll('tbody tr').length === 61 && document.getElementById('live').hidden`)
}

// TestLogin_WithAPassword: who has one gets in with it, and is out once it is
// changed.
func TestLogin_WithAPassword(t *testing.T) {
	tab := browser(t)
	node := serve(t, nil)
	set := func(password string) {
		t.Helper()
		c := exec.Command(node.binary, "users", "set", "ann", "--role", "admin")
		c.Dir, c.Stdin = node.dir, strings.NewReader(password+"\n")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("users set: %v\n%s", err, out)
		}
	}
	set("correct horse battery")
	open(t, tab, node.url+"/login?next=%2Ftokens")
	do(t, tab, chromedp.SendKeys(`#name`, "ann", chromedp.ByQuery), chromedp.SendKeys(`#secret`, "wrong horse battery"+kb.Enter, chromedp.ByQuery))
	await(t, tab, "the refusal", `document.querySelector('#wrong:not([hidden])')?.innerText.includes('the name or the password is wrong')`)
	do(t, tab, chromedp.SendKeys(`#secret`, "correct horse battery"+kb.Enter, chromedp.ByQuery))
	loaded(t, tab, "/tokens")
	await(t, tab, "being logged in", `document.querySelector('.who')?.innerText.includes('user ann (admin)')`)
	open(t, tab, node.url+"/users")
	do(t, tab, chromedp.SendKeys(`main input[name="name"]`, "bob", chromedp.ByQuery), chromedp.SendKeys(`main input[name="password"]`, "a staple for bob"+kb.Enter, chromedp.ByQuery))
	await(t, tab, "another user", `document.getElementById('user-bob')`)
	set("another horse battery")
	open(t, tab, node.url+"/tokens")
	await(t, tab, "that the login has ended", `!document.querySelector('.who')?.innerText.includes('user ann')`)
}
