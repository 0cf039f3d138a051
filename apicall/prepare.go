package apicall

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/jq"
	"github.com/qarion/qarion/internal/property"
	"github.com/qarion/qarion/internal/value"
)

// program is a prepared api_call, shared by all attempts: nothing changes but
// the redactor that the last attempt used.
type program struct {
	t          *TaskType
	props      *props
	needs      engine.Needs
	url        *jinja.Template
	headers    []namedTemplate
	params     []namedValue
	body       *template // nil: no body, or a multipart one
	multipart  []partTemplate
	folder     string // where the flow's file is; "" when it has none
	key        *jinja.Template
	creds      []credentialRef
	proxyCreds []credentialRef // those in proxy, in their order
	fixed      fixed
	hooks      map[string]*hook // by place; nil for most
	answered   bool             // some task reads this one's resp_ document
	client     *clients
	hides      atomic.Pointer[redactor]
	offers     bool            // headers may read the request itself
	looks      *program        // that asks about the job that this one starts; nil: the request itself does
	readsStart bool            // a template of poll reads the first answer
	keyRead    map[string]bool // names of which a template reads xcom_pull_key's key
}

type namedTemplate struct {
	name string
	tpl  *jinja.Template
}

type namedValue struct {
	name string
	tpl  *template
}

// Prepare implements engine.TaskType.
func (t *TaskType) Prepare(flow *engine.Flow, task *engine.Task) (engine.Program, []engine.Problem) {
	p, r := readProperties(task)
	prog := &program{t: t, props: p, answered: task.Answers, keyRead: map[string]bool{}, offers: offersRequest(flow)}
	c := &compiler{reader: *r, prog: prog}
	prog.url = c.text("url", p.url)
	c.checkURL(prog.url)
	prog.headers = c.headers(p.headers)
	headers := prog.headers
	for name, v := range p.params.All() {
		prog.params = append(prog.params, namedValue{name, c.value([]string{"params", name}, v, 0)})
	}
	if flow.File != "" {
		prog.folder = filepath.Dir(flow.File)
	}
	switch {
	case p.hasBody && p.bodyFormat == "multipart":
		prog.multipart = c.multipart(p.body)
	case p.hasBody:
		prog.body = c.value([]string{"body"}, p.body, 0)
		c.checkBody(p, prog.body)
	}
	if p.keyTemplate != "" {
		prog.key = c.text("idempotency_key", p.keyTemplate)
	}
	var err error
	if p.selects != "" {
		if err := jq.Check(p.selects); err != nil {
			c.Problem("select", "bad-jq", "select: %v", err)
		}
	}
	if p.paging != nil {
		if source, given := tableOf(task, "paginate").Get("stop_when"); given {
			c.checkStop(flow, p.paging, source)
		}
	}
	if p.polling != nil {
		prog.looks = c.compilePoll(flow, task)
		prog.readsStart = c.readsStart()
	}
	c.compileProxy(p.proxy)
	if prog.client, err = t.clients(p.tls); err != nil {
		key, _, _ := strings.Cut(err.Error(), ":")
		c.Problem(key, "unreadable", "%v", err)
	}
	c.compileHooks(flow, task)
	c.readLimit(p, t.cfg.Limits)
	prog.creds = c.creds
	prog.needs = prog.describe(c)
	if o := ownOrigin(p.url, flow); o != "" {
		prog.needs.Origins = []string{o}
	}
	if engine.Refused(c.Problems) == nil {
		key, err := prog.fix()
		if looks := prog.looks; err == nil && looks != nil {
			looks.client, looks.creds, looks.proxyCreds, looks.hooks = prog.client, prog.creds, prog.proxyCreds, prog.hooks
			looks.headers, looks.readsStart = headers, prog.readsStart
			key, err = looks.fix()
		}
		if err != nil {
			c.Problem(key, "bad-"+key, "%v", err)
		}
	}
	if wrong := engine.Refused(c.Problems); wrong != nil {
		return &unusable{needs: prog.needs, why: wrong.Message}, c.Problems
	}
	return prog, c.Problems
}

// unusable is what a task with errors is: it tells what it reads, so that all
// of a flow's mistakes come out at once.
type unusable struct {
	needs engine.Needs
	why   string
}

// Needs implements engine.Program.
func (u *unusable) Needs() engine.Needs { return u.needs }

// Execute implements engine.Program.
func (u *unusable) Execute(context.Context, *engine.TaskInput) engine.TaskOutput {
	return engine.TaskOutput{Err: &engine.TaskError{Class: classTemplate, Message: u.why}}
}

// Needs implements engine.Program.
func (p *program) Needs() engine.Needs { return p.needs }

func (p *program) describe(c *compiler) engine.Needs {
	n := engine.Needs{
		Subtype: p.props.operation, Names: c.names, Retry: p.props.retry, OnInterrupted: p.props.onInterrupted,
		Unrepeatable: p.props.unrepeatable() || p.props.asks, RepeatableTurns: p.looks != nil, Jar: p.props.cookieJar,
	}
	if p.props.handling == "ignore" {
		n.NoValue = `response_handling = "ignore"`
	}
	for _, id := range p.props.pulls {
		n.Pulls = append(n.Pulls, engine.NameUse{Name: id, Path: []string{"properties", "xcom_pull"}})
	}
	if p.props.credentialID != "" {
		n.Credentials = append(n.Credentials, engine.NameUse{Name: p.props.credentialID, Path: []string{"properties", "credential_id"}})
	}
	if p.props.proxyCredential != "" {
		n.Credentials = append(n.Credentials, engine.NameUse{Name: p.props.proxyCredential, Path: []string{"properties", "proxy_credential_id"}})
	}
	p.hookNeeds(&n)
	n.Limit = p.firstCall()
	for _, ref := range c.creds {
		n.Credentials = append(n.Credentials, engine.NameUse{Name: ref.id, Path: ref.path})
	}
	return n
}

// compiler parses the templates of a task and collects what they read.
type compiler struct {
	reader
	prog  *program
	names []engine.NameUse
	creds []credentialRef
}

// parse parses one string of the flow file.
func (c *compiler) parse(path []string, source string) *jinja.Template {
	return c.parseOffering(path, source, nil)
}

// parseOffering parses a string that may read more names than others.
func (c *compiler) parseOffering(path []string, source string, offered []string) *jinja.Template {
	field := strings.Join(path, ".")
	source = c.credentials(path, source)
	t, err := jinja.Parse(field, source)
	if err != nil {
		c.Problems = append(c.Problems, engine.Problem{
			Task: c.Task, Path: append([]string{"properties"}, path...), Code: "template", Message: templateMessage(err), Value: jinja.PieceOf(err),
		})
		c.Fail(path[0])
		t, _ = jinja.Parse(field, "")
		return t
	}
	for _, name := range t.Names() {
		if key := c.prog.props.pullKey; key != "" && readsKey(source, name, key) {
			c.prog.keyRead[name] = true
		}
		if !strings.HasPrefix(name, credentialName) && !slices.Contains(offered, name) && !(name == requestName && c.prog.offers && path[0] == "headers") {
			c.names = append(c.names, engine.NameUse{
				Name: name, Path: append([]string{"properties"}, path...), Optional: !slices.Contains(t.Needs(), name),
			})
		}
	}
	return t
}

// tableOf is a property that is a table; nil when it is none.
func tableOf(task *engine.Task, key string) *value.Map {
	v, _ := task.Properties.Get(key)
	m, _ := v.(*value.Map)
	return m
}

func templateMessage(err error) string {
	var e *jinja.Error
	if errors.As(err, &e) {
		return e.Error()
	}
	return err.Error()
}

func (c *compiler) text(key, source string) *jinja.Template { return c.parse([]string{key}, source) }

func (c *compiler) headers(m *value.Map) (out []namedTemplate) {
	seen := map[string]string{}
	for name, v := range m.All() {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		s, isText := headerText(v)
		if _, told := v.(property.Unreadable); told {
			continue
		}
		switch other, twice := seen[canonical]; {
		case !isToken(name):
			c.headerProblem(name, "bad-header", "header name %q has characters that no header may have", name)
			continue
		case !isText:
			c.headerProblem(name, "wrong-type", "header %s is %s, want a string", name, value.Kind(v))
			continue
		case twice:
			c.headerProblem(name, "bad-header", "headers %s and %s are the same header", other, name)
			continue
		case slices.Contains(ownHeaders, canonical):
			c.headerProblem(name, "bad-header", "header %s is set by qarion from the request; remove it", name)
			continue
		case canonical == keyHeader && !c.prog.props.keyed:
			c.Problems = append(c.Problems, engine.Problem{
				Task: c.Task, Path: []string{"properties", "headers", name}, Code: "key-header", Warning: true,
				Message: "write it as idempotency_key, so that the call is known to be repeatable",
			})
		}
		seen[canonical] = name
		out = append(out, namedTemplate{canonical, c.parse([]string{"headers", name}, s)})
	}
	return out
}

// ownHeaders follow from the request itself; another value would make it
// unreadable (RFC 9112, 6).
var ownHeaders = []string{"Content-Length", "Transfer-Encoding", "Trailer", "Te", "Upgrade", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization"}

func (c *compiler) headerProblem(name, code, format string, args ...any) {
	c.Problems = append(c.Problems, engine.Problem{
		Task: c.Task, Path: []string{"properties", "headers", name}, Code: code, Message: fmt.Sprintf(format, args...),
	})
}

// isToken reports whether a name is a header field name (RFC 9110, 5.6.2).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// headerText takes text, and numbers and flags as their text.
func headerText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int64, bool, float64:
		return plainText(v), true
	}
	return "", false
}

// checkURL finds what can be wrong with a URL before there is data.
func (c *compiler) checkURL(t *jinja.Template) {
	s, literal := t.Literal()
	if !literal {
		s, _, _ = strings.Cut(s, "{")
	}
	if s == "" {
		return
	}
	lower := strings.ToLower(s)
	switch {
	case strings.HasPrefix(lower, "http://"), strings.HasPrefix(lower, "https://"):
	case !literal && (strings.HasPrefix("http://", lower) || strings.HasPrefix("https://", lower)):
	default:
		c.Problem("url", "bad-url", "url must start with http:// or https://")
		return
	}
	if !literal {
		return
	}
	u, err := parseURL(s)
	switch {
	case err != nil:
		c.Problem("url", "bad-url", "%v", err)
	case u.User != nil:
		c.Problem("url", "userinfo", "url contains a user name or password: use a credential")
	}
}

func (c *compiler) checkBody(p *props, t *template) {
	if !c.Judges("body", "body_format") {
		return
	}
	_, isText := p.body.(string)
	switch p.bodyFormat {
	case "form":
		c.checkForm(p)
	case "raw":
		if !isText {
			c.Problem("body", "wrong-type", "body_format \"raw\" needs a string, got a %s", value.TypeName(p.body))
		}
	case "xml":
		if m, ok := p.body.(*value.Map); !isText && (!ok || m.Len() != 1) {
			c.Problem("body", "wrong-type", "body_format \"xml\" needs a string or a table with one root element")
		}
	case "json":
		if s, ok := p.body.(string); ok && t.isConstant() {
			if _, err := value.ParseJSON([]byte(s)); err != nil {
				c.Problem("body", "bad-json", "body is a string that is not JSON: %v; use a table, or body_format = \"raw\"", err)
			}
		} else if ok {
			c.checkJSONText(t.tpl)
		}
	}
}
