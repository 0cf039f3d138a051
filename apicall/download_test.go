package apicall_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

// broken serves data of which each answer breaks after so many bytes; the last
// number stands for all others, 0 for a whole answer.
type broken struct {
	data    string
	breaks  []int
	etag    func(n int) string
	ranges  bool // honour Range
	headers []string
}

func (b *broken) answer() testkit.Answer {
	n := 0
	return testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		cut := b.breaks[min(n, len(b.breaks)-1)]
		etag := b.etag(n)
		n++
		for i := 0; i+1 < len(b.headers); i += 2 {
			w.Header().Set(b.headers[i], b.headers[i+1])
		}
		w.Header().Set("Content-Type", "application/zip")
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		from, status := 0, 200
		if span, ok := strings.CutPrefix(c.Header.Get("Range"), "bytes="); ok && b.ranges && c.Header.Get("If-Range") == etag {
			from, _ = strconv.Atoi(strings.TrimSuffix(span, "-"))
			status = 206
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b.data)-1, len(b.data)))
		}
		rest := b.data[from:]
		w.Header().Set("Content-Length", strconv.Itoa(len(rest)))
		w.WriteHeader(status)
		if cut == 0 || cut >= len(rest) {
			_, _ = w.Write([]byte(rest))
			return
		}
		_, _ = w.Write([]byte(rest[:cut]))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
}

// TestDownload_IsResumedWhereTheServerNamesTheVersion: what was begun is gone
// on with, and only if it is certain to be the same.
func TestDownload_IsResumedWhereTheServerNamesTheVersion(t *testing.T) {
	same := func(etag string) func(int) string { return func(int) string { return etag } }
	changed := func(n int) string { return fmt.Sprintf(`"v%d"`, n) }
	data := strings.Repeat("0123456789abcdef", 20_000)
	for _, row := range []struct {
		name     string
		up       broken
		more     []any
		requests int
		fails    string
		note     string
	}{
		{"whole", broken{breaks: []int{0}, etag: same("")}, nil, 1, "", ""},
		{"broken once", broken{breaks: []int{100_000, 0}, etag: same(`"v"`), ranges: true}, nil, 2, "", "the connection broke and the download was resumed, once"},
		{"broken again and again", broken{breaks: []int{1000, 50_000, 70_000, 90_000, 0}, etag: same(`"v"`), ranges: true}, nil, 5, "", "the connection broke and the download was resumed, 4 times"},
		{"a server that knows no ranges", broken{breaks: []int{100_000, 0}, etag: same(`"v"`)}, nil, 2, "", "the connection broke and the download was resumed, once"},
		{"another version meanwhile", broken{breaks: []int{100_000, 0}, etag: changed, ranges: true}, nil, 2, "closed", ""},
		{"a weak version", broken{breaks: []int{100_000, 0}, etag: same(`W/"v"`), ranges: true}, nil, 1, "closed", ""},
		{"no version", broken{breaks: []int{100_000, 0}, etag: same(""), ranges: true}, nil, 1, "closed", ""},
		{"a POST", broken{breaks: []int{100_000, 0}, etag: same(`"v"`), ranges: true}, []any{"operation", "post"}, 1, "closed", ""},
		{"larger than max_response_bytes", broken{breaks: []int{0}, etag: same("")}, []any{"max_response_bytes", int64(1000)}, 1, "too_large", ""},
		{"compressed although nobody asked", broken{breaks: []int{0}, etag: same(`"v"`), headers: []string{"Content-Encoding", "gzip"}}, nil, 1, "response", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			u := testkit.NewUpstream(t)
			row.up.data = data
			u.Handle("/x", row.up.answer())
			outs := chain(t, &engine.Flow{ID: "f"}, plus(value.MapOf("url", u.URL+"/x", "store_as", "object"), row.more...),
				value.MapOf("url", u.URL+"/ok", "operation", "put", "body_format", "raw", "body", "{{ xcom_a }}"))
			class := ""
			if outs[0].Err != nil {
				class = outs[0].Err.Class
			}
			if class != row.fails || outs[0].Details.Note != row.note || u.Count("/x") != row.requests {
				t.Fatalf("got %+v, note %q, %d requests", outs[0].Err, outs[0].Details.Note, u.Count("/x"))
			}
			if row.fails != "" {
				if outs[0].Stored != nil {
					t.Error("a failed download is a value")
				}
				return
			}
			sent := u.Requests("/ok")[0]
			if string(sent.Body) != data || outs[0].Stored.Size != int64(len(data)) || !outs[0].Stored.Bytes || outs[0].Details.ResponseBytes != int64(len(data)) ||
				sent.Header.Get("Content-Type") != "application/zip" || sent.Header.Get("Content-Length") != fmt.Sprint(len(data)) {
				t.Errorf("%d bytes were sent on as %q; stored: %+v", len(sent.Body), sent.Header.Get("Content-Type"), outs[0].Stored)
			}
			if enc := u.Requests("/x")[0].Header.Get("Accept-Encoding"); enc != "identity" {
				t.Errorf("Accept-Encoding: %s", enc)
			}
		})
	}
}

// TestDownload_WaitsEndWithTheTimeout: waits between resumes
// end with the attempt.
func TestDownload_WaitsEndWithTheTimeout(t *testing.T) {
	u := testkit.NewUpstream(t)
	b := &broken{data: strings.Repeat("x", 100_000), breaks: []int{50_000}, etag: func(int) string { return `"v"` }, ranges: true}
	first := b.answer()
	u.Handle("/x", testkit.First(1, first, testkit.Status(503)))
	out := chain(t, &engine.Flow{ID: "f"}, value.MapOf("url", u.URL+"/x", "store_as", "object", "timeout", "300ms"))[0]
	if out.Err == nil || out.Err.Class != "timeout" && out.Err.Class != "closed" || u.Count("/x") < 2 {
		t.Errorf("got %+v after %d requests", out.Err, u.Count("/x"))
	}
}

// TestDownload_AsMultipartAndInTemplates: an object is a file to send, and can
// be told about, but is no text.
func TestDownload_AsMultipartAndInTemplates(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/x", testkit.Reply(200, `{"a":1}`, "Content-Type", "application/json; charset=utf-8"))
	u.Handle("/empty", testkit.Status(204))
	outs := chain(t, &engine.Flow{ID: "f"}, value.MapOf("url", u.URL+"/x", "store_as", "object"), value.MapOf("url", u.URL+"/empty", "store_as", "object"),
		value.MapOf("url", u.URL+"/ok?n={{ xcom_a.size }}", "operation", "post", "body_format", "multipart",
			"body", value.MapOf("f", value.MapOf("filename", "a.json", "content", "{{ xcom_a }}"), "g", "{{ xcom_b }}")),
		value.MapOf("url", u.URL+"/{{ xcom_a }}"))
	for i, out := range outs[:3] {
		if out.Err != nil {
			t.Fatalf("%d: %v", i, out.Err)
		}
	}
	r := u.Requests("/ok")[0]
	parts, _ := parseMultipart(t, r)
	want := []parsedPart{{"f", "a.json", "application/json; charset=utf-8", `{"a":1}`}, {"g", "g", "application/octet-stream", ""}}
	if fmt.Sprint(parts) != fmt.Sprint(want) || r.Query.Get("n") != "7" {
		t.Errorf("got %q", parts)
	}
	if err := outs[3].Err; err == nil || err.Message != "url: xcom_a is 7 bytes of application/json; charset=utf-8, not text" {
		t.Errorf("got %+v", err)
	}
}

// TestDownload_FailuresAreShown: a refusal is read and shown as ever.
func TestDownload_FailuresAreShown(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/x", testkit.Reply(404, `{"why":"gone"}`, "Content-Type", "application/json"))
	out := once(t, apicall.Config{}, value.MapOf("url", u.URL+"/x", "store_as", "object"))
	if out.Err == nil || out.Err.Class != "status" || out.Details.ResponseExcerpt != `{"why":"gone"}` {
		t.Errorf("got %+v", out)
	}
	u.Handle("/y", testkit.OK("{}"))
	out = once(t, apicall.Config{}, value.MapOf("url", u.URL+"/y", "store_as", "object")) // an input without a store
	if out.Err == nil || out.Err.Class != "store" || out.Err.Message != "store the value: unavailable: there is no object store" {
		t.Errorf("got %+v", out.Err)
	}
}

func TestDownload_IsCheckedAtLoad(t *testing.T) {
	for _, row := range []struct {
		more []any
		want string
	}{
		{[]any{"select", ".a"}, `store_as = "object" stores the response unread, but select reads it`},
		{[]any{"response_format", "json"}, `store_as = "object" stores the response unread, but response_format reads it`},
		{[]any{"response_validation", value.MapOf("required_fields", []any{"a"})}, `store_as = "object" stores the response unread, but response_validation reads it`},
		{[]any{"response_handling", "ignore"}, `response_handling is "ignore": nothing is stored`},
		{[]any{"operation", "head"}, "the answer to a head request has no body"},
		{[]any{"store_as", "file"}, `store_as is "file", want one of value, object`},
	} {
		_, problems := prepare(t, with(append([]any{"store_as", "object"}, row.more...)...))
		if len(problems) != 1 || problems[0].Message != row.want {
			t.Errorf("got %v, want %s", problems, row.want)
		}
	}
	if _, problems := prepare(t, with("store_as", "object", "response_validation", value.MapOf("expected_status_code", int64(200)), "response_format", "bytes")); len(problems) != 0 {
		t.Error(problems)
	}
}

// TestDownload_ThroughTheEngine: with the worker's own store, its
// record and its digest.
func TestDownload_ThroughTheEngine(t *testing.T) {
	u := testkit.NewUpstream(t)
	data := bytes.Repeat([]byte("\x00\xff0123456789"), 200_000)
	u.Handle("/x", testkit.Reply(200, string(data), "Content-Type", "application/zip"))
	doc := runFlow(t, 2, apicall.Config{}, func(*runtime.Engine) {}, engine.Task{ID: "dl", Properties: value.MapOf("url", u.URL+"/x", "store_as", "object")},
		engine.Task{ID: "up", Properties: value.MapOf("url", u.URL+"/ok?sum={{ xcom_dl.sha256 }}", "operation", "put", "body_format", "raw", "body", "{{ xcom_dl }}")})
	if doc.Status != engine.Success {
		t.Fatalf("%s: %+v", doc.Status, doc.Error)
	}
	r := u.Requests("/ok")[0]
	if !bytes.Equal(r.Body, data) || r.Query.Get("sum") != value.NewBytes(data, "").SHA256 {
		t.Errorf("%d bytes arrived, of %d, with the hash %s", len(r.Body), len(data), r.Query.Get("sum"))
	}
}
