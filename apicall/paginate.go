package apicall

import (
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/jq"
	"github.com/qarion/qarion/internal/value"
)

// Defaults of paginate, as docs/api-call.md names them.
const (
	DefaultMaxPages       = 1000
	DefaultMaxResultBytes = 256 << 20
)

// paging is how a list is read that comes in pages. Each page is a turn of the
// task: it has its own retries and its own record, and a task that was killed or
// failed goes on with the page that it needs.
type paging struct {
	kind       string
	items      *answerPath // nil: the answer itself
	path       *answerPath // next_url, cursor: where the next page is named
	next       string      // jq
	param      string      // query parameter that the next page is asked by
	header     string      // instead: a header
	pointer    []string    // instead: a place in the body
	start      int64       // offset, page: of the first request
	sizeParam  string      // offset, page: by which the size is asked; "" for none
	size       int64
	total      *answerPath // offset: of items; page: of pages
	hasMore    *answerPath
	stopWhen   *jinja.Template
	stopOnSize bool // a page that is not full is the last one
	maxPages   int
	stopAtMax  bool
	stopAtTwin bool // a page that repeats the one before ends the list
	delay      time.Duration
	maxResult  int64
	format     string // of an object: json or ndjson
}

var pageKinds = []string{"link", "next_url", "cursor", "offset", "page", "jq"}

// pageKeys are the keys of paginate with the types that have them; nil: all.
var pageKeys = []struct {
	key   string
	kinds []string
}{
	{"type", nil}, {"items", nil}, {"has_more", nil}, {"stop_when", nil}, {"max_pages", nil}, {"on_max_pages", nil},
	{"page_delay", nil}, {"max_result_bytes", nil}, {"object_format", nil},
	{"path", []string{"next_url", "cursor"}}, {"next", []string{"jq"}},
	{"param", []string{"cursor", "offset", "page"}}, {"into", []string{"cursor", "offset", "page"}},
	{"start", []string{"offset", "page"}}, {"on_repeat", []string{"offset", "page"}}, {"stop_on_short", []string{"offset", "page"}},
	{"limit", []string{"offset"}}, {"limit_param", []string{"offset"}}, {"total", []string{"offset"}},
	{"size", []string{"page"}}, {"size_param", []string{"page"}}, {"total_pages", []string{"page"}},
}

// readPaginate reads paginate; without it the task makes one call.
func (r *reader) readPaginate(p *props) {
	m := r.Table("paginate")
	if m == nil {
		return
	}
	in := newReader(r.Task, r.readable([]string{"properties", "paginate"}, m), "properties", "paginate")
	g := in.paging()
	r.Problems = append(r.Problems, in.Problems...)
	if in.Failed() {
		r.Fail("paginate")
	}
	p.paging = g
	switch {
	case p.handling == "ignore":
		r.Problem("paginate", "unused", "response_handling is \"ignore\": there is nothing to find the next page in")
	case p.operation == "head":
		r.Problem("paginate", "unused", "the answer to a head request has no body")
	case p.responseFormat == "text" || p.responseFormat == "bytes":
		r.Problem("paginate", "unused", "response_format = %q gives no list", p.responseFormat)
	case g.pointer != nil && (!p.hasBody || p.bodyFormat != "json") && r.Judges("body", "body_format"):
		r.Problem("paginate", "missing", "paginate.into names a place in the body, but there is no body of body_format \"json\"")
	case p.unrepeatable() && r.Judges("operation", "idempotency_key"):
		r.Add("paginate", engine.Problem{Code: "repeatable", Warning: true, Message: "paginate on a " + p.method +
			": a page whose answer is lost is not asked for again by itself: add safe = true if the call only reads, or idempotency_key = true"})
	}
}

func (r *reader) paging() *paging {
	g := &paging{format: "json", maxPages: DefaultMaxPages}
	known := make([]string, len(pageKeys))
	for i, k := range pageKeys {
		known[i] = k.key
	}
	if _, given := r.Get("type"); !given {
		if !r.meant("type", known) {
			r.Problem("type", "missing", "paginate.type is missing: one of %s", strings.Join(pageKinds, ", "))
		}
		r.mistyped("key of paginate", known)
		return g
	}
	r.unknown("key of paginate", known)
	if g.kind = r.Word("type", "", pageKinds...); !r.Judges("type") {
		return g
	}
	for _, k := range pageKeys {
		if _, given := r.From.Get(k.key); given && k.kinds != nil && !slices.Contains(k.kinds, g.kind) {
			r.Problem(k.key, "unused", "paginate.%s needs type = %s, not %q", k.key, quotedOr(k.kinds), g.kind)
		}
	}
	g.items, g.hasMore = r.answerPath("items", ""), r.answerPath("has_more", "")
	g.maxPages = int(r.Whole("max_pages", DefaultMaxPages, 1, engine.MaxTurns))
	g.stopAtMax = r.Word("on_max_pages", "fail", "fail", "stop") == "stop"
	g.stopAtTwin = r.Word("on_repeat", "fail", "fail", "stop") == "stop"
	g.stopOnSize = r.Flag("stop_on_short", false)
	g.delay = r.Span("page_delay", 0, 0)
	g.maxResult = r.Whole("max_result_bytes", DefaultMaxResultBytes, 1, 1<<40)
	g.format = r.Word("object_format", "json", "json", "ndjson")
	r.ofKind(g)
	return g
}

// ofKind reads what only some types have.
func (r *reader) ofKind(g *paging) {
	switch g.kind {
	case "next_url":
		g.path = r.answerPath("path", "next")
	case "cursor":
		if g.path = r.answerPath("path", ""); g.path == nil && r.Judges("path") {
			r.Problem("path", "missing", "paginate.path is missing: where an answer names the next page, such as \"meta.next\"")
		}
		r.target(g, "")
	case "offset":
		r.target(g, "offset")
		g.start = r.Whole("start", 0, 0, 1<<53)
		g.sizeParam, g.size = r.Text("limit_param", ""), r.Whole("limit", 0, 1, 1<<31)
		g.total = r.answerPath("total", "")
		r.needsSize(g, "limit_param", "limit")
	case "page":
		r.target(g, "page")
		g.start = r.Whole("start", 1, 0, 1<<53)
		g.sizeParam, g.size = r.Text("size_param", ""), r.Whole("size", 0, 1, 1<<31)
		g.total = r.answerPath("total_pages", "")
		r.needsSize(g, "size_param", "size")
	case "jq":
		g.next = r.Text("next", "")
		if g.next == "" && r.Judges("next") {
			r.Problem("next", "missing", "paginate.next is missing: a jq expression that gives the next request, or null")
		} else if err := jq.Check(g.next); err != nil && r.Judges("next") {
			r.Problem("next", "bad-jq", "paginate.next: %v", err)
		}
	}
}

func (r *reader) needsSize(g *paging, param, size string) {
	switch {
	case g.sizeParam != "" && g.size == 0 && r.Judges(param, size):
		r.Problem(param, "unused", "paginate.%s needs %s", param, size)
	case g.stopOnSize && g.size == 0 && r.Judges("stop_on_short", size):
		r.Problem("stop_on_short", "unused", "paginate.stop_on_short needs %s, to know which page is short", size)
	}
}

// target reads where the next page is named in a request: a query parameter, a
// header or a place in the body.
func (r *reader) target(g *paging, param string) {
	g.param = r.Text("param", param)
	into := r.Text("into", "")
	_, both := r.Get("param")
	kind, name, _ := strings.Cut(into, ":")
	switch {
	case into != "" && both:
		r.Problem("into", "unused", "paginate.param and into exclude each other")
	case into == "" && g.param == "" && r.Judges("into", "param"):
		r.Problem("param", "missing", "paginate.param is missing: the query parameter that asks for the next page; or into = \"header:NAME\", \"body:/a/b\"")
	case into == "":
	case kind == "header" && isToken(name):
		g.param, g.header = "", textproto.CanonicalMIMEHeaderKey(name)
	case kind == "body" && strings.HasPrefix(name, "/"):
		g.param = ""
		unescape := strings.NewReplacer("~1", "/", "~0", "~")
		for key := range strings.SplitSeq(name[1:], "/") {
			g.pointer = append(g.pointer, unescape.Replace(key))
		}
	default:
		r.Problem("into", "bad-path", "paginate.into is %s, want \"header:NAME\" or \"body:/a/b\" (a JSON Pointer)", value.Quoted(into))
	}
}

// answerPath is a place in an answer: a path of the body, "header:NAME", or
// "last_item.PATH" of the last item of the page.
type answerPath struct {
	key    string // of paginate, for messages
	text   string
	header string
	last   bool
	path   fieldPath
}

// answerPath reads a place; nil when it is not given and has no default.
func (r *reader) answerPath(key, def string) *answerPath {
	text := r.Text(key, def)
	if text == "" {
		return nil
	}
	p := &answerPath{key: key, text: text}
	if name, ok := strings.CutPrefix(text, "header:"); ok && key != "items" {
		if p.header = name; !isToken(name) {
			r.Problem(key, "bad-path", "paginate.%s: %s is no header name", key, value.Quoted(name))
		}
		return p
	}
	if text == "last_item" && key == "path" {
		p.last = true
		return p
	}
	rest, last := strings.CutPrefix(text, "last_item.")
	if p.last = last && key == "path"; !p.last {
		rest = text
	}
	var err error
	if p.path, err = parsePath(rest); err != nil {
		r.Problem(key, "bad-path", "paginate.%s: %v", key, err)
	}
	return p
}

func quotedOr(words []string) string {
	return `"` + strings.Join(words, `" or "`) + `"`
}
