package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
)

// echo is a node that answers with what it was asked.
func echo() *double {
	return &double{call: func(who engine.Caller, endpoint, payload string) (string, error) {
		return fmt.Sprintf(`{"endpoint":%q,"payload":%s}`, endpoint, payload), nil
	}}
}

const jsonType = "application/json"

// TestAPI_WhatTheNodeIsAsked: every route, with everything that it knows.
func TestAPI_WhatTheNodeIsAsked(t *testing.T) {
	s := door(t, echo())
	asked := map[string]bool{}
	for _, c := range []struct {
		request, body, endpoint, payload string
		headers                          []string
	}{
		{"POST /flows/orders/runs", `{"variables":{"a":1.50},"batch_id":7,"execution_date":"2026-01-31T06:00:00Z","trigger_id":"x","trigger_type":"shop","xcom":["a"]}`,
			"run.start", `{"batch_id":7,"execution_date":"2026-01-31T06:00:00Z","flow":"orders","id":"k 1","trigger_id":"x","trigger_type":"shop","variables":{"a":1.50},"wait":60,"xcom":["a"]}`,
			[]string{"Idempotency-Key", `"k 1"`, "Prefer", "respond-async, wait=60"}},
		{"POST /flows/orders/runs", "", "run.start", `{"flow":"orders"}`, nil},
		{"POST /flows/orders/runs?wait=1.5", "", "run.start", `{"flow":"orders","wait":1.5}`, []string{"Prefer", "wait=60"}},
		{"POST /flows/orders/runs", "", "run.start", `{"flow":"orders","id":"plain","wait":3600}`, []string{"Idempotency-Key", "plain", "Prefer", "wait=100000"}},
		{"POST /flows/orders/runs", "", "run.start", `{"flow":"orders"}`, []string{"Prefer", "wait=soon"}},
		{"GET /runs?flow=a&status=failed&since=2h&limit=5&before=X", "", "run.list", `{"before":"X","flow":"a","limit":5,"since":"2h","status":"failed"}`, nil},
		{"GET /runs/last?wait=3&xcom=a,b&brief=true", "", "run.get", `{"brief":true,"run_id":"last","wait":3,"xcom":["a","b"]}`, nil},
		{"GET /runs/last/tasks?status=failed&limit=10&after=x", "", "run.tasks", `{"after":"x","limit":10,"run_id":"last","status":"failed"}`, nil},
		{"GET /runs/last/log?task=a&oldest=1", "", "log.list", `{"oldest":true,"run_id":"last","task":"a"}`, nil},
		{"GET /log?run=last&flow=f&since=1d&before=x", "", "log.list", `{"before":"x","flow":"f","run_id":"last","since":"1d"}`, nil},
		{"GET /runs/last/xcom/a?attempt=2", "", "xcom.get", `{"attempt":2,"run_id":"last","task_id":"a"}`, nil},
		{"POST /runs/last/cancel", `{"reason":"by hand"}`, "run.cancel", `{"reason":"by hand","run_id":"last"}`, nil},
		{"POST /runs/last/resolve", `{"task_id":"a","as":"success","value":[1]}`, "run.resolve", `{"as":"success","run_id":"last","task_id":"a","value":[1]}`, nil},
		{"POST /runs/last/decide", `{"task_id":"a","as":"approve","comment":"ok","value":[1]}`, "run.decide", `{"as":"approve","comment":"ok","run_id":"last","task_id":"a","value":[1]}`, nil},
		{"POST /runs/last/signals/paid", `{"value":{"sum":1.50},"id":"m1"}`, "run.signal", `{"id":"m1","run_id":"last","signal":"paid","value":{"sum":1.50}}`, nil},
		{"POST /runs/last/signals/paid", "", "run.signal", `{"run_id":"last","signal":"paid"}`, nil},
		{"POST /flows/orders/signals/paid", `{"key":"17"}`, "run.signal", `{"flow":"orders","key":"17","signal":"paid"}`, nil},
		{"POST /runs/last/rerun?wait=3", `{"from":"a","version":"newest","variables":{"b":1.50},"keys":"new","dry_run":true}`, "run.rerun", `{"dry_run":true,"from":"a","keys":"new","run_id":"last","variables":{"b":1.50},"version":"newest","wait":3}`, nil},
		{"GET /flows", "", "flow.list", `{}`, nil},
		{"GET /flows/a", "", "flow.get", `{"flow":"a"}`, nil},
		{"GET /flows/a/source", "", "flow.source", `{"flow":"a"}`, nil},
		{"GET /flows/a/problems", "", "flow.problems", `{"flow":"a"}`, nil},
		{"GET /problems", "", "flow.problems", `{}`, nil},
		{"GET /schedules", "", "schedule.list", `{}`, nil},
		{"GET /flows/f/schedule?trigger=s&limit=3", "", "schedule.next", `{"flow":"f","limit":3,"trigger":"s"}`, nil},
		{"POST /flows/f/schedule/pause?trigger=s", "", "schedule.pause", `{"flow":"f","trigger":"s"}`, nil},
		{"POST /flows/f/schedule/resume?catchup=true", "", "schedule.resume", `{"catchup":true,"flow":"f"}`, nil},
		{"GET /breakers", "", "breaker.list", `{}`, nil},
		{"POST /breakers/https:%2F%2Fapi.example.com:443/reset", "", "breaker.reset", `{"key":"https://api.example.com:443"}`, nil},
		{"GET /hooks", "", "hook.list", `{}`, nil},
		{"GET /credentials", "", "credential.list", `{}`, nil},
		{"GET /tokens", "", "token.list", `{}`, nil},
		{"GET /users", "", "user.list", `{}`, nil},
		{"GET /node", "", "node.status", `{}`, nil},
		{"POST /query", `{"sql":"SELECT 1","limit":2,"timeout":3}`, "query", `{"limit":2,"sql":"SELECT 1","timeout":3}`, nil},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		headers := append([]string{"Authorization", "Bearer admin"}, c.headers...)
		if c.body != "" {
			headers = append(headers, "Content-Type", jsonType+"; charset=utf-8")
		}
		res, text := ask(t, s, method, apiPrefix+path, c.body, headers...)
		var got struct {
			Endpoint string          `json:"endpoint"`
			Payload  json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil || got.Endpoint != c.endpoint || string(got.Payload) != c.payload {
			t.Errorf("%s: %d %s\nwant %s %s", c.request, res.StatusCode, text, c.endpoint, c.payload)
		}
		asked[c.endpoint] = true
	}
	for _, rt := range apiRoutes() {
		if !asked[rt.endpoint] {
			t.Errorf("no case asks %s", rt.endpoint)
		}
	}
}

// TestAPI_EachRouteWithEachRole: what the table of the engine says is what
// comes in, and who does not is told why.
func TestAPI_EachRouteWithEachRole(t *testing.T) {
	d := echo()
	s := door(t, d)
	off := door(t, d, func(c *Config) { c.Login = LoginAlways })
	for _, rt := range apiRoutes() {
		e, err := engine.EndpointNamed(rt.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		path := apiPrefix + strings.NewReplacer("{flow}", "f", "{run}", "last", "{task}", "a", "{breaker}", "b").Replace(rt.path)
		for _, role := range append([]engine.Role{""}, engine.Roles[:]...) {
			headers, body := []string{"Content-Type", jsonType}, "{}"
			want := engine.RoleOperator.May(e.Role) && !e.Login // without a token, on this machine
			if role != "" {
				headers, want = append(headers, "Authorization", "Bearer "+string(role)), role.May(e.Role)
			}
			res, text := ask(t, s, rt.method, path, body, headers...)
			if ok := res.StatusCode < 300; ok != want || !ok && res.StatusCode != 403 {
				t.Errorf("%q asks %s %s: %d %s", role, rt.method, path, res.StatusCode, text)
			}
			if role == "" {
				if res, text := ask(t, off, rt.method, path, body, headers...); res.StatusCode != 401 {
					t.Errorf("without a token where one is needed, %s %s: %d %s", rt.method, path, res.StatusCode, text)
				}
			}
		}
	}
}

func TestAPI_StatusesAndHeaders(t *testing.T) {
	var answer string
	var fails error
	d := &double{call: func(engine.Caller, string, string) (string, error) { return answer, fails }}
	s := door(t, d)
	answer = `{"run_id":"R1","final":false}`
	if res, _ := ask(t, s, "POST", apiPrefix+"/flows/f/runs", ""); res.StatusCode != 202 || res.Header.Get("Location") != "/api/v1/runs/R1" {
		t.Errorf("started: %d %v", res.StatusCode, res.Header)
	}
	answer = `{"run_id":"R1","final":true}`
	res, _ := ask(t, s, "POST", apiPrefix+"/flows/f/runs", "", "Prefer", "wait=5")
	if res.StatusCode != 201 || res.Header.Get("Location") != "/api/v1/runs/R1" || res.Header.Get("Preference-Applied") != "wait=5" {
		t.Errorf("waited for: %d %v", res.StatusCode, res.Header)
	}
	answer = `{"runs":[{"run_id":"R2"},{"run_id":"R1"}],"more":true}`
	if res, _ := ask(t, s, "GET", apiPrefix+"/runs?status=failed&limit=2", ""); res.Header.Get("Link") != `</api/v1/runs?before=R1&limit=2&status=failed>; rel="next"` {
		t.Errorf("a page: %v", res.Header)
	}
	answer = `{"runs":[{"run_id":"R2"}],"more":false}`
	if res, _ := ask(t, s, "GET", apiPrefix+"/runs", ""); res.Header.Get("Link") != "" {
		t.Errorf("the last page: %v", res.Header)
	}
	answer = `{"tasks":[{"task_id":"a"}],"more":true}`
	if res, _ := ask(t, s, "GET", apiPrefix+"/runs/last/tasks", ""); res.Header.Get("Link") != `</api/v1/runs/last/tasks?after=a>; rel="next"` {
		t.Errorf("tasks: %v", res.Header)
	}
	answer = `{"operations":[{}],"first":"F","last":"L","more":true}`
	for query, want := range map[string]string{"": "before=F", "?before=B": "before=F", "?oldest=true": "after=L&oldest=true", "?after=A": "after=L"} {
		if res, _ := ask(t, s, "GET", apiPrefix+"/log"+query, ""); res.Header.Get("Link") != `</api/v1/log?`+want+`>; rel="next"` {
			t.Errorf("log%s: %v", query, res.Header)
		}
	}
	for _, c := range []struct {
		err   error
		want  int
		hint  string
		again string
	}{
		{fmt.Errorf("%w: no flow \"ordrs\" (did you mean \"orders\"?)", engine.ErrNotFound), 404, "qarion flows list", ""},
		{fmt.Errorf("%w: it has ended", engine.ErrConflict), 409, "", ""},
		{fmt.Errorf("%w: 1024 callers", engine.ErrBusy), 429, "", "1"},
		{fmt.Errorf("%w: the node is stopping", engine.ErrUnavailable), 503, "", "5"},
		{errors.New("something else"), 500, "", ""},
	} {
		fails = c.err
		res, text := ask(t, s, "GET", apiPrefix+"/flows/f", "")
		var p Problem
		if err := json.Unmarshal([]byte(text), &p); err != nil || res.StatusCode != c.want || p.Hint != c.hint || res.Header.Get("Retry-After") != c.again || p.Detail != engine.ErrorLine(c.err) {
			t.Errorf("%v: %d %s %v", c.err, res.StatusCode, text, res.Header)
		}
	}
}

func TestAPI_WhatCannotBeUsed(t *testing.T) {
	d := echo()
	s := door(t, d)
	for _, c := range []struct {
		request, body, kind string
		want                int
		detail              string
	}{
		{"POST /flows/f/runs", `{"variables":{}}`, "text/plain", 415, `Content-Type is "text/plain", want application/json`},
		{"POST /flows/f/runs", `{"variables":{}}`, "", 415, `Content-Type is "", want application/json`},
		{"POST /flows/f/runs", `a=1`, "application/x-www-form-urlencoded", 415, `Content-Type is "application/x-www-form-urlencoded", want application/json`},
		{"POST /flows/f/runs", `[1]`, jsonType, 400, "the body is not a JSON object"},
		{"POST /flows/f/runs", `{"variables":`, jsonType, 400, "the body is not a JSON object"},
		{"POST /flows/f/runs", `null`, jsonType, 400, "the body is not a JSON object"},
		{"POST /flows/f/runs", `{"varibles":{}}`, jsonType, 400, `unknown field "varibles" (did you mean "variables"?)`},
		{"POST /flows/f/runs", `{"flow":"other"}`, jsonType, 400, `unknown field "flow"; there are batch_id, execution_date, trigger_id, trigger_type, variables, xcom`},
		{"POST /flows/f/runs", `{"variables":"` + strings.Repeat("x", 300<<10) + `"}`, jsonType, 413, "the body is larger than 278528 bytes"},
		{"POST /query", `{"sql":"` + strings.Repeat("x", 1<<20) + `"}`, jsonType, 413, "the body is larger than 1048576 bytes"},
		{"POST /query", ``, jsonType, 400, "a JSON object is wanted as the body"},
		{"GET /runs?statsu=failed", "", "", 400, `unknown query parameter "statsu" (did you mean "status"?)`},
		{"GET /runs?limit=many", "", "", 400, `limit is "many", want a integer`},
		{"GET /runs?limit=1.5", "", "", 400, `limit is "1.5", want a integer`},
		{"GET /runs?limit=1&limit=2", "", "", 400, "limit stands 2 times in the query"},
		{"GET /runs?limit=%zz", "", "", 400, "the query cannot be read"},
		{"GET /node?x=1", "", "", 400, `unknown query parameter "x"; there are none`},
		{"PUT /runs", "", "", 405, "PUT is not for /api/v1/runs: there are GET, HEAD"},
		{"GET /rnus", "", "", 404, "nothing is at /api/v1/rnus"},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		var headers []string
		if c.kind != "" {
			headers = []string{"Content-Type", c.kind}
		}
		res, text := ask(t, s, method, apiPrefix+path, c.body, headers...)
		var p Problem
		if err := json.Unmarshal([]byte(text), &p); err != nil || res.StatusCode != c.want || p.Detail != c.detail || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %.40s: %d %s\nwant %d %s", c.request, c.body, res.StatusCode, text, c.want, c.detail)
		}
	}
}

// TestAPI_ABodyThatDripsIsCutOff and takes no part of the node meanwhile.
func TestAPI_ABodyThatDripsIsCutOff(t *testing.T) {
	s := door(t, echo(), func(c *Config) { c.bodyTime = 200 * time.Millisecond })
	c, err := net.Dial("tcp", s.conns.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = fmt.Fprintf(c, "POST %s/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", apiPrefix)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	if err != nil || !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 408 ")) {
		t.Errorf("got %q, %v", buf[:n], err)
	}
}

func TestAPI_LargeValuesComeAsTheyAre(t *testing.T) {
	page := "<script>alert(1)</script>"
	d := &double{
		call: func(engine.Caller, string, string) (string, error) {
			return fmt.Sprintf(`{"object":"R/a","size":%d,"content_type":"text/html"}`, len(page)), nil
		},
		objects: map[string]string{"R/a": page},
	}
	s := door(t, d)
	res, text := ask(t, s, "GET", apiPrefix+"/runs/last/xcom/a", "")
	if res.StatusCode != 200 || text != page || res.Header.Get("Content-Type") != "text/html" {
		t.Errorf("%d %q %v", res.StatusCode, text, res.Header)
	}
	if res.Header.Get("Content-Disposition") != "attachment" || !strings.Contains(res.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("a stranger's page would run here: %v", res.Header)
	}
	if res, text := ask(t, s, "HEAD", apiPrefix+"/runs/last/xcom/a", ""); res.StatusCode != 200 || text != "" || res.ContentLength != int64(len(page)) {
		t.Errorf("HEAD: %d %q %v", res.StatusCode, text, res.Header)
	}
	d.objects["R/a"] = page[:5] // what is missing must not look whole
	req, err := http.NewRequest("GET", s.url+apiPrefix+"/runs/last/xcom/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
		defer res.Body.Close()
		var buf bytes.Buffer
		if _, err := buf.ReadFrom(res.Body); err == nil {
			t.Errorf("a part looks like the whole: %q", buf.String())
		}
	}
}

func TestAudit_TellsWhatChangesSomething(t *testing.T) {
	d := echo()
	s := door(t, d)
	ask(t, s, "GET", apiPrefix+"/runs", "")
	ask(t, s, "POST", apiPrefix+"/query", "{}", "Content-Type", jsonType)
	ask(t, s, "POST", apiPrefix+"/flows/f/runs", "", "Authorization", "Bearer trigger")
	ask(t, s, "POST", apiPrefix+"/runs/last/cancel", "", "Authorization", "Bearer viewer")
	ask(t, s, "POST", apiPrefix+"/runs/last/cancel", "", "Authorization", "Bearer nobody")
	d.mu.Lock()
	defer d.mu.Unlock()
	var got []string
	for _, a := range d.audits {
		got = append(got, fmt.Sprintf("%s %s %s %s %s %s", a.Who, a.Role, a.From, a.Endpoint, a.What, a.Result))
	}
	want := []string{
		"token trigger trigger 127.0.0.1 run.start POST /api/v1/flows/f/runs ok",
		"token viewer viewer 127.0.0.1 run.cancel POST /api/v1/runs/last/cancel 403",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// TestOpenAPI_IsUpToDate holds the committed document against the routes;
// UPDATE=1 writes it.
func TestOpenAPI_IsUpToDate(t *testing.T) {
	const path = "../docs/openapi.json"
	doc, err := openAPI(apiRoutes())
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, doc, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(old, doc) {
		t.Errorf("docs/openapi.json is not what the routes say (%v): UPDATE=1 go test ./web -run TestOpenAPI", err)
	}
	if _, text := ask(t, door(t, nil), "GET", apiPrefix+"/openapi.json", ""); text != string(doc) {
		t.Error("the door shows another one")
	}
}
