package apicall_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

// blobStore is what upstream tasks have left, for inputs made by hand.
type blobStore map[string][]byte

func (s blobStore) Load(context.Context, engine.ReadyInput) (engine.Upstream, error) {
	return engine.Upstream{}, engine.ErrNotFound
}

func (s blobStore) Open(_ context.Context, ref *engine.BlobRef) (io.ReadCloser, error) {
	data, ok := s[ref.Name]
	if !ok {
		return nil, engine.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (s blobStore) Jar(context.Context, engine.Pos) ([]byte, error) { return nil, engine.ErrNotFound }

func (s blobStore) Unseal(context.Context, string, []byte) ([]byte, error) {
	return nil, engine.ErrDenied
}

func (s blobStore) Store(_ context.Context, key engine.AttemptKey, _ bool, from io.Reader) (*engine.BlobRef, error) {
	data, err := io.ReadAll(from)
	if err != nil {
		return nil, err
	}
	s[string(key.Task)] = data
	return &engine.BlobRef{Name: string(key.Task), Size: int64(len(data))}, nil
}

// chain runs tasks one after the other as the engine does, each with what the
// one before has left, and returns their outputs.
func chain(t *testing.T, flow *engine.Flow, tasks ...*value.Map) []engine.TaskOutput {
	t.Helper()
	return chainOf(t, apicall.Config{Egress: loopback}, flow, tasks...)
}

func chainOf(t *testing.T, cfg apicall.Config, flow *engine.Flow, tasks ...*value.Map) []engine.TaskOutput {
	t.Helper()
	kind, err := apicall.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer kind.Close()
	for i, props := range tasks {
		flow.Tasks = append(flow.Tasks, engine.Task{ID: engine.TaskID('a' + rune(i)), Type: apicall.Name, Properties: props})
	}
	if problems := engine.Compile(flow, map[string]engine.TaskType{apicall.Name: kind}).Problems; len(problems) > 0 {
		t.Fatal(problems)
	}
	store := blobStore{}
	var outs []engine.TaskOutput
	var inputs []engine.ReadyInput
	for i := range flow.Tasks {
		task := &flow.Tasks[i]
		prog, problems := kind.Prepare(flow, task)
		if prog == nil {
			t.Fatal(problems)
		}
		in := &engine.TaskInput{Flow: flow, Task: task, Installation: "i"}
		in.Key.Run, in.Key.Task, in.Key.Attempt = "01M84BFBV1N8Q6D2T4XW9B7C5E", task.ID, 1
		in.SetValues(nil, inputs, &loaded{store, outs})
		out := prog.Execute(t.Context(), in)
		outs = append(outs, out)
		input := engine.ReadyInput{Task: task.ID, Value: out.Value, Response: out.Response}
		if out.Large != nil {
			store[string(task.ID)] = out.Large.Data
		}
		if out.Large != nil || out.Stored != nil {
			input = engine.ReadyInput{Task: task.ID, At: engine.Pos{Seq: uint64(i + 1)}}
		}
		inputs = append(inputs, input)
	}
	return outs
}

// loaded finds what the tasks of a chain have left in the object store.
type loaded struct {
	blobStore
	outs []engine.TaskOutput
}

func (l *loaded) Load(_ context.Context, in engine.ReadyInput) (engine.Upstream, error) {
	out := l.outs[in.At.Seq-1]
	if out.Stored != nil {
		return engine.Upstream{Response: out.Response, Blob: out.Stored}, nil
	}
	return engine.Upstream{Response: out.Response, Blob: &engine.BlobRef{
		Name: string(in.Task), Size: int64(len(out.Large.Data)), ContentType: out.Large.ContentType, Bytes: out.Large.Bytes,
	}}, nil
}

// TestRequests_RawSendsWhatWasReceived: bytes, text and JSON go out as they
// came in, to the last byte, small and large.
func TestRequests_RawSendsWhatWasReceived(t *testing.T) {
	large := strings.Repeat("0123456789\xff", 30_000)
	for _, row := range []struct{ name, contentType, body, sentType string }{
		{"a picture", "image/png", png + "\xff\xd8", "image/png"},
		{"a large archive", "application/zip", large, "application/zip"},
		{"large text", "text/plain", strings.Repeat("ä", 60_000), "text/plain"},
		{"JSON, with its spaces", "application/json", "{ \"a\" :\t1.50,\n\"a\":2 }", "application/json"},
		{"large JSON", "application/json", `["` + strings.Repeat("x", 70<<10) + `" ]`, "application/json"},
		{"a JSON string", "application/json", `"a\u00e9\n"`, "text/plain; charset=utf-8"},
		{"text", "text/plain", "a\r\nb", "text/plain; charset=utf-8"},
		{"octets that are JSON", "application/octet-stream", " [1.0 ]", "application/json"},
		{"octets with a mark", "application/octet-stream", "\uFEFFa", "text/plain; charset=utf-8"},
	} {
		t.Run(row.name, func(t *testing.T) {
			u := testkit.NewUpstream(t)
			u.Handle("GET /x", testkit.Reply(200, row.body, "Content-Type", row.contentType))
			u.Handle("PUT /x", testkit.OK(`{}`))
			outs := chain(t, &engine.Flow{ID: "f"}, value.MapOf("url", u.URL+"/x"),
				value.MapOf("url", u.URL+"/x", "operation", "put", "body_format", "raw", "body", "{{ xcom_a }}"))
			if outs[1].Err != nil {
				t.Fatal(outs[1].Err)
			}
			want := row.body
			if row.name == "a JSON string" {
				want = "aé\n" // it is a text: the text is sent
			}
			got := u.Requests("/x")[1]
			if string(got.Body) != want || got.Header.Get("Content-Type") != row.sentType || got.Header.Get("Content-Length") != fmt.Sprint(len(want)) {
				t.Errorf("sent %d bytes %.40q as %q, length %q; want %d %.40q as %q", len(got.Body), got.Body, got.Header.Get("Content-Type"),
					got.Header.Get("Content-Length"), len(want), want, row.sentType)
			}
		})
	}
}

// TestRequests_BytesAreNoText: wherever text is wanted, bytes are an error that
// says what they are, and nothing is sent.
func TestRequests_BytesAreNoText(t *testing.T) {
	const said = "xcom_a is 11 bytes of image/png, not text"
	for name, props := range map[string]*value.Map{
		"json":        value.MapOf("operation", "post", "body", value.MapOf("f", "{{ xcom_a }}")),
		"json alone":  value.MapOf("operation", "post", "body", "{{ xcom_a }}"),
		"json list":   value.MapOf("operation", "post", "body", value.MapOf("f", []any{"{{ [xcom_a] }}"})),
		"form":        value.MapOf("operation", "post", "body_format", "form", "body", value.MapOf("f", "{{ xcom_a }}")),
		"xml":         value.MapOf("operation", "post", "body_format", "xml", "body", value.MapOf("f", "{{ xcom_a }}")),
		"mixed raw":   value.MapOf("operation", "post", "body_format", "raw", "body", "x{{ xcom_a }}"),
		"path":        value.MapOf("path", "/{{ xcom_a }}"),
		"query":       value.MapOf("path", "?q={{ xcom_a }}"),
		"params":      value.MapOf("params", value.MapOf("q", "{{ xcom_a }}")),
		"header":      value.MapOf("headers", value.MapOf("X-A", "{{ xcom_a }}")),
		"key":         value.MapOf("idempotency_key", "{{ xcom_a }}"),
		"joined":      value.MapOf("path", "/{{ xcom_a ~ 'x' }}"),
		"file's name": value.MapOf("operation", "post", "body_format", "multipart", "body", value.MapOf("f", value.MapOf("content", "x", "filename", "{{ xcom_a }}"))),
	} {
		t.Run(name, func(t *testing.T) {
			u := testkit.NewUpstream(t)
			u.Handle("/png", testkit.Reply(200, png, "Content-Type", "image/png"))
			path, _ := props.Get("path")
			props.Delete("path")
			if path == nil {
				path = "/x"
			}
			props.Set("url", u.URL+path.(string))
			outs := chain(t, &engine.Flow{ID: "f"}, value.MapOf("url", u.URL+"/png"), props)
			if err := outs[1].Err; err == nil || err.Class != "template" || !strings.Contains(err.Message, said) || len(u.Requests()) != 1 {
				t.Errorf("got %+v, %d requests", err, len(u.Requests()))
			}
		})
	}
}

// TestRequests_Base64: the way to send bytes inside text.
func TestRequests_Base64(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/png", testkit.Reply(200, png, "Content-Type", "image/png"))
	outs := chain(t, &engine.Flow{ID: "f"}, value.MapOf("url", u.URL+"/png"), value.MapOf("url", u.URL+"/ok", "operation", "post",
		"body", value.MapOf("content", "{{ xcom_a | b64encode }}", "size", "{{ xcom_a.size }}", "type", "{{ xcom_a.content_type }}")))
	if got := string(u.Requests("/ok")[0].Body); outs[1].Err != nil || got != `{"content":"iVBORw0KGgoA//4=","size":11,"type":"image/png"}` {
		t.Errorf("sent %s (%v)", got, outs[1].Err)
	}
}

// parsedPart is a part as Go's own reader sees it.
type parsedPart struct{ name, file, kind, body string }

func parseMultipart(t *testing.T, r testkit.Request) (parts []parsedPart, boundary string) {
	t.Helper()
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	reader := multipart.NewReader(bytes.NewReader(r.Body), params["boundary"])
	for {
		p, err := reader.NextRawPart()
		if err == io.EOF {
			return parts, params["boundary"]
		}
		if err != nil {
			t.Fatalf("%v in %q", err, r.Body)
		}
		data, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, parsedPart{p.FormName(), p.FileName(), p.Header.Get("Content-Type"), string(data)})
	}
}

func TestRequests_Multipart(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"flow.toml": "", "files/report.pdf": "%PDF", "outside": "secret"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, "in", name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "in", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "in", "link")); err != nil {
		t.Fatal(err)
	}
	file := func(pairs ...any) *value.Map { return value.MapOf(pairs...) }
	for _, row := range []struct {
		name  string
		body  *value.Map
		more  []any
		want  []parsedPart
		fails string
	}{
		{"fields", file("title", "a b", "n", int64(7), "flag", true, "price", "{{ 1.5 }}", "none", "{{ none }}"), nil,
			[]parsedPart{{"title", "", "", "a b"}, {"n", "", "", "7"}, {"flag", "", "", "true"}, {"price", "", "", "1.5"}}, ""},
		{"lists repeat the field", file("tag", []any{"x", "y"}, "more", "{{ ['p', 'q'] }}"), nil,
			[]parsedPart{{"tag", "", "", "x"}, {"tag", "", "", "y"}, {"more", "", "", "p"}, {"more", "", "", "q"}}, ""},
		{"a file of bytes", file("f", file("filename", "a \"b\".png", "content", "{{ xcom_a }}")), nil, []parsedPart{{"f", "a%20", "image/png", png}}, ""},
		{"a file with its own type", file("f", file("filename", "x.bin", "content_type", "application/x-thing", "content", "{{ xcom_a }}")), nil,
			[]parsedPart{{"f", "x.bin", "application/x-thing", png}}, ""},
		{"bytes without a table", file("f", "{{ xcom_a }}"), nil, []parsedPart{{"f", "f", "image/png", png}}, ""},
		{"a file of text", file("f", file("filename", "ä.txt", "content", "{{ 'hällo' }}")), nil, []parsedPart{{"f", "ä.txt", "text/plain; charset=utf-8", "hällo"}}, ""},
		{"JSON as a part", file("meta", file("content", file("name", "{{ 'x' }}", "n", int64(1)))), nil, []parsedPart{{"meta", "", "application/json", `{"name":"x","n":1}`}}, ""},
		{"a file beside the flow", file("f", file("path", "files/report.pdf")), nil, []parsedPart{{"f", "report.pdf", "application/octet-stream", "%PDF"}}, ""},
		{"its name from data", file("f", file("path", "files/{{ 'report' }}.pdf", "content_type", "application/pdf")), nil, []parsedPart{{"f", "report.pdf", "application/pdf", "%PDF"}}, ""},
		{"data that leads out", file("f", file("path", "{{ '../secret' }}")), nil, nil, "body.f: path: it leads out of the flow's folder"},
		{"an absolute path", file("f", file("path", "{{ '/etc/passwd' }}")), nil, nil, "body.f: path: it leads out of the flow's folder"},
		{"a link that leads out", file("f", file("path", "{{ 'link' }}")), nil, nil, "body.f: path: openat link: path escapes from parent"},
		{"a file that is not there", file("f", file("path", "{{ 'nothing' }}")), nil, nil, `body.f: path: there is no file "nothing" in ` + filepath.Join(dir, "in")},
		{"a folder", file("f", file("path", "{{ 'files' }}")), nil, nil, `body.f: path: "files" is no file`},
		{"a table as a field", file("f", "{{ {'a': 1} }}"), nil, nil, `body.f: a dict cannot be a field; write { content = "{{ ... }}" } to send it as JSON`},
		{"a type with a line break", file("f", file("content", "x", "content_type", "{{ 'a/b\\r\\nX: 1' }}")), nil, nil, "body.f: content_type: the value is no content type such as image/png"},
		{"nothing", file("none", "{{ none }}"), nil, nil, ""},
		{"another multipart type", file("a", "1"), []any{"headers", value.MapOf("Content-Type", "multipart/related; type=\"text/xml\"")}, []parsedPart{{"a", "", "", "1"}}, ""},
		{"a type that is not multipart", file("a", "1"), []any{"headers", value.MapOf("Content-Type", "application/json")}, nil,
			`headers.Content-Type is "application/json", but body_format is "multipart"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			u := testkit.NewUpstream(t)
			u.Handle("/png", testkit.Reply(200, png, "Content-Type", "image/png"))
			outs := chain(t, &engine.Flow{ID: "f", File: filepath.Join(dir, "in", "flow.toml")}, value.MapOf("url", u.URL+"/png"),
				plus(value.MapOf("url", u.URL+"/ok", "operation", "post", "body_format", "multipart", "body", row.body, "xcom_pull", []any{"a"}), row.more...))
			fails := ""
			if outs[1].Err != nil {
				fails = outs[1].Err.Message
			}
			if fails != row.fails {
				t.Fatalf("got %q, want %q", fails, row.fails)
			}
			if row.fails != "" {
				return
			}
			r := u.Requests("/ok")[0]
			got, _ := parseMultipart(t, r)
			if row.name == "a file of bytes" { // Go's reader takes quotes for what they are not
				if !bytes.Contains(r.Body, []byte(`filename="a %22b%22.png"`)) {
					t.Errorf("sent %q", r.Body)
				}
				got[0].file = "a%20"
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", row.want) || r.Header.Get("Content-Length") != fmt.Sprint(len(r.Body)) {
				t.Errorf("got %q\nwant %q", got, row.want)
			}
		})
	}
}

// TestRequests_MultipartBoundaryIsStable: all attempts send the same bytes, and
// data cannot know what separates the parts.
func TestRequests_MultipartBoundaryIsStable(t *testing.T) {
	u := testkit.NewUpstream(t)
	u.Handle("/x", testkit.First(2, testkit.Status(503), testkit.OK(`{}`)))
	props := value.MapOf("url", u.URL+"/x", "operation", "post", "body_format", "multipart", "body", value.MapOf("a", "1"), "retry_count", int64(2))
	tried(t, apicall.Config{}, props)
	sent := u.Requests("/x")
	if len(sent) != 3 || !bytes.Equal(sent[0].Body, sent[2].Body) || sent[0].Header.Get("Content-Type") != sent[2].Header.Get("Content-Type") {
		t.Fatalf("%d requests: %q", len(sent), sent[len(sent)-1].Body)
	}
	_, first := parseMultipart(t, sent[0])
	once(t, apicall.Config{}, props, func(in *engine.TaskInput) { in.Installation = "another" })
	if _, other := parseMultipart(t, u.Requests("/x")[3]); other == first {
		t.Error("another installation has the same boundary")
	}
	// A text that holds the boundary gets another one.
	once(t, apicall.Config{}, plus(props, "body", value.MapOf("a", "--"+first+"\r\n")))
	parts, other := parseMultipart(t, u.Requests("/x")[4])
	if other == first || len(parts) != 1 || parts[0].body != "--"+first+"\r\n" {
		t.Errorf("got %q with %q", parts, other)
	}
}

func TestRequests_MultipartIsCheckedAtLoad(t *testing.T) {
	for _, row := range []struct {
		body any
		want string
	}{
		{"text", `body: body_format "multipart" needs a table, got a str`},
		{value.MapOf("f", value.MapOf("a", int64(1))), "body.f.: f: a table in a multipart body needs content or path, and may have filename and content_type; for a table as text, write { content = { ... } }"},
		{value.MapOf("f", value.MapOf("content", "x", "path", "y")), "body.f.: f: a table in a multipart body needs content or path, and may have filename and content_type; for a table as text, write { content = { ... } }"},
		{value.MapOf("f", value.MapOf("content", "x", "file_name", "y")), `body.f.file_name: unknown key "file_name" of a part (there are: filename, content_type, content, path)`},
		{value.MapOf("f", value.MapOf("content", "x", "filename", int64(1))), "body.f.filename: filename is an int, want a string"},
		{value.MapOf("f", []any{value.MapOf("path", "../x")}), `body.f.0.path: path "../x" leads out of the flow's folder`},
	} {
		_, problems := prepare(t, with("operation", "post", "body_format", "multipart", "body", row.body))
		if len(problems) == 0 {
			t.Errorf("%v: taken", row.body)
			continue
		}
		if got := strings.Join(problems[0].Path[1:], ".") + ": " + problems[0].Message; got != row.want {
			t.Errorf("got  %s\nwant %s", got, row.want)
		}
	}
}

// TestRequests_XMLBothWays: what xml reads, xml writes, and the other way
// round.
func TestRequests_XMLBothWays(t *testing.T) {
	u := testkit.NewUpstream(t)
	for _, doc := range []string{
		`<a>text</a>`, `<a></a>`, `<r><item>1</item><item>2</item><other>x</other></r>`,
		`<s:E xmlns:s="urn:x" id="7"><s:b lang="de">a &amp; &lt;b&gt; ä</s:b><c></c></s:E>`, `<p x="&#34;1&#34;">t</p>`, `<a> </a>`, "<a>x&#xA;y</a>",
	} {
		u.Handle("GET /x", testkit.Reply(200, doc, "Content-Type", "text/xml"))
		u.Handle("POST /x", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
			w.Header().Set("Content-Type", "text/xml")
			_, _ = w.Write(c.Seen.Body)
		}))
		read := []any{"response_format", "xml", "xml_prefixes", true}
		before := len(u.Requests())
		outs := chain(t, &engine.Flow{ID: "f"}, plus(value.MapOf("url", u.URL+"/x"), read...),
			plus(value.MapOf("url", u.URL+"/x", "operation", "post", "body_format", "xml", "body", "{{ xcom_a }}"), read...))
		if outs[0].Err != nil || outs[1].Err != nil {
			t.Errorf("%s: %v %v", doc, outs[0].Err, outs[1].Err)
			continue
		}
		sent := string(u.Requests()[before+1].Body)
		if want := "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + doc; sent != want || string(outs[0].Value) != string(outs[1].Value) {
			t.Errorf("%s became %s, then %s, then %s", doc, outs[0].Value, sent, outs[1].Value)
		}
	}
	out := once(t, apicall.Config{}, value.MapOf("url", u.URL+"/ok", "operation", "post", "body_format", "xml", "body", value.MapOf("a", value.MapOf("b", "{{ 'x\\x01' }}"))))
	if out.Err == nil || out.Err.Message != "body: b: XML cannot hold the character U+0001" {
		t.Errorf("got %+v", out.Err)
	}
}

// TestRequests_NumbersPassUnchanged: not one digit changes between an answer
// and the bodies made of it.
func TestRequests_NumbersPassUnchanged(t *testing.T) {
	const doc = `{"id":7615917337495251231,"d":12345678901234567890.25,"e":1e400,"p":1.50,"z":-0,"n":123456789012345678901234567890}`
	u := testkit.NewUpstream(t)
	u.Handle("GET /x", testkit.OK(doc))
	u.Handle("POST /x/", testkit.OK(`{}`))
	outs := chain(t, &engine.Flow{ID: "f"}, value.MapOf("url", u.URL+"/x"), value.MapOf("url", u.URL+"/x/{{ xcom_a.d }}/{{ xcom_a.e }}?p={{ xcom_a.p }}", "operation", "post",
		"body", value.MapOf("all", "{{ xcom_a }}", "text", "{{ xcom_a.p }} {{ xcom_a.id }}", "plus", "{{ xcom_a.id + 1 }}")))
	r := u.Requests()[1]
	if outs[1].Err != nil || r.URI != "/x/12345678901234567890.25/1e400?p=1.50" || string(r.Body) != `{"all":`+doc+`,"text":"1.50 7615917337495251231","plus":7615917337495251232}` {
		t.Errorf("%v: %s %s", outs[1].Err, r.URI, r.Body)
	}
}

// FuzzRequests_BytesComeBack: any bytes, through an answer that is stored and a
// raw body, are the same bytes.
func FuzzRequests_BytesComeBack(f *testing.F) {
	for _, s := range []string{"", "a", png, "\uFEFF{}", "{\"a\": 1.0}", "\xff\xfe", "{{ x }}", "a\x00b", "\"x\"", "[1,", "null"} {
		f.Add([]byte(s), 0)
		f.Add([]byte(s), 1)
	}
	var body []byte
	var kind string
	u := testkit.NewUpstream(f)
	u.Handle("GET /x", testkit.Do(func(w http.ResponseWriter, _ *testkit.Call) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(body)
	}))
	u.Handle("PUT /x", testkit.OK(`{}`))
	kinds := []string{"image/png", "application/octet-stream", "application/x-unknown"}
	f.Fuzz(func(t *testing.T, data []byte, which int) {
		body, kind = data, kinds[uint(which)%uint(len(kinds))]
		before := len(u.Requests())
		outs := chain(t, &engine.Flow{ID: "f"}, value.MapOf("url", u.URL+"/x"),
			value.MapOf("url", u.URL+"/x", "operation", "put", "body_format", "raw", "body", "{{ xcom_a }}"))
		if outs[1].Err != nil {
			t.Fatal(outs[1].Err)
		}
		if got := u.Requests()[before+1].Body; !bytes.Equal(got, data) {
			t.Fatalf("%q came back as %q", data, got)
		}
	})
}

// FuzzRequests_JSONComesBack: any JSON text, through an answer that is stored
// and a JSON body, is the same value with the same number texts.
func FuzzRequests_JSONComesBack(f *testing.F) {
	for _, s := range []string{"{}", `{"a":[1,1.0,1.50,1e5,-0,1E400,"\u00e9"],"b":{"c":null}}`, `"x"`, "12345678901234567890.25", `[[],{}]`, " 7 "} {
		f.Add([]byte(s))
	}
	var body []byte
	u := testkit.NewUpstream(f)
	u.Handle("GET /x", testkit.Do(func(w http.ResponseWriter, _ *testkit.Call) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}))
	u.Handle("POST /x", testkit.OK(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := value.ParseJSON(data)
		if err != nil {
			t.Skip()
		}
		body = data
		before := len(u.Requests())
		outs := chain(t, &engine.Flow{ID: "f"}, value.MapOf("url", u.URL+"/x"), value.MapOf("url", u.URL+"/x", "operation", "post", "body", "{{ xcom_a }}"))
		if outs[1].Err != nil {
			t.Fatal(outs[1].Err)
		}
		sent := u.Requests()[before+1].Body
		want, _ := value.JSON(v)
		if !json.Valid(sent) || !bytes.Equal(sent, want) {
			t.Fatalf("%q came back as %q, want %q", data, sent, want)
		}
	})
}
