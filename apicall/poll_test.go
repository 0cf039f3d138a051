package apicall_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

// job is a server that starts jobs by POST /start and says of each look at it
// what the script has next, the last one for ever.
func job(t *testing.T, looks ...string) *testkit.Upstream {
	u := testkit.NewUpstream(t)
	u.Handle("POST /start", testkit.Reply(202, `{"id": 7, "status": "queued"}`, "Content-Type", "application/json", "Location", "/jobs/7"))
	n := 0
	u.Handle("GET /jobs/7", testkit.Do(func(w http.ResponseWriter, _ *testkit.Call) {
		look := looks[min(n, len(looks)-1)]
		n++
		status, body, _ := strings.Cut(look, " ")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(number(status, 200))
		_, _ = w.Write([]byte(body))
	}))
	u.Handle("/jobs/7/result", testkit.OK(`{"rows": 3}`))
	return u
}

func polled(t *testing.T, u *testkit.Upstream, poll *value.Map, more ...any) (*engine.RunDoc, string) {
	t.Helper()
	rec := &testkit.Recorder{}
	kind, err := apicall.New(apicall.Config{Slots: 2, Egress: loopback})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	n := testkit.StartNode(t, testkit.NodeConfig{Slots: 2, Types: []engine.TaskType{kind}, Views: rec.Views, Change: func(*runtime.Config) {}})
	props := plus(value.MapOf("url", u.URL+"/start", "operation", "post", "body", value.MapOf("a", "b"), "poll", plus(poll, "interval", 0.002)), more...)
	flow := &engine.Flow{ID: "f", Timeout: time.Hour, Tasks: []engine.Task{{ID: "job", Type: apicall.Name, Properties: props}}}
	if wrong := engine.Refused(engine.Compile(flow, map[string]engine.TaskType{apicall.Name: kind}).Problems); wrong != nil {
		t.Fatal(wrong)
	}
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "f", AdHoc: flow})
	if err != nil {
		t.Fatal(err)
	}
	end := rec.End(t, doc.RunID)
	got := ""
	for _, c := range rec.Changes() {
		if c.Kind == engine.AttemptDone && c.Attempt.Outcome == engine.OutcomeSuccess {
			got = string(c.Attempt.Value)
		}
	}
	return end, got
}

// TestPoll_WaitsForTheEndOfAJob in each of its ways. The job is started once.
func TestPoll_WaitsForTheEndOfAJob(t *testing.T) {
	running, done := `200 {"status": "running"}`, `200 {"status": "done", "result_url": "/jobs/7/result"}`
	until := "{{ body.status == 'done' }}"
	while := "{{ body.status in ['queued', 'running'] }}"
	for _, row := range []struct {
		name  string
		looks []string
		poll  *value.Map
		want  string
		turns int
	}{
		{"follow until it is no 202", []string{"202 {}", "202 {}", done}, value.MapOf("follow", "location"), `{"status": "done", "result_url": "/jobs/7/result"}`, 4},
		{"follow until", []string{running, running, done}, value.MapOf("follow", "location", "until", until), `{"status": "done", "result_url": "/jobs/7/result"}`, 4},
		{"follow while", []string{running, done}, value.MapOf("follow", "location", "while", while), `{"status": "done", "result_url": "/jobs/7/result"}`, 3},
		{"an address of the first answer", []string{running, done}, value.MapOf("url", "@/jobs/{{ start.id }}", "until", until, "while", while), `{"status": "done", "result_url": "/jobs/7/result"}`, 3},
		{"and then the result", []string{running, done}, value.MapOf("follow", "location", "until", until, "result", "{{ body.result_url }}"), `{"rows": 3}`, 4},
		{"a look that fails is retried", []string{"503 ", running, "503 ", done}, value.MapOf("follow", "location", "until", until), `{"status": "done", "result_url": "/jobs/7/result"}`, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			u := job(t, row.looks...)
			if v, ok := row.poll.Get("url"); ok {
				row.poll.Set("url", strings.Replace(v.(string), "@", u.URL, 1))
			}
			end, got := polled(t, u, row.poll, "retry_count", int64(1), "retry_delay", 0.001, "idempotency_key", true)
			if end.Status != engine.Success || got != row.want || end.Tasks[0].Turns != row.turns {
				t.Fatalf("run %s: %s, %d turns, %+v", end.Status, got, end.Tasks[0].Turns, end.Error)
			}
			if n := u.Count("/start"); n != 1 {
				t.Errorf("the job was started %d times", n)
			}
			for _, r := range u.Requests("/jobs/7") {
				if r.Method != "GET" || len(r.Body) > 0 || r.Key != "" || r.Header.Get("Content-Type") != "" {
					t.Errorf("a look is %s with the body %s, the key %s, the type %s", r.Method, r.Body, r.Key, r.Header.Get("Content-Type"))
				}
			}
		})
	}
}

// TestPoll_WhatGoesWrong is one clear line.
func TestPoll_WhatGoesWrong(t *testing.T) {
	until, while := "{{ body.status == 'done' }}", "{{ body.status in ['queued', 'running'] }}"
	follow := value.MapOf("follow", "location", "until", until)
	for _, row := range []struct {
		look string
		poll *value.Map
		want string
	}{
		{`200 {"status": "lost"}`, plus(follow, "while", while), "poll: the answer fits neither until, while nor fail_when"},
		{`200 {"status": "failed"}`, plus(follow, "fail_when", "{{ body.status == 'failed' }}"), "poll: fail_when holds: the job has failed"},
		{`200 {"status": "running"}`, plus(follow, "timeout", 0.05), "poll: not done after 50ms, "},
		{`200 {"state": "running"}`, follow, "poll.until: body.status is undefined"},
		{`404 {}`, follow, "poll 1: 404 Not Found"},
		{`200 {"status": "done"}`, plus(follow, "result", "{{ body.status }}://x"), "poll.result: is none, or leads to something else than http and https"},
	} {
		u := job(t, row.look)
		end, _ := polled(t, u, row.poll, "idempotency_key", true)
		if end.Status != engine.Failed || !strings.Contains(end.Error.Message, row.want) {
			t.Errorf("run %s: %+v\nwant %s", end.Status, end.Error, row.want)
		}
		if n := u.Count("/start"); n != 1 {
			t.Errorf("the job was started %d times", n)
		}
	}
	u := testkit.NewUpstream(t)
	u.Handle("/start", testkit.Reply(202, `{}`, "Content-Type", "application/json"))
	if end, _ := polled(t, u, value.MapOf("follow", "location"), "idempotency_key", true); end.Status != engine.Failed || end.Error.Message != `poll: follow = "location", but the answer has no Location (202)` {
		t.Errorf("run %s: %+v", end.Status, end.Error)
	}
}

// TestPoll_Mistakes in a flow are found before anything is sent.
func TestPoll_Mistakes(t *testing.T) {
	until := "{{ body.done }}"
	for _, row := range []struct {
		poll *value.Map
		more []any
		want string
	}{
		{value.MapOf(), nil, `poll has no end: give until or while, or follow = "location"`},
		{value.MapOf("follow", "link"), nil, `follow is "link", want one of location`},
		{value.MapOf("follow", "location", "url", "http://h.test/x"), nil, "poll.follow and url exclude each other"},
		{value.MapOf("until", "body.done", "follow", "location"), nil, "poll.until must be exactly one {{ ... }}"},
		{value.MapOf("until", int64(3), "follow", "location"), nil, "poll.until is an int, want a template"},
		{value.MapOf("until", until, "every", int64(3)), nil, `unknown key of poll "every" (there are: follow, url, until, while, fail_when, result, interval, backoff, max_interval, timeout)`},
		{value.MapOf("until", until), []any{"operation", "post"}, "poll would send the POST again: name the address of the job with follow or url, or say safe = true"},
		{value.MapOf("until", until), []any{"paginate", value.MapOf("type", "link")}, "poll and paginate exclude each other: paginate what the job has made in a task of its own"},
		{value.MapOf("until", until), []any{"store_as", "object"}, `poll reads the answer, and store_as = "object" does not: download what the job has made in a task of its own`},
	} {
		kind, err := apicall.New(apicall.Config{})
		if err != nil {
			t.Fatal(err)
		}
		flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: apicall.Name, Properties: plus(value.MapOf("url", "http://h.test/", "poll", row.poll), row.more...)}}}
		_, problems := kind.Prepare(flow, &flow.Tasks[0])
		if !slices.ContainsFunc(problems, func(p engine.Problem) bool { return p.Message == row.want }) {
			t.Errorf("problems %+v\nwant %s", problems, row.want)
		}
		kind.Close()
	}
}
