package apicall

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// pageAnswer is what the next page is found in.
type pageAnswer struct {
	resp  *http.Response
	body  any // after select
	items []any
}

// follows decides whether another page follows, and says in next how it is asked
// for. Any of the rules that end a list ends it; none of them revives it.
func (a *attempt) follows(ctx context.Context, answer *pageAnswer, next *pageState) (bool, error) {
	g := a.props().paging
	if g.hasMore != nil {
		if more, there := answer.at(g.hasMore); there && (more == false || more == "false") {
			return false, nil
		}
	}
	if stop, err := a.stops(ctx, answer, next.Pages); stop || err != nil {
		return false, err
	}
	if g.stopOnSize && int64(len(answer.items)) < g.size {
		return false, nil
	}
	request, err := a.nextRequest(ctx, answer, next)
	if err != nil || request == "" {
		return false, err
	}
	if next.Pages >= g.maxPages {
		if g.stopAtMax {
			return false, nil
		}
		return false, fmt.Errorf("%d pages and no end: raise max_pages, or set on_max_pages = \"stop\"", g.maxPages)
	}
	if next.Pages == 1 {
		next.Guard = begin(a.firstRequest())
	}
	if of, again := next.Guard.seen(request, next.Pages+1); again {
		return false, fmt.Errorf("pagination does not advance: page %d sends the request of page %d again", next.Pages+1, of)
	}
	return true, nil
}

// nextRequest fills in what tells the next request from this one, and returns it
// as text that is equal for equal requests; "" when there is none.
func (a *attempt) nextRequest(ctx context.Context, answer *pageAnswer, next *pageState) (string, error) {
	switch g := a.props().paging; g.kind {
	case "link":
		for _, l := range parseLinks(answer.resp.Header["Link"]) {
			if slices.Contains(l.rels, "next") && l.anchor == "" {
				return a.nextURL(answer, l.target, next)
			}
		}
		return "", nil
	case "next_url":
		v, err := a.named(answer, g.path)
		if err != nil || v == "" {
			return "", err
		}
		return a.nextURL(answer, v, next)
	case "cursor":
		v, err := a.named(answer, g.path)
		next.Value = v
		return v, err
	case "offset":
		if len(answer.items) == 0 {
			return "", nil
		}
		at := g.start + next.Items
		if total, known := answer.number(g.total); known && at-g.start >= total {
			return "", nil
		}
		next.Value = strconv.FormatInt(at, 10)
		return next.Value, nil
	case "page":
		if len(answer.items) == 0 {
			return "", nil
		}
		if total, known := answer.number(g.total); known && int64(next.Pages) >= total {
			return "", nil
		}
		next.Value = strconv.FormatInt(g.start+int64(next.Pages), 10)
		return next.Value, nil
	}
	return a.nextByExpression(ctx, answer, next)
}

// named is the text at a path that names the next page; "" when there is none.
func (a *attempt) named(answer *pageAnswer, p *answerPath) (string, error) {
	v, there := answer.at(p)
	switch v := v.(type) {
	case nil:
		if !there && a.page.Pages == 0 {
			a.note("one page: " + p.text + " is not in the answer")
		}
		return "", nil
	case string:
		return v, nil
	case int64, value.Number, float64:
		return plainText(v), nil
	case bool:
		if !v {
			return "", nil
		}
	}
	return "", fmt.Errorf("paginate.path: %s is %s, want text or a number", p.text, value.Kind(v))
}

// at finds a place in an answer.
func (p *pageAnswer) at(path *answerPath) (v any, there bool) {
	switch {
	case path.header != "":
		text := p.resp.Header.Get(path.header)
		return text, text != ""
	case path.last && len(p.items) == 0:
		return nil, true
	case path.last && path.text == "last_item":
		return p.items[len(p.items)-1], true
	case path.last:
		v, missing := path.path.find(p.items[len(p.items)-1])
		return v, missing == ""
	}
	v, missing := path.path.find(p.body)
	return v, missing == ""
}

// number is a count that an answer names; one that is null or missing is not
// known.
func (p *pageAnswer) number(path *answerPath) (int64, bool) {
	if path == nil {
		return 0, false
	}
	v, _ := p.at(path)
	if f, ok := value.Float(v); ok {
		return int64(f), true
	}
	text, _ := v.(string)
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n, err == nil
}

// nextURL takes an address that the server names. What it repeats of a secret is
// taken out and filled in again from the flow's own address.
func (a *attempt) nextURL(answer *pageAnswer, ref string, next *pageState) (string, error) {
	var err error
	if next.URL, next.Fill, next.Trusted, err = a.leadsFrom(answer.resp.Request.URL, ref); err != nil {
		return "", fmt.Errorf("the address of the next page %w", err)
	}
	if u, err := parseURL(next.URL); a.body != nil && err == nil && !sameOrigin(a.first, u) {
		return "", fmt.Errorf("the next page would send the body to another host, %s", u.Host)
	}
	return next.URL, nil
}

// leadsFrom resolves an address that a server names. What it repeats of a secret
// is taken out: fill has the parameters. own says that it leads to where the flow
// file itself goes.
func (a *attempt) leadsFrom(base *url.URL, ref string) (address string, fill []string, own bool, err error) {
	u := absolute(base, ref)
	switch {
	case u == nil:
		return "", nil, false, errors.New("is none, or leads to something else than http and https")
	case base.Scheme == "https" && u.Scheme == "http":
		return "", nil, false, errors.New("leads from https to http")
	case len(ref) > engine.MaxURL:
		return "", nil, false, fmt.Errorf("is longer than %d bytes", engine.MaxURL)
	}
	r := a.redactor()
	var kept []string
	for _, pair := range strings.Split(u.RawQuery, "&") {
		name, val, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(val)
		if val != "" && err == nil && (r.values(plain) != plain || r.values(val) != val) {
			key, _ := url.QueryUnescape(name)
			fill = append(fill, key)
			continue
		}
		kept = append(kept, pair)
	}
	u.RawQuery = strings.Join(kept, "&")
	return u.String(), fill, a.trusted && sameOrigin(base, u), nil
}

// nextByExpression asks a jq expression.
func (a *attempt) nextByExpression(ctx context.Context, answer *pageAnswer, next *pageState) (string, error) {
	headers := value.NewMap(len(answer.resp.Header))
	for name, v := range answer.resp.Header {
		headers.Set(strings.ToLower(name), headerValue(strings.Join(v, ", ")))
	}
	request := value.MapOf("method", a.req.Method, "url", a.redactor().url(a.target.url))
	if a.body != nil && a.body.segments == nil {
		if body, err := value.ParseJSON(a.body.data); err == nil {
			request.Set("body", body)
		}
	}
	in, err := value.JSON(value.MapOf("status", int64(answer.resp.StatusCode), "headers", headers, "body", answer.body,
		"page", int64(next.Pages), "url", a.redactor().url(answer.resp.Request.URL), "request", request))
	if err != nil {
		return "", fmt.Errorf("paginate.next: %w", err)
	}
	out, err := a.prog.t.cfg.Select.Apply(ctx, a.props().paging.next, in)
	if err != nil {
		return "", fmt.Errorf("paginate.next: %w", a.quiet(err, "the expression cannot be applied"))
	}
	said, err := value.ParseJSON(out)
	m, isMap := said.(*value.Map)
	switch {
	case err != nil:
		return "", fmt.Errorf("paginate.next: %w", err)
	case said == nil:
		return "", nil
	case !isMap:
		return "", fmt.Errorf("paginate.next gives %s, want null or {url, params, headers, body}", value.Kind(said))
	}
	for key, v := range m.All() {
		table, isTable := v.(*value.Map)
		switch text, isText := v.(string); {
		case v == nil:
		case key == "url" && isText:
			if _, err := a.nextURL(answer, text, next); err != nil {
				return "", err
			}
		case key == "params" && isTable:
			next.Params = table
		case key == "headers" && isTable:
			next.Headers = table
		case key == "body":
			if next.Body, err = value.JSON(v); err != nil {
				return "", fmt.Errorf("paginate.next: %w", err)
			}
		default:
			return "", fmt.Errorf("paginate.next gives %s that is %s, want url (text), params, headers (objects) and body", value.Quoted(key), value.Kind(v))
		}
	}
	return string(out), nil
}

// firstRequest is the first page's request as nextRequest writes requests.
func (a *attempt) firstRequest() string {
	if kind := a.props().paging.kind; kind == "link" || kind == "next_url" {
		return a.first.String()
	}
	return ""
}

// pageGuard finds requests that repeat, however long the circle is, with the memory
// of one of them (R. P. Brent, "An improved Monte Carlo factorization algorithm",
// 1980).
type pageGuard struct {
	Held  [16]byte `json:"h"` // the request that others are compared with
	Page  int      `json:"p"` // whose it is
	Power int      `json:"w"` // for how many more pages it is held
	Steps int      `json:"s"`
}

func begin(request string) pageGuard { return pageGuard{Held: short(request), Page: 1, Power: 1} }

// seen takes the request of a page and reports whether it is an earlier one's.
func (g *pageGuard) seen(request string, page int) (of int, again bool) {
	h := short(request)
	if h == g.Held {
		return g.Page, true
	}
	if g.Steps++; g.Steps == g.Power {
		*g = pageGuard{Held: h, Page: page, Power: 2 * g.Power}
	}
	return 0, false
}

func short(text string) [16]byte {
	sum := sha256.Sum256([]byte(text))
	return [16]byte(sum[:16])
}
