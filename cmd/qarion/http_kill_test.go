package main_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qarion/qarion/internal/testkit"
)

// TestHTTP_KilledWhileRunsAreStarted kills the node again and again while
// clients start runs with keys of their own, each until it is answered. Each
// key has one run then, and each run has made its call.
func TestHTTP_KilledWhileRunsAreStarted(t *testing.T) {
	up := testkit.NewUpstream(t)
	up.Handle("/pay", testkit.OK(`{}`))
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	flow := "[variables]\nkey = \"\"\n[[tasks]]\nid = \"a\"\ntype = \"api_call\"\nproperties = { url = \"" + up.URL + "/pay?key={{ key }}\" }\n"
	if err := os.WriteFile(filepath.Join(dir, "flows", "pay.toml"), []byte(flow), 0o600); err != nil {
		t.Fatal(err)
	}
	const clients, each, kills = 8, 12, 5
	var mu sync.Mutex
	node := testkit.Serve(t, dir, "QARION_HTTP_LISTEN=127.0.0.1:0")
	door := func() string { mu.Lock(); defer mu.Unlock(); return node.HTTP }

	runs := make([]map[string]string, clients) // key -> run
	var all sync.WaitGroup
	for c := range clients {
		runs[c] = map[string]string{}
		all.Go(func() {
			for i := range each {
				key := fmt.Sprintf("k-%d-%d", c, i)
				for until := time.Now().Add(time.Minute); runs[c][key] == ""; {
					if runs[c][key] = startByHTTP(door(), key); time.Now().After(until) {
						t.Errorf("key %s was never answered", key)
						return
					}
				}
				time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			}
		})
	}
	for range kills {
		time.Sleep(time.Duration(50+rand.IntN(250)) * time.Millisecond)
		node.Kill()
		next := testkit.Serve(t, dir, "QARION_HTTP_LISTEN=127.0.0.1:0")
		mu.Lock()
		node = next
		mu.Unlock()
	}
	all.Wait()

	byRun := map[string]string{}
	for _, keys := range runs {
		for key, run := range keys {
			if other := byRun[run]; other != "" {
				t.Errorf("run %s is that of %s and %s", run, key, other)
			}
			byRun[run] = key
			if again := startByHTTP(door(), key); again != run {
				t.Errorf("key %s: run %s, and asked again %s", key, run, again)
			}
		}
	}
	var page struct {
		Runs []struct {
			ID     string `json:"run_id"`
			Status string `json:"status"`
		} `json:"runs"`
	}
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		res, err := http.Get(door() + "/api/v1/runs?limit=1000")
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(res.Body).Decode(&page)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		open := 0
		for _, r := range page.Runs {
			if r.Status != "success" {
				open++
			}
		}
		if open == 0 || time.Now().After(until) {
			break
		}
	}
	if len(page.Runs) != clients*each || len(byRun) != clients*each {
		t.Errorf("%d runs, %d answered, of %d keys", len(page.Runs), len(byRun), clients*each)
	}
	called := map[string]bool{}
	for _, r := range up.Requests("/pay") {
		called[r.Query.Get("key")] = true
	}
	for _, r := range page.Runs {
		if r.Status != "success" {
			t.Errorf("run %s is %s", r.ID, r.Status)
		}
		if !called[byRun[r.ID]] {
			t.Errorf("the call of run %s, key %q, was not made", r.ID, byRun[r.ID])
		}
	}
}

// startByHTTP starts a run with a key, and returns its id; "" where there was
// no answer.
func startByHTTP(door, key string) string {
	body := fmt.Sprintf(`{"variables":{"key":%q}}`, key)
	req, err := http.NewRequest("POST", door+"/api/v1/flows/pay/runs", strings.NewReader(body))
	if err != nil {
		return ""
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	c := http.Client{Timeout: 10 * time.Second}
	res, err := c.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	var doc struct {
		ID string `json:"run_id"`
	}
	if json.NewDecoder(res.Body).Decode(&doc) != nil {
		return ""
	}
	return doc.ID
}
