package apicall

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// pageState is what one page leaves for the next: the carry of a turn.
type pageState struct {
	Pages int   `json:"n,omitempty"` // taken so far
	Items int64 `json:"i,omitempty"`
	Bytes int64 `json:"b,omitempty"` // of all parts

	// How this page is asked for: none of it in the first request, but for the
	// start of offset and page.
	URL     string          `json:"u,omitempty"` // instead of the flow's
	Trusted bool            `json:"t,omitempty"` // it leads to where the flow file itself goes
	Fill    []string        `json:"f,omitempty"` // its parameters that held a secret: they come from the flow's address
	Value   string          `json:"v,omitempty"` // of param, header or place in the body
	Params  *value.Map      `json:"p,omitempty"`
	Headers *value.Map      `json:"h,omitempty"`
	Body    json.RawMessage `json:"d,omitempty"`

	Guard pageGuard `json:"g,omitzero"`
	Last  [16]byte  `json:"l,omitzero"` // of the answer before, for those that may repeat
}

// openPage reads what the page before has left.
func (a *attempt) openPage() error {
	a.page = &pageState{}
	carry := a.in.Carry()
	if carry == nil {
		return nil
	}
	if err := json.Unmarshal(carry, a.page); err != nil {
		return fmt.Errorf("read what page %d has left: %w", a.in.Key.Turn, err)
	}
	return nil
}

// takePage takes an answer as one page: its items become a part of the value, and
// what it says of the next page is what the next turn gets. The last page joins
// the parts.
func (a *attempt) takePage(ctx context.Context, resp *http.Response, doc *document) *unfit {
	g, now := a.props().paging, a.page
	wrong := func(class string, err error) *unfit {
		return &unfit{failure{class: class, status: resp.StatusCode, sent: true}, err, *doc}
	}
	body, err := doc.value()
	if err != nil {
		return wrong(classResponse, fmt.Errorf("paginate: %w", err))
	}
	items, err := a.itemsOf(body)
	if err != nil {
		return wrong(classPage, err)
	}
	answer := &pageAnswer{resp: resp, body: body, items: items}
	next := pageState{Pages: now.Pages + 1, Items: now.Items + int64(len(items)), Guard: now.Guard}
	if a.repeated(doc, len(items), &next) {
		if !g.stopAtTwin {
			return wrong(classPage, fmt.Errorf("pagination does not advance: the answer to page %d is that to page %d again; on_repeat = \"stop\" takes it as the end", next.Pages, now.Pages))
		}
		items, next.Items = nil, now.Items
		return a.lastPage(ctx, wrong, nil, &next)
	}
	var part []byte
	if len(items) > 0 {
		if part, err = value.JSON(items); err != nil {
			return wrong(classPage, fmt.Errorf("paginate: %w", err))
		}
	}
	if next.Bytes = now.Bytes + int64(len(part)); next.Bytes > g.maxResult {
		return wrong(classTooLarge, fmt.Errorf("the pages have more than max_result_bytes = %d bytes together", g.maxResult))
	}
	more, err := a.follows(ctx, answer, &next)
	switch {
	case err != nil:
		return wrong(classPage, err)
	case !more:
		return a.lastPage(ctx, wrong, part, &next)
	}
	return a.onePage(wrong, part, &next)
}

// onePage leaves a page that others follow.
func (a *attempt) onePage(wrong func(string, error) *unfit, part []byte, next *pageState) *unfit {
	carry, err := json.Marshal(next)
	if err != nil {
		return wrong(classPage, fmt.Errorf("paginate: %w", err))
	}
	if a.redactor().values(string(carry)) != string(carry) {
		return wrong(classPage, errors.New("what the answer says of the next page has a secret of this request in it"))
	}
	if len(carry) > engine.MaxCarry {
		return wrong(classPage, fmt.Errorf("what the answer says of the next page has %d bytes, at most %d are possible", len(carry), engine.MaxCarry))
	}
	a.out.Value, a.out.Large = part, nil
	a.out.Next = &engine.Next{Carry: carry, After: a.props().paging.delay}
	return nil
}

// itemsOf finds the list in an answer; null is an empty one.
func (a *attempt) itemsOf(body any) ([]any, error) {
	found, where := body, "the answer"
	if p := a.props().paging.items; p != nil {
		var missing string
		where = fmt.Sprintf("%q", p.text)
		if found, missing = p.path.find(body); missing != "" {
			if a.hides() {
				missing = "missing"
			}
			return nil, fmt.Errorf("paginate.items: %s is %s on page %d", where, missing, a.page.Pages+1)
		}
	}
	switch list := found.(type) {
	case nil:
		return nil, nil
	case []any:
		return list, nil
	case *value.Map:
		if keys := ""; !a.hides() {
			if keys = someKeys(list); keys != "" {
				return nil, fmt.Errorf("paginate.items: %s is not a list on page %d (%s has: %s)", where, a.page.Pages+1, where, keys)
			}
		}
	}
	return nil, fmt.Errorf("paginate.items: %s is not a list on page %d: it is %s", where, a.page.Pages+1, value.Kind(found))
}

// repeated reports whether an answer is the one before once more, where that
// means that the server does not turn pages. Where the server itself names the
// next page, equal answers are legal.
func (a *attempt) repeated(doc *document, items int, next *pageState) bool {
	if kind := a.props().paging.kind; kind != "offset" && kind != "page" || items == 0 {
		return false
	}
	sum := sha256.Sum256(doc.data)
	next.Last = [16]byte(sum[:16])
	return next.Last == a.page.Last
}

// pageNames are what stop_when may read beside the usual names.
var pageNames = []string{"page", "items", "body"}

// stops evaluates stop_when.
func (a *attempt) stops(ctx context.Context, answer *pageAnswer, page int) (bool, error) {
	t := a.props().paging.stopWhen
	if t == nil {
		return false, nil
	}
	a.vars.answer = map[string]any{"page": int64(page), "items": answer.items, "body": answer.body}
	defer func() { a.vars.answer = nil }()
	stop, err := t.Truth(ctx, a.vars)
	if err != nil {
		return false, fmt.Errorf("paginate.%w", a.quiet(err, "stop_when cannot be evaluated"))
	}
	return stop, nil
}

// offered is a name that a template may read of an answer.
func (v *vars) offered(name string) (jinja.Var, bool) {
	got, ok := v.answer[name]
	return jinja.Var{Value: got, Origin: value.Response}, ok
}

// checkStop reads stop_when, whose names no variable of the flow may have.
func (c *compiler) checkStop(flow *engine.Flow, g *paging, source any) {
	c.Path = []string{"properties", "paginate"}
	defer func() { c.Path = []string{"properties"} }()
	text, ok := source.(string)
	if !ok {
		c.WrongType("stop_when", source, "a template such as \"{{ items | length == 0 }}\"")
		return
	}
	g.stopWhen = c.parseOffering([]string{"paginate", "stop_when"}, text, pageNames)
	if !g.stopWhen.Single() && c.Judges("paginate") {
		c.Problem("stop_when", "no-condition", "paginate.stop_when must be exactly one {{ ... }}")
	}
	for _, name := range pageNames {
		if _, declared := flow.Variables.Get(name); declared && slices.Contains(g.stopWhen.Names(), name) {
			c.Problem("stop_when", "shadowed", "paginate.stop_when reads %s, which is also a variable of the flow: rename the variable", name)
		}
	}
}
