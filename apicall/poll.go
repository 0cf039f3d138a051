package apicall

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// Defaults of poll, as docs/api-call.md names them.
const (
	DefaultPollInterval    = 5 * time.Second
	DefaultPollBackoff     = 1.0
	DefaultPollMaxInterval = 60 * time.Second
	DefaultPollTimeout     = time.Hour
)

// polling is how the end of a job is waited for that a request has started. The
// request is the first turn of the task; each look at the job is another one.
type polling struct {
	follow   bool   // the address stands in Location
	url      string // a template of it; "" for the request's own
	interval time.Duration
	backoff  float64
	longest  time.Duration
	timeout  time.Duration

	until, while, failWhen *jinja.Template
	result                 *jinja.Template // address of what the job has made
}

var pollKeys = []string{"follow", "url", "until", "while", "fail_when", "result", "interval", "backoff", "max_interval", "timeout"}

// pollNames are what the templates of poll may read beside the usual names.
var pollNames = []string{"body", "status_code", "headers", "polls", "start"}

// readPoll reads poll; its templates are compiled later.
func (r *reader) readPoll(p *props) {
	m := r.Table("poll")
	if m == nil {
		return
	}
	path := []string{"properties", "poll"}
	in := newReader(r.Task, r.readable(path, m), path...)
	in.unknown("key of poll", pollKeys)
	g := &polling{
		url: in.Text("url", ""), interval: in.Span("interval", DefaultPollInterval, 0), backoff: in.Fraction("backoff", DefaultPollBackoff, 1),
		longest: in.Span("max_interval", DefaultPollMaxInterval, 0), timeout: in.Span("timeout", DefaultPollTimeout, 0),
	}
	g.longest = max(g.longest, g.interval)
	given := func(key string) bool { _, is := in.Get(key); return is }
	g.follow = given("follow") && in.Word("follow", "location", "location") == "location"
	switch {
	case in.Failed(): // what else is missing depends on it
	case g.follow && g.url != "":
		in.Problem("follow", "unused", "poll.follow and url exclude each other")
	case !g.follow && !given("until") && !given("while"):
		in.Problem("until", "missing", "poll has no end: give until or while, or follow = \"location\"")
	case !g.follow && g.url == "" && !safe(p.operation) && !p.onlyReads && r.Judges("operation"):
		in.Problem("url", "missing", "poll would send the %s again: name the address of the job with follow or url, or say safe = true", p.method)
	}
	r.Problems = append(r.Problems, in.Problems...)
	if in.Failed() {
		r.Fail("poll")
	}
	p.polling = g
	switch {
	case p.paging != nil:
		r.Problem("poll", "unused", "poll and paginate exclude each other: paginate what the job has made in a task of its own")
	case p.handling == "ignore" || p.operation == "head":
		r.Problem("poll", "unused", "poll reads the answer, and there is none to read")
	case p.storeAs == "object":
		r.Problem("poll", "unused", "poll reads the answer, and store_as = \"object\" does not: download what the job has made in a task of its own")
	}
}

// compilePoll prepares the templates of poll, and the program of the looks at the
// job: they are GETs with the credential and the headers of the task.
func (c *compiler) compilePoll(flow *engine.Flow, task *engine.Task) *program {
	g, table := c.prog.props.polling, tableOf(task, "poll")
	for _, of := range []struct {
		key       string
		condition bool
		to        **jinja.Template
	}{{"until", true, &g.until}, {"while", true, &g.while}, {"fail_when", true, &g.failWhen}, {"result", false, &g.result}} {
		v, given := table.Get(of.key)
		source, isText := v.(string)
		switch {
		case !given || v == nil:
			continue
		case !isText:
			c.pollProblem(of.key, "wrong-type", "poll.%s is %s, want a template", of.key, value.Kind(v))
			continue
		}
		t := c.parseOffering([]string{"poll", of.key}, source, pollNames)
		if of.condition && !t.Single() && c.Judges("poll") {
			c.pollProblem(of.key, "no-condition", "poll.%s must be exactly one {{ ... }}", of.key)
		}
		c.notShadowed(flow, of.key, t)
		*of.to = t
	}
	look := *c.prog.props
	look.operation, look.method = "get", http.MethodGet
	look.body, look.hasBody, look.keyed, look.keyTemplate, look.asks = nil, false, false, "", false
	if !g.follow && g.url == "" && !safe(c.prog.props.operation) { // the same request again
		return nil
	}
	p := c.prog
	out := &program{
		t: p.t, props: &look, url: p.url, headers: p.headers, params: p.params, folder: p.folder,
		answered: p.answered, client: p.client, offers: p.offers, keyRead: p.keyRead,
	}
	if g.url != "" {
		out.url, out.params = c.parseOffering([]string{"poll", "url"}, g.url, pollNames), nil
		c.notShadowed(flow, "url", out.url)
	}
	return out
}

func (c *compiler) pollProblem(key, code, format string, args ...any) {
	c.Problems = append(c.Problems, engine.Problem{Task: c.Task, Path: []string{"properties", "poll", key}, Code: code, Message: fmt.Sprintf(format, args...)})
	c.Fail("poll")
}

func (c *compiler) notShadowed(flow *engine.Flow, key string, t *jinja.Template) {
	for _, name := range pollNames {
		if _, declared := flow.Variables.Get(name); declared && slices.Contains(t.Names(), name) {
			c.pollProblem(key, "shadowed", "poll.%s reads %s, which is also a variable of the flow: rename the variable", key, name)
		}
	}
}

// readsStart reports whether a template of poll reads the first answer.
func (c *compiler) readsStart() bool {
	g := c.prog.props.polling
	all := []*jinja.Template{g.until, g.while, g.failWhen, g.result}
	if c.prog.looks != nil {
		all = append(all, c.prog.looks.url)
	}
	return slices.ContainsFunc(all, func(t *jinja.Template) bool { return t != nil && slices.Contains(t.Names(), "start") })
}
