package main_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/internal/testkit"
)

// limited is a folder whose qarion.toml limits the upstream's host.
func limited(t *testing.T, u *testkit.Upstream, limit string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	host := strings.TrimPrefix(u.URL, "http://")
	write(t, filepath.Join(dir, "qarion.toml"), fmt.Sprintf("[limits.shop]\nhosts = [%q]\n%s\n", host, limit))
	return dir
}

// parked is how many tasks of the node wait for each limit.
func parked(t *testing.T, dir string) map[string]int {
	t.Helper()
	out, errs, code := qarion(t, dir, "status", "--output", "json")
	var st struct {
		Engine struct{ Parked map[string]int }
	}
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		t.Fatalf("%d %v: %s%s", code, err, out, errs)
	}
	return st.Engine.Parked
}

// TestLimits_HoldTheRate: however many tasks are ready, and wherever their flow
// files say they go, no window has more calls than rate and burst allow.
func TestLimits_HoldTheRate(t *testing.T) {
	for name, url := range map[string]string{"a host of the file": "%s/ok", "a host of data": "{{ '%s' }}/ok"} {
		t.Run(name, func(t *testing.T) {
			u := testkit.NewUpstream(t)
			dir := limited(t, u, "rate = \"20/s\"\nburst = 3")
			var tasks strings.Builder
			for i := range 25 {
				fmt.Fprintf(&tasks, "[[tasks]]\nid = \"t%d\"\ntype = \"api_call\"\nproperties = { url = %q }\n", i, fmt.Sprintf(url, u.URL))
			}
			write(t, filepath.Join(dir, "flows", "many.toml"), tasks.String())
			p := testkit.Serve(t, dir)
			defer p.Stop()
			if out, errs, code := qarion(t, dir, "trigger", "many", "--wait"); code != 0 {
				t.Fatal(out, errs)
			}
			var at []time.Time
			for _, c := range u.Requests() {
				at = append(at, c.At)
			}
			slices.SortFunc(at, time.Time.Compare)
			if len(at) != 25 {
				t.Fatalf("%d calls", len(at))
			}
			// What a call takes to arrive differs, on a busy machine by much; all at
			// once would be twice of what is left.
			const late = 450 * time.Millisecond
			for i := range at {
				for j := i; j < len(at); j++ {
					if most := 3 + 20*(at[j].Sub(at[i])+late).Seconds(); float64(j-i+1) > most+0.001 {
						t.Errorf("%d calls within %s", j-i+1, at[j].Sub(at[i]))
					}
				}
			}
			out, _, _ := qarion(t, dir, "query", "SELECT count(*) FROM xt_operation_logs WHERE status = 'deferred'", "--output", "csv")
			if n := strings.Fields(out)[1]; name == "a host of the file" && n != "0" {
				t.Errorf("%s attempts were postponed, where waiting costs none", n)
			}
		})
	}
}

// TestLimits_AQuotaOutlivesAKill: what was spent of an hour is spent.
func TestLimits_AQuotaOutlivesAKill(t *testing.T) {
	u := testkit.NewUpstream(t)
	dir := limited(t, u, "rate = \"3/h\"\nburst = 3")
	var tasks strings.Builder
	for i := range 5 {
		tasks.WriteString(upstreamTask(u, fmt.Sprintf("t%d", i), "ok", "", ""))
	}
	write(t, filepath.Join(dir, "flows", "quota.toml"), tasks.String())
	p := testkit.Serve(t, dir)
	if out, errs, code := qarion(t, dir, "trigger", "quota"); code != 0 {
		t.Fatal(out, errs)
	}
	host := strings.TrimPrefix(u.URL, "http://")
	waits := func() bool {
		docs, _, _ := qarion(t, dir, "runs", "list", "--jq", ".[0].task_counts.success")
		return parked(t, dir)["limit shop ("+host+")"] == 2 && strings.TrimSpace(docs) == "3"
	}
	until(t, "two tasks wait for the limit", waits)
	p.Kill()
	p = testkit.Serve(t, dir)
	until(t, "they wait again", waits)
	if n := len(u.Requests()); n != 3 {
		t.Errorf("%d calls, want the 3 of an hour", n)
	}
	if out, errs, code := qarion(t, dir, "runs", "cancel", "last"); code != 0 {
		t.Error(out, errs)
	}
	until(t, "nobody waits after a cancel", func() bool { return len(parked(t, dir)) == 0 })
	p.Stop()
}

// TestLimits_HeedTheServer: an answer that says that no call is left holds the others
// back, also when it is a success; a 403 that says so is tried again.
func TestLimits_HeedTheServer(t *testing.T) {
	u := testkit.NewUpstream(t)
	dir := limited(t, u, "rate = \"1000/s\"\nburst = 100")
	u.Handle("/last", testkit.Reply(200, `{}`, "Content-Type", "application/json", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(time.Now().Add(2*time.Hour).Unix())))
	u.Handle("/forbidden", testkit.First(1, testkit.Reply(403, "", "Retry-After", "1"), testkit.OK(`{}`)))
	write(t, filepath.Join(dir, "flows", "spent.toml"), upstreamTask(u, "a", "last", "", "")+upstreamTask(u, "b", "ok", after("a"), ""))
	write(t, filepath.Join(dir, "flows", "forbidden.toml"), upstreamTask(u, "a", "forbidden", "", "retry_count = 1\nretry_delay = 0.01"))
	p := testkit.Serve(t, dir)
	defer p.Stop()
	if out, errs, code := qarion(t, dir, "trigger", "forbidden", "--wait"); code != 0 {
		t.Error(out, errs)
	}
	if out, errs, code := qarion(t, dir, "trigger", "spent"); code != 0 {
		t.Fatal(out, errs)
	}
	until(t, "the second task waits", func() bool { return len(parked(t, dir)) == 1 })
	if n := len(u.Requests("/ok")); n != 0 {
		t.Errorf("it was called all the same")
	}
}

// TestLimits_TooLongAWaitFails, with a line that says so.
func TestLimits_TooLongAWaitFails(t *testing.T) {
	u := testkit.NewUpstream(t)
	dir := limited(t, u, "rate = \"1/h\"\nlimit_max_wait = \"10m\"")
	write(t, filepath.Join(dir, "flows", "two.toml"), upstreamTask(u, "a", "ok", "", "")+upstreamTask(u, "b", "ok", after("a"), ""))
	p := testkit.Serve(t, dir)
	defer p.Stop()
	out, errs, code := qarion(t, dir, "trigger", "two", "--wait")
	host := strings.TrimPrefix(u.URL, "http://")
	if want := "b: limit shop (" + host + "): next call in 1h0m0s, longer than limit_max_wait (10m0s)"; code != 1 || !strings.Contains(out+errs, want) {
		t.Errorf("%d %s%s, want %q", code, out, errs, want)
	}
}

// TestLimits_HoldWhileSlotsAreBusy: what waits for a slot has taken no call yet, or
// all of them would go out together once one is free. Reading a list, joining it and
// a condition that is false are no calls.
func TestLimits_HoldWhileSlotsAreBusy(t *testing.T) {
	u := testkit.NewUpstream(t)
	dir := limited(t, u, "rate = \"10/s\"\nper = \"name\"\n[worker]\nslots = 1")
	write(t, filepath.Join(dir, "flows", "busy.toml"), "[[tasks]]\nid = \"w\"\ntype = \"api_call\"\nproperties = { url = \""+strings.Replace(u.URL, "127.0.0.1", "localhost", 1)+"/slow/2s\" }\n")
	write(t, filepath.Join(dir, "flows", "items.toml"), "[[tasks]]\nid = \"i\"\ntype = \"api_call\"\nfor_each = \"{{ range(9) }}\"\nproperties = { url = \""+u.URL+"/ok\", limit = \"shop\" }\n")
	write(t, filepath.Join(dir, "flows", "none.toml"), "[[tasks]]\nid = \"n\"\ntype = \"api_call\"\nwhen = \"{{ false }}\"\nproperties = { url = \""+u.URL+"/ok\", limit = \"shop\" }\n")
	p := testkit.Serve(t, dir)
	defer p.Stop()
	for _, args := range [][]string{{"trigger", "busy"}, {"trigger", "items"}, {"trigger", "busy"}, {"trigger", "none"}} {
		if out, errs, code := qarion(t, dir, args...); code != 0 {
			t.Fatal(out, errs)
		}
	}
	until(t, "the items have been called for", func() bool { return len(u.Requests("/ok")) == 9 })
	if n := len(u.Requests("/slow/2s")); n != 2 {
		t.Fatalf("the slots were busy with %d calls, want 2", n)
	}
	calls := u.Requests("/ok")
	slices.SortFunc(calls, func(a, b testkit.Request) int { return a.At.Compare(b.At) })
	// As many as are given out to a busy worker may go at once.
	const given, late = 2, 400 * time.Millisecond
	for i := range calls {
		for j := i; j < len(calls); j++ {
			if most := given + 1 + 10*(calls[j].At.Sub(calls[i].At)+late).Seconds(); float64(j-i+1) > most {
				t.Errorf("%d calls within %s", j-i+1, calls[j].At.Sub(calls[i].At))
			}
		}
	}
}
