// Package browsertest looks at the web pages with a real browser, as a person
// and as a screen reader would. It is a module of its own, so that the program
// depends on none of what it needs. Without a chromium, or without axe-core
// (npm ci in this folder), its tests are skipped by name.
package browsertest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take on a machine that is busy with other
// things.
const patience = 60 * time.Second

// demo starts `qarion demo --keep` and returns the address of its pages.
func demo(t *testing.T) string {
	t.Helper()
	url, _ := demoIn(t)
	return url
}

// demoIn is demo, which also returns its data directory.
func demoIn(t *testing.T) (url, dir string) {
	t.Helper()
	c := exec.Command(program(t), "demo", "--keep")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
	})
	address := regexp.MustCompile(`^look at it: (http://\S+)`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := address.FindStringSubmatch(lines.Text()); m != nil {
			url = m[1]
		}
		if _, at, found := strings.Cut(lines.Text(), "export QARION_DATA_DIR="); found {
			return url, at
		}
	}
	t.Fatal("the demo ended without an address")
	return "", ""
}

// browser starts a chromium; its context is that of a first tab.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no chromium on this machine: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1280, 800), chromedp.WSURLReadTimeout(patience))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// complaints are what a tab says of errors and of its policy.
type complaints struct {
	mu   sync.Mutex
	list []string
}

func (c *complaints) add(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, text)
}

// take returns what was said since it was asked last.
func (c *complaints) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := strings.Join(c.list, "\n")
	c.list = nil
	return text
}

// hear listens to what a tab complains of.
func hear(t *testing.T, tab context.Context) *complaints {
	t.Helper()
	c := &complaints{}
	chromedp.ListenTarget(tab, func(e any) {
		switch e := e.(type) {
		case *log.EventEntryAdded:
			// An answer that is an error is what some of the pages are.
			if e.Entry.Level == log.LevelError && e.Entry.Source != log.SourceNetwork || e.Entry.Source == log.SourceSecurity {
				c.add(e.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			c.add(e.ExceptionDetails.Error())
		}
	})
	do(t, tab, log.Enable(), runtime.Enable())
	return c
}

func do(t *testing.T, tab context.Context, actions ...chromedp.Action) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// see asks the page for something.
func see[T any](t *testing.T, tab context.Context, script string) (out T) {
	t.Helper()
	do(t, tab, chromedp.Evaluate(script, &out))
	return out
}

// await waits until something holds on the page, whatever page that is by then.
func await(t *testing.T, tab context.Context, what, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	for {
		var ok bool
		err := chromedp.Run(ctx, chromedp.Evaluate(`Boolean(`+script+`)`, &ok))
		if ok {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s: %v\n%s", what, err, see[string](t, tab, `document.body.innerText`))
		}
	}
}

func open(t *testing.T, tab context.Context, url string) {
	t.Helper()
	do(t, tab, chromedp.Navigate(url))
}

func theme(name string) chromedp.Action {
	return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}})
}

// picture keeps what is on the screen, in the folder QARION_PICTURES if it is
// named.
func picture(t *testing.T, tab context.Context, name string) {
	t.Helper()
	var png []byte
	do(t, tab, chromedp.CaptureScreenshot(&png))
	dir := os.Getenv("QARION_PICTURES")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

// runOf is the address of the newest run of a flow.
func runOf(t *testing.T, tab context.Context, url, flow string) string {
	t.Helper()
	open(t, tab, url+"/runs?flow="+flow)
	return see[string](t, tab, `document.querySelector('tbody a.open').href`)
}
