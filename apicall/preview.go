package apicall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

var _ engine.Previewer = (*program)(nil)

// stand makes what stands for a secret while a request is built: a name that
// no encoding changes.
func stand(id, field string) string {
	name := shellName(id)
	if field != "" {
		name += "_" + shellName(field)
	}
	return "QARION-SECRET-" + name + "-END"
}

var standPattern = regexp.MustCompile(`QARION-SECRET-([A-Z0-9_]+)-END`)

// shellName turns names into one of a shell variable.
func shellName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, s)
}

// StandIn is a credential with names in place of its secrets, for a
// CredentialStore whose task type only previews.
func StandIn(c engine.Credential) engine.Credential {
	data := c.Redacted()
	for name, v := range data.All() {
		if v == hidden {
			data.Set(name, stand(c.ID, name))
		}
	}
	c.Data = data
	return c
}

// standIn is the credential that a task's auth_type needs, as far as it is
// known.
func (p *program) standIn(ctx context.Context) engine.Credential {
	id, kind := p.props.credentialID, authKinds[p.props.authType]
	if c, err := p.t.credential(ctx, id, ""); err == nil && c.Type == kind.credential {
		return c
	}
	data := value.NewMap(2)
	for _, f := range slices.Concat(kind.fields, kind.given) {
		data.Set(f, stand(id, f))
	}
	return engine.Credential{ID: id, Type: kind.credential, Data: data}
}

// Preview builds the request of a first attempt. Nothing is sent, and no token
// is fetched. Errors are those that an attempt would end with.
func (p *program) Preview(ctx context.Context, in *engine.TaskInput) (*engine.Preview, error) {
	a := &attempt{prog: p, in: in, vars: &vars{TaskInput: in, prog: p}, start: time.Now()}
	a.out.Details.Method = p.props.method
	if p.props.paging != nil {
		a.page = &pageState{} // the first
	} else if p.props.polling != nil {
		a.poll = &pollState{}
	}
	if err := a.build(ctx); err != nil {
		return nil, errors.New(a.redactor().message(a.explain(ctx, err).Error()))
	}
	hookSaid, failed := a.previewHook(ctx)
	if failed != nil {
		return nil, failed
	}
	// The secrets are stand-ins, and name themselves. What was made of them is of
	// no use, and what was given for a sensitive task is a secret.
	a.vars.secrets = slices.DeleteFunc(a.vars.derived, standPattern.MatchString)
	req := a.req.Clone(ctx)
	for name, v := range req.Header { // as net/http writes it
		if canonical := http.CanonicalHeaderKey(name); canonical != name {
			delete(req.Header, name)
			req.Header[canonical] = v
		}
	}
	var shown shownAuth
	if p.props.authType != "none" {
		var err error
		if shown, err = p.previewAuth(ctx, req); err != nil {
			return nil, err
		}
	}
	note := shown.note
	out := &engine.Preview{Task: in.Key.Task, Method: req.Method, Headers: []engine.PreviewHeader{}, Hook: hookSaid, Policy: p.policy()}
	r := a.redactor()
	out.URL = starred(r.url(req.URL))
	if shown.header != "" {
		out.Headers = append(out.Headers, engine.PreviewHeader{Name: "Authorization", Value: shown.header + " " + hidden, Note: note})
	}
	for _, name := range previewHeaders(req.Header) {
		v := strings.Join(req.Header[name], ", ")
		h := engine.PreviewHeader{Name: name, Value: starred(r.header(name, v))}
		switch {
		case strings.Contains(v, "QARION-SECRET-") && note != "":
			h.Note = note
		case name == keyHeader && p.key == nil:
			h.Value, h.Note = "(made from the run)", "the same in all attempts"
		}
		out.Headers = append(out.Headers, h)
	}
	if jar := p.props.cookieJar; jar != "" {
		out.Headers = append(out.Headers, engine.PreviewHeader{Name: "Cookie", Value: hidden, Note: "cookie jar " + jar + ", as the run has filled it"})
	}
	if req.Host != "" && req.Host != req.URL.Host {
		out.Headers = append(out.Headers, engine.PreviewHeader{Name: "Host", Value: req.Host})
	}
	if a.body != nil {
		out.Body = starred(a.shownBody(engine.MaxExcerpt))
	}
	out.Curl = a.curl(req, shown)
	return out, nil
}

// previewHook runs the hook of the request where previews do so, with stand-ins for
// its secrets, and says what it did.
func (a *attempt) previewHook(ctx context.Context) (said string, err error) {
	h := a.prog.hooks["transform_request"]
	if h == nil {
		return "", nil
	}
	if !a.prog.t.cfg.PreviewHooks {
		return "the hook " + h.name() + " was not run; --hooks runs it", nil
	}
	if err := a.transformRequest(ctx); err != nil {
		return "", err
	}
	said = "the hook " + h.name() + ": " + a.verdict
	if len(h.secrets) > 0 {
		said += ", with stand-ins for its secrets"
	}
	return said, nil
}

// previewHeaders are the names of the headers that are shown, in their order.
func previewHeaders(h http.Header) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(h)), func(name string) bool { return name == "User-Agent" || name == "Accept-Encoding" })
}

// shownAuth is how the credential of a preview is shown: what curl computes
// itself has options of its own.
type shownAuth struct {
	note   string // where the header comes from
	header string // the scheme of a header that curl makes: "Basic"
	flags  string // for curl
	user   string // for curl's -u
	extra  string // a header that only curl must be told
}

// previewAuth adds what stands for the credential to the request.
func (p *program) previewAuth(ctx context.Context, req *http.Request) (shownAuth, error) {
	c := p.standIn(ctx)
	shown := shownAuth{note: fmt.Sprintf("credential %s (%s)", c.ID, c.Type)}
	switch p.props.authType {
	case "basic":
		shown.header, shown.user = "Basic", c.Text("username")+":"+c.Text("password")
		return shown, nil
	case "digest":
		shown.header, shown.flags, shown.user = "Digest", "--digest", c.Text("username")+":"+c.Text("password")
		return shown, nil
	case "oauth2":
		req.Header.Set("Authorization", "Bearer "+stand(c.ID, "token"))
		shown.note = fmt.Sprintf("credential %s (%s, token fetched when sent)", c.ID, c.Type)
		return shown, nil
	}
	auth, err := authKinds[p.props.authType].make(p.t, c)
	if err != nil {
		return shown, err
	}
	if s, ok := auth.(*sigV4); ok {
		s.region, s.service = cmp.Or(p.props.region, s.region), cmp.Or(p.props.service, s.service)
		service, region := s.scope(req.URL.Hostname())
		shown.header, shown.user = "AWS4-HMAC-SHA256", c.Text("access_key_id")+":"+c.Text("secret_access_key")
		shown.flags = "--aws-sigv4 'aws:amz:" + region + ":" + service + "'"
		if saysBodyHash(service) && !decodesPath(service) {
			shown.extra = "X-Amz-Content-Sha256: " + unsignedBody // curl makes the hash for S3 alone
		}
		if token := c.Text("session_token"); token != "" {
			req.Header.Set("X-Amz-Security-Token", token)
		}
		if service == "" || region == "" {
			err = auth.Authenticate(ctx, req.Clone(ctx)) // says what is missing
		}
		return shown, err
	}
	return shown, auth.Authenticate(ctx, req)
}

// starred shows stand-ins as ***.
func starred(s string) string { return standPattern.ReplaceAllString(s, hidden) }

// Worst implements engine.Previewer.
func (p *program) Worst() time.Duration {
	worst := p.props.timeout
	for i := 1; i <= p.props.retry.Count; i++ {
		wait, _ := p.props.retry.Next(i, 0.999999)
		worst += wait + p.props.timeout
	}
	return worst
}

// policy says in words how long and how often the request is tried.
func (p *program) policy() string {
	pr := p.props
	out := "timeout " + shortSpan(pr.timeout)
	if g := pr.polling; g != nil {
		out = fmt.Sprintf("then polled every %s for at most %s · %s", shortSpan(g.interval), shortSpan(g.timeout), out)
	}
	if g := pr.paging; g != nil {
		out = fmt.Sprintf("the first of at most %d pages, each with: %s", g.maxPages, out)
	}
	if pr.retry.Count == 0 {
		return out + " · 1 attempt, no retries"
	}
	out += fmt.Sprintf(" · up to %d attempts, %s apart", pr.retry.Count+1, shortSpan(pr.retry.Delay))
	if pr.retry.Backoff > 1 {
		out += fmt.Sprintf(" and %g times longer each", pr.retry.Backoff)
	}
	return out + " · worst case " + shortSpan(p.Worst()) + " · retried: " + pr.retried()
}

// retried lists what the retry table allows for this request.
func (p *props) retried() string {
	list := func(codes []int) string {
		return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(codes)), ", "), "[]")
	}
	what := "no connection, broken connections, " + list(retriedStatuses)
	if !p.unrepeatable() {
		what += ", timeouts"
	}
	if len(p.retryOn) > 0 {
		what += ", " + list(p.retryOn)
	}
	if len(p.failOn) > 0 {
		what += "; never " + list(p.failOn)
	}
	return what
}

func shortSpan(d time.Duration) string {
	s := d.Round(time.Millisecond).String()
	s = strings.TrimSuffix(s, "m0s")
	if s != d.Round(time.Millisecond).String() {
		s += "m"
	}
	return s
}
