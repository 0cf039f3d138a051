package apicall_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

// paged runs one task that reads pages on an engine, and returns how the run
// ended and what the task left.
func paged(t *testing.T, cfg apicall.Config, props *value.Map) (*engine.RunDoc, string, []*engine.AttemptRecord) {
	t.Helper()
	cfg.Slots = 2
	kind, err := apicall.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	rec := &testkit.Recorder{}
	var blobs engine.Blobs
	n := testkit.StartNode(t, testkit.NodeConfig{Slots: 2, Types: []engine.TaskType{kind}, Views: rec.Views, Change: func(c *runtime.Config) { blobs = c.Blobs }})
	flow := &engine.Flow{ID: "f", Timeout: engine.DefaultRunTimeout, Tasks: []engine.Task{
		{ID: "list", Type: apicall.Name, Properties: props},
		{ID: "after", Type: apicall.Name, Dependencies: []engine.TaskID{"list"}, Properties: value.MapOf(
			"url", origin(props)+"/after", "params", value.MapOf("pages", "{{ resp_list.pages }}", "items", "{{ resp_list.items }}"))},
	}}
	if wrong := engine.Refused(engine.Compile(flow, map[string]engine.TaskType{apicall.Name: kind}).Problems); wrong != nil {
		t.Fatal(wrong)
	}
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "f", AdHoc: flow})
	if err != nil {
		t.Fatal(err)
	}
	end := rec.End(t, doc.RunID)
	var last *engine.AttemptRecord
	var all []*engine.AttemptRecord
	for _, c := range rec.Changes() {
		if c.Kind == engine.AttemptDone && c.Task == "list" && !c.Superseded {
			last = c.Attempt
			all = append(all, last)
		}
	}
	if last == nil || last.Outcome != engine.OutcomeSuccess {
		return end, "", all
	}
	if last.Blob == nil {
		return end, string(last.Value), all
	}
	data, err := blobs.Get(t.Context(), last.Blob.Name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return end, string(data), all
}

func origin(props *value.Map) string {
	v, _ := props.Get("url")
	u := v.(string)
	return u[:strings.LastIndexByte(u, '/')]
}

// shelf is a server that has a list of numbers from 0 and gives it out in pages,
// in every way that paginate knows.
type shelf struct {
	n, page int
}

func (s shelf) slice(from, size int) []int {
	out := []int{}
	for i := max(from, 0); i < min(from+size, s.n); i++ {
		out = append(out, i)
	}
	return out
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func number(text string, def int) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return def
}

func (s shelf) serve(u *testkit.Upstream) {
	u.Handle("/after", testkit.OK(`{}`))
	u.Handle("/link", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		from := number(c.URL.Query().Get("from"), 0)
		if next := from + s.page; next < s.n {
			w.Header().Set("Link", fmt.Sprintf(`</link?from=%d>; rel="next", </link>; rel="first"`, next))
		}
		reply(w, s.slice(from, s.page))
	}))
	u.Handle("/url", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		from := number(c.URL.Query().Get("from"), 0)
		var next any
		if from+s.page < s.n {
			next = fmt.Sprintf("%s/url?q=%s&from=%d", u.URL, c.URL.Query().Get("q"), from+s.page)
		}
		reply(w, map[string]any{"data": s.slice(from, s.page), "next": next})
	}))
	u.Handle("/cursor", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		from := number(c.URL.Query().Get("after"), number(c.Header.Get("X-After"), 0))
		var body struct{ Variables struct{ After string } }
		if json.Unmarshal(c.Seen.Body, &body) == nil && body.Variables.After != "" {
			from = number(body.Variables.After, 0)
		}
		doc := map[string]any{"data": s.slice(from, s.page), "meta": map[string]any{"more": true}}
		if from+s.page < s.n {
			doc["meta"] = map[string]any{"next": strconv.Itoa(from + s.page), "more": true}
		}
		reply(w, doc)
	}))
	u.Handle("/offset", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		size := min(number(c.URL.Query().Get("limit"), s.page), s.page) // capped
		reply(w, map[string]any{"data": s.slice(number(c.URL.Query().Get("offset"), -1), size), "total": nil})
	}))
	u.Handle("/since", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		reply(w, s.slice(number(c.URL.Query().Get("since"), -1)+1, s.page))
	}))
	u.Handle("/total", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		reply(w, map[string]any{"data": s.slice(number(c.URL.Query().Get("offset"), -1), s.page), "total": s.n})
	}))
	u.Handle("/page", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		at := number(c.URL.Query().Get("page"), -1)
		reply(w, map[string]any{"data": s.slice((at-1)*s.page, s.page), "pages": (s.n + s.page - 1) / s.page})
	}))
}

// TestPaginate reads the same list in every way.
func TestPaginate(t *testing.T) {
	u := testkit.NewUpstream(t)
	s := shelf{n: 23, page: 5}
	s.serve(u)
	post := []any{"operation", "post", "safe", true, "body", value.MapOf("query", "q", "variables", value.MapOf("first", int64(5)))}
	for _, row := range []struct {
		name, path string
		calls      int
		paginate   *value.Map
		more       []any
	}{
		{"link", "/link", 5, value.MapOf("type", "link"), nil},
		{"next_url", "/url", 5, value.MapOf("type", "next_url", "items", "data"), []any{"params", value.MapOf("q", "a&b")}},
		{"cursor in a parameter", "/cursor", 5, value.MapOf("type", "cursor", "items", "data", "path", "meta.next", "param", "after"), nil},
		{"cursor in a header", "/cursor", 5, value.MapOf("type", "cursor", "items", "data", "path", "meta.next", "into", "header:x-after"), nil},
		{"cursor in the body", "/cursor", 5, value.MapOf("type", "cursor", "items", "data", "path", "meta.next", "into", "body:/variables/after"), post},
		{"cursor of the last item", "/since", 6, value.MapOf("type", "cursor", "path", "last_item", "param", "since"), nil},
		{"cursor in the last item", "/since", 6, value.MapOf("type", "cursor", "path", "last_item.id", "param", "since"), []any{"select", "map({id: .})"}},
		{"offset", "/offset", 6, value.MapOf("type", "offset", "items", "data"), nil},
		{"offset with a capped size", "/offset", 6, value.MapOf("type", "offset", "items", "data", "limit", int64(100), "limit_param", "limit"), nil},
		{"offset with an unknown total", "/offset", 6, value.MapOf("type", "offset", "items", "data", "total", "total"), nil},
		{"offset with a total", "/total", 5, value.MapOf("type", "offset", "items", "data", "total", "total"), nil},
		{"offset until a short page", "/offset", 5, value.MapOf("type", "offset", "items", "data", "limit", int64(5), "stop_on_short", true), nil},
		{"page", "/page", 6, value.MapOf("type", "page", "items", "data"), nil},
		{"page with a count", "/page", 5, value.MapOf("type", "page", "items", "data", "total_pages", "pages"), nil},
		{"page until a condition", "/page", 5, value.MapOf("type", "page", "items", "data", "stop_when", "{{ 22 in items and page == 5 and body.pages == 5 }}"), nil},
		{"jq", "/page", 5, value.MapOf("type", "jq", "items", "data", "next", "if .page < .body.pages then {params: {page: (.page + 1)}} else null end"), []any{"params", value.MapOf("page", int64(1))}},
		{"jq with an address", "/url", 5, value.MapOf("type", "jq", "items", "data", "next", "if .body.next then {url: .body.next} else null end"), nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			before, asked := u.Count(row.path), u.Count("/after")
			props := plus(value.MapOf("url", u.URL+row.path, "paginate", row.paginate), row.more...)
			end, got, _ := paged(t, apicall.Config{Egress: loopback}, props)
			if end.Status != engine.Success {
				t.Fatalf("the run is %s: %+v", end.Status, end.Error)
			}
			want, _ := json.Marshal(s.slice(0, s.n))
			last := u.Requests("/after")[asked]
			items := strconv.Itoa(s.n)
			if row.more != nil && row.more[0] == "select" {
				want = []byte("[" + strings.TrimSuffix(strings.Repeat(`{"id":%},`, s.n), ",") + "]")
				for i := range s.n {
					want = bytes.Replace(want, []byte("%"), strconv.AppendInt(nil, int64(i), 10), 1)
				}
			}
			if got != string(want) {
				t.Errorf("the value is %s, want %s", got, want)
			}
			if n := u.Count(row.path) - before; n != row.calls {
				t.Errorf("%d calls, want %d", n, row.calls)
			}
			if last.Query.Get("pages") != strconv.Itoa(row.calls) || last.Query.Get("items") != items {
				t.Errorf("resp_list has pages and items %v", last.Query)
			}
			if end.Tasks[0].Turns != row.calls {
				t.Errorf("the document has %d turns, want %d", end.Tasks[0].Turns, row.calls)
			}
		})
	}
}

func TestPaginate_OnePageIsTheWholeList(t *testing.T) {
	u := testkit.NewUpstream(t)
	shelf{n: 3, page: 5}.serve(u)
	end, got, recs := paged(t, apicall.Config{}, value.MapOf("url", u.URL+"/link", "paginate", value.MapOf("type", "link")))
	if end.Status != engine.Success || got != "[0,1,2]" || len(recs) != 1 || recs[0].Turn != 0 || recs[0].OperationID() != string(end.RunID)+".list.0.0.1.0" {
		t.Errorf("run %s: %s, %d records", end.Status, got, len(recs))
	}
}

func TestPaginate_AnEmptyListIsOne(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/after", testkit.OK(`{}`))
	u.Handle("/none", testkit.OK(`{"data": null, "next": ""}`))
	end, got, _ := paged(t, apicall.Config{}, value.MapOf("url", u.URL+"/none", "paginate", value.MapOf("type", "next_url", "items", "data")))
	if end.Status != engine.Success || got != "[]" {
		t.Errorf("run %s: %s", end.Status, got)
	}
}

// TestPaginate_RetriesOnePage: a page that fails is asked for again, the others
// once.
func TestPaginate_RetriesOnePage(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/after", testkit.OK(`{}`))
	tries := map[string]int{}
	u.Handle("/list", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		at := c.URL.Query().Get("page")
		tries[at]++
		switch {
		case at == "3" && tries[at] < 3:
			w.WriteHeader(500)
		case at == "5" && tries[at] < 2:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(429)
		case at == "7":
			reply(w, []int{})
		default:
			reply(w, []string{at})
		}
	}))
	end, got, _ := paged(t, apicall.Config{}, value.MapOf("url", u.URL+"/list", "paginate", value.MapOf("type", "page"), "retry_count", int64(2), "retry_delay", 0.001))
	if end.Status != engine.Success || got != `["1","2","3","4","5","6"]` {
		t.Errorf("run %s: %s, %+v", end.Status, got, end.Error)
	}
	if fmt.Sprint(tries) != "map[1:1 2:1 3:3 4:1 5:2 6:1 7:1]" {
		t.Errorf("pages were asked for %v", tries)
	}
	if h := end.Tasks[0].History; len(h) == 0 || h[0].Turn != 2 {
		t.Errorf("history: %+v", h)
	}
}

// TestPaginate_LargeListsGoToTheObjectStore, as they do from one call; as an
// object they may be lines.
func TestPaginate_LargeListsGoToTheObjectStore(t *testing.T) {
	u := testkit.NewUpstream(t)
	s := shelf{n: 40_000, page: 5000}
	s.serve(u)
	want, _ := json.Marshal(s.slice(0, s.n))
	props := value.MapOf("url", u.URL+"/page", "paginate", value.MapOf("type", "page", "items", "data"))
	end, got, recs := paged(t, apicall.Config{}, props)
	if last := recs[len(recs)-1]; end.Status != engine.Success || got != string(want) || last.Blob.Bytes || last.Blob.ContentType != engine.TypeJSON {
		t.Errorf("run %s, %d bytes, %+v", end.Status, len(got), last.Blob)
	}
	props = value.MapOf("url", u.URL+"/page", "store_as", "object", "paginate", value.MapOf("type", "page", "items", "data", "object_format", "ndjson"))
	end, got, recs = paged(t, apicall.Config{}, props)
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if last := recs[len(recs)-1]; end.Status != engine.Success || len(lines) != s.n || lines[39_999] != "39999" || last.Blob.ContentType != "application/x-ndjson" || !last.Blob.Bytes {
		t.Errorf("run %s, %d lines, %+v", end.Status, len(lines), last.Blob)
	}
}

// TestPaginate_WhatGoesWrong: one clear line, at once, and no request too many.
func TestPaginate_WhatGoesWrong(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/after", testkit.OK(`{}`))
	u.Handle("/object", testkit.OK(`{"data": {"items": [], "next": null}}`))
	u.Handle("/same", testkit.OK(`[1, 2]`))
	u.Handle("/stuck", testkit.OK(`{"data": [1], "next": "/stuck"}`))
	u.Handle("/circle", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		next := map[string]string{"": "a", "a": "b", "b": "c", "c": "a"}[c.URL.Query().Get("after")]
		reply(w, map[string]any{"data": []int{1}, "next": next})
	}))
	u.Handle("/endless", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		reply(w, map[string]any{"data": []string{c.URL.Query().Get("page")}})
	}))
	u.Handle("/denied", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		if c.URL.Query().Get("page") == "4" {
			w.WriteHeader(403)
			return
		}
		reply(w, []string{c.URL.Query().Get("page")})
	}))
	u.Handle("/file", testkit.OK(`{"data": [], "next": "file:///etc/passwd"}`))
	cursor := func(more ...any) *value.Map {
		return plus(value.MapOf("type", "cursor", "items", "data", "path", "next", "param", "after"), more...)
	}
	for _, row := range []struct {
		path     string
		paginate *value.Map
		want     string
		calls    int
	}{
		{"/object", value.MapOf("type", "page", "items", "data"), `paginate.items: "data" is not a list on page 1 ("data" has: items, next)`, 1},
		{"/object", value.MapOf("type", "page", "items", "rows"), `paginate.items: "rows" is missing (keys: data) on page 1`, 1},
		{"/object", value.MapOf("type", "page"), `paginate.items: the answer is not a list on page 1 (the answer has: data)`, 1},
		{"/same", value.MapOf("type", "page"), `pagination does not advance: the answer to page 2 is that to page 1 again; on_repeat = "stop" takes it as the end`, 2},
		{"/stuck", value.MapOf("type", "next_url", "items", "data"), `pagination does not advance: page 2 sends the request of page 1 again`, 1},
		{"/circle", cursor(), `pagination does not advance: page 7 sends the request of page 4 again`, 6},
		{"/endless", value.MapOf("type", "page", "items", "data", "max_pages", int64(7)), `7 pages and no end: raise max_pages, or set on_max_pages = "stop"`, 7},
		{"/endless", value.MapOf("type", "page", "items", "data", "max_result_bytes", int64(12)), `the pages have more than max_result_bytes = 12 bytes together`, 3},
		{"/denied", value.MapOf("type", "page"), `page 4: 403 Forbidden`, 4},
		{"/file", value.MapOf("type", "next_url", "items", "data"), `the address of the next page is none, or leads to something else than http and https`, 1},
		{"/same", value.MapOf("type", "jq", "next", ".body"), `paginate.next gives a list, want null or {url, params, headers, body}`, 1},
		{"/same", value.MapOf("type", "jq", "next", "{uri: 1}"), `paginate.next gives "uri" that is an int, want url (text), params, headers (objects) and body`, 1},
		{"/object", value.MapOf("type", "cursor", "items", "data.items", "path", "data", "param", "p"), `paginate.path: data is a dict, want text or a number`, 1},
	} {
		t.Run(row.want, func(t *testing.T) {
			before := u.Count(row.path)
			end, _, _ := paged(t, apicall.Config{Egress: loopback}, value.MapOf("url", u.URL+row.path, "paginate", row.paginate))
			if end.Status != engine.Failed || !strings.HasSuffix(end.Error.Message, row.want) {
				t.Errorf("run %s: %+v\nwant %s", end.Status, end.Error, row.want)
			}
			if n := u.Count(row.path) - before; n != row.calls {
				t.Errorf("%d calls, want %d", n, row.calls)
			}
		})
	}
	for _, row := range []struct {
		path     string
		paginate *value.Map
		want     string
	}{
		{"/same", value.MapOf("type", "page", "on_repeat", "stop"), "[1,2]"},
		{"/endless", value.MapOf("type", "page", "items", "data", "max_pages", int64(3), "on_max_pages", "stop"), `["1","2","3"]`},
		{"/circle", cursor("has_more", "more", "stop_when", "{{ page == 2 }}"), "[1,1]"},
	} {
		if end, got, _ := paged(t, apicall.Config{}, value.MapOf("url", u.URL+row.path, "paginate", row.paginate)); end.Status != engine.Success || got != row.want {
			t.Errorf("%s: run %s: %s, want %s (%+v)", row.path, end.Status, got, row.want, end.Error)
		}
	}
}

// TestPaginate_OtherOrigins: a link that leads elsewhere is followed as far as
// egress allows, and no credential goes there.
func TestPaginate_OtherOrigins(t *testing.T) {
	u, other := testkit.NewUpstream(t), testkit.NewUpstream(t)
	u.Handle("/after", testkit.OK(`{}`))
	other.Handle("/rest", testkit.OK(`[2]`))
	u.Handle("/list", testkit.Reply(200, `[1]`, "Content-Type", "application/json", "Link", `<`+other.URL+`/rest>; rel="next"`))
	creds := stored{"api": {ID: "api", Type: "api_key", Data: value.MapOf("api_key", secret)}}
	props := value.MapOf("url", u.URL+"/list", "paginate", value.MapOf("type", "link"), "auth_type", "api_key", "credential_id", "api",
		"headers", value.MapOf("X-Own", "mine"))
	end, got, _ := paged(t, apicall.Config{Egress: loopback, Credentials: creds}, props)
	if end.Status != engine.Success || got != "[1,2]" {
		t.Fatalf("run %s: %s, %+v", end.Status, got, end.Error)
	}
	for _, r := range other.Requests("/rest") {
		if r.Header.Get("X-Api-Key") != "" || r.Header.Get("X-Own") != "" {
			t.Errorf("the other origin got %v", r.Header)
		}
	}
	end, _, _ = paged(t, apicall.Config{Credentials: creds}, props)
	if end.Status != engine.Failed || !strings.Contains(end.Error.Message, "egress: 127.0.0.1 is not allowed") {
		t.Errorf("run %s: %+v", end.Status, end.Error)
	}
}

// TestPaginate_SecretsStayOutOfTheLedger: a server that repeats the key in the
// address of the next page gets it again, and no record has it.
func TestPaginate_SecretsStayOutOfTheLedger(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/after", testkit.OK(`{}`))
	u.Handle("/list", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		q := c.URL.Query()
		if q.Get("key") != secret || q.Get("other") != secret {
			w.WriteHeader(401)
			return
		}
		at := number(q.Get("at"), 1)
		doc := map[string]any{"data": []int{at}}
		if at < 4 {
			q.Set("at", strconv.Itoa(at+1))
			doc["next"] = "/list?" + q.Encode()
		}
		reply(w, doc)
	}))
	creds := stored{
		"api": {ID: "api", Type: "api_key", Data: value.MapOf("api_key", secret, "query_param", "key")},
		"two": {ID: "two", Type: "custom", Data: value.MapOf("token", secret)},
	}
	end, got, recs := paged(t, apicall.Config{Credentials: creds}, value.MapOf("url", u.URL+"/list", "paginate", value.MapOf("type", "next_url", "items", "data"),
		"auth_type", "api_key", "credential_id", "api", "params", value.MapOf("other", "${credential:two.token}")))
	if end.Status != engine.Success || got != "[1,2,3,4]" {
		t.Fatalf("run %s: %s, %+v", end.Status, got, end.Error)
	}
	for _, r := range recs {
		if strings.Contains(string(r.Carry)+string(r.Details)+string(r.Value), secret) {
			t.Errorf("the record of turn %d has the secret in it: %s", r.Turn, r.Carry)
		}
	}
}

// TestPaginate_Mistakes in a flow are found before anything is sent.
func TestPaginate_Mistakes(t *testing.T) {
	for _, row := range []struct {
		paginate *value.Map
		more     []any
		want     string
	}{
		{value.MapOf(), nil, "paginate.type is missing: one of link, next_url, cursor, offset, page, jq"},
		{value.MapOf("type", "curser"), nil, `type is "curser", want one of link, next_url, cursor, offset, page, jq`},
		{value.MapOf("type", "cursor"), nil, `paginate.path is missing: where an answer names the next page, such as "meta.next"`},
		{value.MapOf("type", "cursor", "path", "next"), nil, `paginate.param is missing: the query parameter that asks for the next page; or into = "header:NAME", "body:/a/b"`},
		{value.MapOf("type", "cursor", "path", "next", "into", "body/x"), nil, `paginate.into is "body/x", want "header:NAME" or "body:/a/b" (a JSON Pointer)`},
		{value.MapOf("type", "cursor", "path", "next", "into", "body:/x"), nil, `paginate.into names a place in the body, but there is no body of body_format "json"`},
		{value.MapOf("type", "link", "param", "page"), nil, `paginate.param needs type = "cursor" or "offset" or "page", not "link"`},
		{value.MapOf("type", "link", "item", "data"), nil, `unknown key of paginate "item"`},
		{value.MapOf("type", "page", "size_param", "n"), nil, `paginate.size_param needs size`},
		{value.MapOf("type", "page", "stop_on_short", true), nil, `paginate.stop_on_short needs size, to know which page is short`},
		{value.MapOf("type", "page", "max_pages", int64(0)), nil, `max_pages is 0, want 1 to 10000`},
		{value.MapOf("type", "page", "stop_when", "page > 3"), nil, `paginate.stop_when must be exactly one {{ ... }}`},
		{value.MapOf("type", "jq"), nil, `paginate.next is missing: a jq expression that gives the next request, or null`},
		{value.MapOf("type", "link"), []any{"response_handling", "ignore"}, `response_handling is "ignore": there is nothing to find the next page in`},
		{value.MapOf("type", "link"), []any{"operation", "head"}, `the answer to a head request has no body`},
	} {
		kind, err := apicall.New(apicall.Config{})
		if err != nil {
			t.Fatal(err)
		}
		props := plus(value.MapOf("url", "http://h.test/", "paginate", row.paginate), row.more...)
		flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: apicall.Name, Properties: props}}}
		_, problems := kind.Prepare(flow, &flow.Tasks[0])
		if !slices.ContainsFunc(problems, func(p engine.Problem) bool { return p.Message == row.want && !p.Warning }) {
			t.Errorf("problems %+v\nwant %s", problems, row.want)
		}
		kind.Close()
	}
}
