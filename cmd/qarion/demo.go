package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/flows"
	"github.com/qarion/qarion/internal/sampleapi"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/kvstore"
	"github.com/qarion/qarion/node"
	"github.com/qarion/qarion/web"
)

// demoFlows are the flows that the demo runs, in this order, with what each of
// them shows.
var demoFlows = []struct {
	id    engine.FlowID
	shows string
	fails bool
}{
	{"get_user", "the smallest flow: one GET", false},
	{"post_order", "POST with a JSON body", false},
	{"order_chain", "values passed between tasks (XCom)", false},
	{"checked_stock", "a response checked field by field", false},
	{"hooked_stock", "unwrapped and checked by Wasm hooks", false},
	{"fan_out", "20 calls in parallel, joined by one", false},
	{"labelled_boxes", "a call for each item of a list, 8 at once", false},
	{"flaky_invoice", "503 twice, then 201; one idempotency key", false},
	{"busy_reports", "429, then as long as Retry-After says", false},
	{"oauth2_account", "OAuth2: one token for all, renewed on 401", false},
	{"signed_refund", "a request signed over its own body", false},
	{"due_reminders", "SQL to API to SQL, in one transaction each", false},
	{"approved_order", "waits for an approval, which the demo gives", false},
	{"warehouse_down", "a circuit that opens, and closes again", false},
	{"declined_card", "a failure worth reading (on purpose)", true},
}

func (a *app) demoCommand() *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use: "demo", Short: "See everything at work, in seconds",
		Long:    "Starts the engine in a temporary folder and a sample API on loopback, runs the example flows and shows what happened.",
		Example: "  qarion demo\n  qarion demo --keep",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.demo(c.Context(), keep) },
	}
	c.Flags().BoolVar(&keep, "keep", false, "go on serving, with commands to try")
	return c
}

func (a *app) demo(ctx context.Context, keep bool) error {
	began := time.Now()
	dir, err := os.MkdirTemp("", "qarion-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	api, err := sampleapi.Start(keep)
	if err != nil {
		return err
	}
	defer api.Close()
	flowDir := filepath.Join(dir, "flows")
	hookDir := filepath.Join(dir, "hooks")
	if err := errors.Join(writeFlows(flowDir, api.URL), writeHooks(hookDir)); err != nil {
		return err
	}
	if !a.flags.quiet && !a.json() {
		fmt.Fprintf(a.ui.err, "qarion %s demo · engine and sample API on loopback · data in a temporary folder\n\n", programVersion())
	}
	dataDir := filepath.Join(dir, "data")
	listen := ""
	if keep {
		listen = "127.0.0.1:0"
	}
	cfg := *a.cfg
	cfg.Breaker.Failures, cfg.Breaker.Open = apicall.DefaultBreakerFailures, "1s" // nobody watches for 30 s
	nc, err := cfg.node(dataDir, quietLogger(a))
	if err != nil {
		return err
	}
	nc.Listen, nc.Flows, nc.Hooks, nc.Key = listen, flowDir, hookDir, kvstore.KeyConfig{}
	if keep {
		nc.HTTP = &web.Config{Listen: listen}
	}
	n, err := node.Open(ctx, nc)
	if err != nil {
		return err
	}
	defer n.Close()
	client, err := n.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	for _, sample := range []node.CredentialInput{
		{ID: "sample_oauth2", Type: "oauth", Data: value.MapOf("client_id", sampleapi.Client, "client_secret", sampleapi.Secret, "token_url", api.URL+"/oauth/token")},
		{ID: "sample_signing", Type: "custom", Data: value.MapOf("token", sampleapi.SigningKey)},
	} {
		if err := client.Admin(ctx, "credential.store", sample, nil); err != nil {
			return err
		}
	}
	docs, err := a.runDemo(ctx, client)
	if err != nil {
		return err
	}
	if err := a.demoTable(ctx, client, docs); err != nil {
		return err
	}
	if err := a.concludeDemo(docs, time.Since(began)); err != nil {
		return err
	}
	if keep {
		return a.keepDemo(ctx, n, dataDir, api.URL)
	}
	return nil
}

// writeHooks puts the modules of the example flows into a folder.
func writeHooks(dir string) error {
	modules, err := fs.Sub(flows.Files, "hooks")
	if err != nil {
		return err
	}
	return os.CopyFS(dir, modules)
}

// writeFlows puts the example flows into a folder, with the sample API's
// address as the default of their base_url.
func writeFlows(dir, base string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	names, err := fs.Glob(flows.Files, "*.toml")
	if err != nil {
		return err
	}
	for _, name := range names {
		data, err := flows.Files.ReadFile(name)
		if err != nil {
			return err
		}
		text := strings.ReplaceAll(string(data), sampleapi.Base, base)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// runDemo runs the flows side by side and shows them as they go.
func (a *app) runDemo(ctx context.Context, client *bus.Client) ([]*engine.RunDoc, error) {
	docs := make([]*engine.RunDoc, len(demoFlows))
	errs := make([]error, len(demoFlows))
	began := time.Now()
	var mu sync.Mutex
	view := a.newLive(ctx, len(demoFlows)+2)
	defer func() { view.erase() }()
	show := func() {
		lines := demoRows(docs, a.ui.now(), a.ui.errColor)
		lines = append(lines, "", demoTally(docs, time.Since(began)))
		view.show(func() []string { return lines })
	}
	var wg sync.WaitGroup
	for i, f := range demoFlows {
		wg.Go(func() {
			doc := new(engine.RunDoc)
			if errs[i] = client.Call(ctx, "run.start", bus.StartRun{Flow: string(f.id), TriggerType: "cli"}, doc); errs[i] != nil {
				return
			}
			approved := approveOnce(ctx, client)
			_, errs[i] = client.Watch(ctx, doc.RunID, func(d *engine.RunDoc) {
				approved(d)
				mu.Lock()
				defer mu.Unlock()
				docs[i] = d
				if view != nil {
					show()
				} else if d.Final && !a.flags.quiet && !a.json() {
					total, good := taskCount(d)
					fmt.Fprintf(a.ui.err, "%s %s %d/%d %s\n", d.FlowID, d.Status, good, total, millis(d.DurationMS))
				}
			})
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("demo flow %s: %w", demoFlows[i].id, err)
		}
	}
	return docs, nil
}

// approveOnce gives a run the approval that it waits for, as somebody would. What
// goes wrong is seen: the run then ends as the demo does not expect, or not at all.
func approveOnce(ctx context.Context, client *bus.Client) func(d *engine.RunDoc) {
	var once sync.Once
	return func(d *engine.RunDoc) {
		for i := range d.Tasks {
			if t := &d.Tasks[i]; t.Status == engine.Waiting && t.Awaits == engine.AwaitApproval {
				once.Do(func() {
					in := bus.DecideTask{Run: string(d.RunID), Task: string(t.TaskID), As: "approve", Comment: "by the demo"}
					if err := client.Signed(ctx, "run.decide", in, nil); err != nil {
						_ = client.Call(ctx, "run.cancel", bus.RunRef{Run: string(d.RunID), Reason: "the demo could not approve: " + err.Error()}, nil)
					}
				})
			}
		}
	}
}

// demoRows is the live view: one line per flow.
func demoRows(docs []*engine.RunDoc, now time.Time, color bool) []string {
	out := make([]string, 0, len(docs))
	for i, d := range docs {
		if d == nil {
			out = append(out, fmt.Sprintf("  %-14s  %-9s", demoFlows[i].id, "pending"))
			continue
		}
		total, good := taskCount(d)
		status, took, what := string(d.Status), millis(d.DurationMS), ""
		if !d.Final {
			took = since(d.StartTime, now)
			status, what = demoState(d, now)
		} else if d.Error != nil {
			what = d.Error.Message
		}
		line := fmt.Sprintf("  %-14s  %s %6s  %6s  %s", d.FlowID, paint(fmt.Sprintf("%-9s", status), statusStyle(status), color), fmt.Sprintf("%d/%d", good, total), took, what)
		out = append(out, strings.TrimRight(line, " "))
	}
	return out
}

func demoState(d *engine.RunDoc, now time.Time) (status, what string) {
	flying := 0
	for i := range d.Tasks {
		t := &d.Tasks[i]
		if t.Status == engine.Running {
			flying++
		}
		if t.Status == engine.Waiting || t.Status == engine.Ready && t.NotBefore != "" {
			return "waiting", waitNote(t, now)
		}
	}
	return "running", plural(flying, "call") + " in flight"
}

func demoTally(docs []*engine.RunDoc, took time.Duration) string {
	done, calls, again := 0, 0, 0
	for _, d := range docs {
		if d == nil {
			continue
		}
		if d.Final {
			done++
		}
		calls += d.Calls
		again += retries(d)
	}
	return fmt.Sprintf("  %d of %d flows done · %s · %d retries · %.1fs", done, len(docs), plural(calls, "call"), again, took.Seconds())
}

// concludeDemo prints the summary and holds the outcome against what the demo
// expects.
func (a *app) concludeDemo(docs []*engine.RunDoc, took time.Duration) error {
	calls, wrong, expected := 0, []string{}, []string{}
	for i, d := range docs {
		calls += d.Calls
		if f := demoFlows[i]; f.fails {
			expected = append(expected, string(f.id))
		}
		if (d.Status == engine.Success) == demoFlows[i].fails {
			wrong = append(wrong, string(d.FlowID))
		}
	}
	if a.json() {
		if err := a.printJSON(map[string]any{"flows": docs, "calls": calls, "expected_failures": expected, "ok": len(wrong) == 0}); err != nil {
			return err
		}
	} else {
		a.demoSummary(docs, calls, took)
	}
	if len(wrong) > 0 {
		return fail(fmt.Errorf("the demo did not go as it should: %s", strings.Join(wrong, ", ")))
	}
	return nil
}

func (a *app) demoSummary(docs []*engine.RunDoc, calls int, took time.Duration) {
	t := newTable("FLOW", "STATUS", "TASKS", "CALLS", "RETRIES", "TIME", "SHOWS").alignRight(2, 3, 4, 5)
	for i, d := range docs {
		total, good := taskCount(d)
		again := "-"
		if n := retries(d); n > 0 {
			again = fmt.Sprint(n)
		}
		t.add(string(d.FlowID), a.ui.paint(string(d.Status), statusStyle(string(d.Status))), fmt.Sprintf("%d/%d", good, total), fmt.Sprint(d.Calls), again, millis(d.DurationMS), demoFlows[i].shows)
	}
	a.ui.printTable(t)
	w := a.ui.out
	for _, d := range docs {
		if d.Status == engine.Failed {
			fmt.Fprintf(w, "\n%s / %s", d.FlowID, a.failureBlock(d))
		}
	}
	failed := 0
	for _, f := range demoFlows {
		if f.fails {
			failed++
		}
	}
	fmt.Fprintf(w, "\n%s, %s in %s: %d as they should, %d failed on purpose.\n", plural(len(docs), "flow"), plural(calls, "call"), duration(took), len(docs)-failed, failed)
	fmt.Fprintf(w, "\nNext:\n  %-38s%s\n  %-38s%s\n", "qarion demo --keep", "keep it serving, with the commands to try", "qarion run flows/order_chain.toml", "one flow, in front of you (while the demo is kept)")
}

// keepDemo goes on serving and says what to try.
func (a *app) keepDemo(ctx context.Context, n *node.Node, dataDir, api string) error {
	if err := writeServeFile(dataDir, serveFile{n.Bus.Access(), n.URL(), os.Getpid()}); err != nil {
		return err
	}
	url := n.Bus.Access().URL
	fmt.Fprintf(a.ui.out, "\nserving: %s, sample API %s · Ctrl-C stops\nlook at it: %s\n\nTry in a second terminal:\n", url, api, n.URL())
	lines := []string{
		"export QARION_DATA_DIR=" + dataDir,
		"qarion logs --follow",
		"qarion runs show last",
		"qarion trigger order_chain --var customer=12 --wait",
		"qarion breakers list",
		"qarion credentials list",
		"nats --server " + url + ` pub qarion.trigger.get_user '{"user": 12}'`,
	}
	if api == sampleapi.Base {
		lines = append(lines, "qarion run flows/oauth2_account.toml")
	}
	for _, line := range lines {
		fmt.Fprintln(a.ui.out, "  "+line)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-n.Done():
		return n.Err()
	}
}
