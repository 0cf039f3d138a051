package node

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/web"
)

// upstream answers every call with 200, and those to /down with 503.
func upstream(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// httpNode opens a node with an HTTP door and the flows good and bad.
func httpNode(t *testing.T, change ...func(*Config)) *Node {
	t.Helper()
	flows, api := t.TempDir(), upstream(t)
	for name, path := range map[string]string{"good": "/", "bad": "/down"} {
		text := "[[tasks]]\nid = \"a\"\ntype = \"api_call\"\nproperties = { url = \"" + api + path + "\", retry_count = 0 }\n"
		if name == "good" {
			text = "[[triggers]]\ntype = \"schedule\"\ncron = \"@yearly\"\n" + text
		}
		if err := os.WriteFile(filepath.Join(flows, name+".toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Config{DataDir: filepath.Join(t.TempDir(), "data"), Flows: flows, Slots: 4, Version: "v1.2.3", HTTP: &web.Config{Listen: "127.0.0.1:0"}}
	for _, c := range change {
		c(&cfg)
	}
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return answered(t, &http.Client{Timeout: 20 * time.Second}, req)
}

func runFlow(t *testing.T, n *Node, flow string) *engine.RunDoc {
	t.Helper()
	payload, err := json.Marshal(bus.StartRun{Flow: flow, Wait: json.RawMessage("60")})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := n.service.Call(t.Context(), engine.Anonymous(""), "run.start", payload)
	if err != nil {
		t.Fatal(err)
	}
	doc := new(engine.RunDoc)
	if err := json.Unmarshal(answer.JSON, doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to that: " + what)
		}
	}
}

// TestMetrics_OfANodeThatWorks: when a run's end was waited for the metrics
// have it, and every figure of the node is there.
func TestMetrics_OfANodeThatWorks(t *testing.T) {
	n := httpNode(t)
	runFlow(t, n, "good")
	runFlow(t, n, "good")
	runFlow(t, n, "bad")
	status, text := get(t, n.URL()+"/metrics")
	if status != 200 {
		t.Fatal(status, text)
	}
	for _, line := range []string{
		`qarion_runs_started_total{flow="good"} 2`, `qarion_runs_total{flow="good",status="success"} 2`, `qarion_runs_total{flow="bad",status="failed"} 1`,
		`qarion_attempts_total{flow="bad",outcome="failed",status_class="5xx"} 1`, `qarion_attempts_total{flow="good",outcome="success",status_class="2xx"} 2`,
		`qarion_slots 4`, `qarion_slots_busy 0`, `qarion_runs_open 0`, `qarion_ready 1`, `qarion_breakers{state="closed"} 1`,
		`qarion_view_behind_entries{view="events"} 0`, `qarion_store_full 0`, `qarion_triggers_waiting 0`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	for _, pattern := range []string{
		`(?m)^qarion_ledger_sequence [1-9]`, `(?m)^qarion_stream_messages\{stream="QARION_LEDGER"\} [1-9]`, `(?m)^qarion_nats_connections [1-9]`,
		`(?m)^qarion_nats_messages_total\{direction="in"\} [1-9]`, `(?m)^process_resident_memory_bytes `, `(?m)^qarion_disk_free_bytes [1-9]`,
	} {
		if !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("nothing matches %s", pattern)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestMetrics_BeginWithTheProcess: what a node did before it was started again
// is not counted once more.
func TestMetrics_BeginWithTheProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	n := httpNode(t, func(c *Config) { c.DataDir = dir })
	runFlow(t, n, "good")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = httpNode(t, func(c *Config) { c.DataDir = dir })
	if _, text := get(t, n.URL()+"/metrics"); strings.Contains(text, `qarion_runs_total{flow="good"`) {
		t.Error("a run of before is counted")
	}
	runFlow(t, n, "good")
	if _, text := get(t, n.URL()+"/metrics"); !strings.Contains(text, "\n"+`qarion_runs_total{flow="good",status="success"} 1`+"\n") {
		t.Error("a run of now is not counted")
	}
}

func TestReady_TheServerIsClosed(t *testing.T) {
	n := httpNode(t)
	if status, text := get(t, n.URL()+"/readyz"); status != 200 {
		t.Fatalf("at first: %d %s", status, text)
	}
	n.Bus.Close() // as if it had died within the process
	if status, text := get(t, n.URL()+"/readyz"); status != 503 || text != "closed\n" {
		t.Errorf("readyz: %d %q", status, text)
	}
	if status, text := get(t, n.URL()+"/healthz"); status != 200 {
		t.Errorf("healthz: %d %q", status, text)
	}
	if status, text := get(t, n.URL()+"/metrics"); status != 200 || !strings.Contains(text, "\nqarion_ready 0\n") {
		t.Errorf("metrics: %d %.300s", status, text)
	}
	n.Engine.Abort()
}

func TestReady_TheNodeIsStopping(t *testing.T) {
	n := httpNode(t)
	url := n.URL()
	n.closing.Store(true)
	if status, text := get(t, url+"/readyz"); status != 503 || text != "stopping\n" {
		t.Errorf("readyz: %d %q", status, text)
	}
	n.stop()
	<-n.done
	waitFor(t, "healthz tells that the engine has ended", func() bool {
		status, text := get(t, url+"/healthz")
		return status == 503 && text == "stopped\n"
	})
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get(url + "/healthz"); err == nil {
		t.Error("the door is open after the end")
	}
}
