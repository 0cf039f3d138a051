package apicall

import (
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

// pageTarget turns the address that the flow gives into that of this page.
func (a *attempt) pageTarget() error {
	a.first = a.target.url
	g, page := a.props().paging, a.page
	t := &target{url: new(url.URL), trusted: a.target.trusted}
	*t.url = *a.target.url
	if page.URL != "" {
		var err error
		if t, err = a.leadTo(page.URL, page.Fill, page.Trusted); err != nil {
			return err
		}
		a.foreign = !sameOrigin(a.first, t.url)
	}
	for name, v := range page.Params.All() {
		values, err := paramValues(v)
		if err != nil {
			return fmt.Errorf("paginate.next: params.%s %w", name, err)
		}
		setQuery(t.url, name, values)
	}
	if g.sizeParam != "" {
		setQuery(t.url, g.sizeParam, []string{strconv.FormatInt(g.size, 10)})
	}
	if v := a.pageValue(); v != "" && g.param != "" {
		setQuery(t.url, g.param, []string{v})
	}
	a.target = t
	return nil
}

// leadTo is an address that leadsFrom gave, with what was taken out of it as the
// flow's own address has it.
func (a *attempt) leadTo(address string, fill []string, own bool) (*target, error) {
	u, err := parseURL(address)
	if err != nil {
		return nil, err
	}
	query := a.first.Query()
	for _, name := range fill {
		setQuery(u, name, query[name])
	}
	return &target{url: u, trusted: own}, nil
}

// pageValue is what asks for this page; "" for what the flow asks for itself.
func (a *attempt) pageValue() string {
	g := a.props().paging
	if a.page.Value == "" && (g.kind == "offset" || g.kind == "page") {
		return strconv.FormatInt(g.start, 10)
	}
	return a.page.Value
}

// pageHeaders adds the headers of this page.
func (a *attempt) pageHeaders() error {
	if v := a.pageValue(); v != "" && a.props().paging.header != "" {
		if err := setHeader(a.req.Header, a.props().paging.header, v); err != nil {
			return err
		}
	}
	for name, v := range a.page.Headers.All() {
		text, ok := headerText(v)
		name = textproto.CanonicalMIMEHeaderKey(name)
		if !ok || !isToken(name) || slices.Contains(ownHeaders, name) {
			return fmt.Errorf("paginate.next: the header %s is %s, want text, and none that follows from the request itself", value.Quoted(name), value.Kind(v))
		}
		if err := setHeader(a.req.Header, name, text); err != nil {
			return err
		}
	}
	return nil
}

// pageBody puts this page's place into the body, or takes the one that an
// expression gave.
func (a *attempt) pageBody() error {
	g, v := a.props().paging, a.pageValue()
	switch {
	case len(a.page.Body) > 0:
		a.body = &content{mimeType: mimeTypes["json"], data: a.page.Body}
	case g.pointer != nil && v != "":
		doc, err := value.ParseJSON(a.body.data)
		if err != nil {
			return fmt.Errorf("paginate.into: the body is not JSON: %w", err)
		}
		var set any = v
		if g.kind == "offset" || g.kind == "page" {
			set, _ = value.ParseNumber(v)
		}
		if doc, err = setPointer(doc, g.pointer, set); err != nil {
			return fmt.Errorf("paginate.into: %w", err)
		}
		changed := *a.body
		if changed.data, err = value.JSON(doc); err != nil {
			return fmt.Errorf("paginate.into: %w", err)
		}
		a.body = &changed
	}
	return nil
}

// setPointer sets what a JSON Pointer names; objects on the way are made.
func setPointer(doc any, pointer []string, v any) (any, error) {
	if len(pointer) == 0 {
		return v, nil
	}
	key := pointer[0]
	switch at := doc.(type) {
	case nil:
		inner, err := setPointer(nil, pointer[1:], v)
		return value.MapOf(key, inner), err
	case *value.Map:
		had, _ := at.Get(key)
		inner, err := setPointer(had, pointer[1:], v)
		at.Set(key, inner)
		return at, err
	case []any:
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(at) {
			return doc, fmt.Errorf("%s is no index of a list of %d", value.Quoted(key), len(at))
		}
		at[i], err = setPointer(at[i], pointer[1:], v)
		return at, err
	}
	return doc, fmt.Errorf("%s is read from %s", value.Quoted(key), value.Kind(doc))
}

// setQuery replaces a query parameter and leaves the others as they stand.
func setQuery(u *url.URL, name string, values []string) {
	var pairs []string
	if u.RawQuery != "" {
		for pair := range strings.SplitSeq(u.RawQuery, "&") {
			key, _, _ := strings.Cut(pair, "=")
			if plain, err := url.QueryUnescape(key); err != nil || plain != name {
				pairs = append(pairs, pair)
			}
		}
	}
	for _, v := range values {
		pairs = append(pairs, url.QueryEscape(name)+"="+url.QueryEscape(v))
	}
	u.RawQuery = strings.Join(pairs, "&")
}

// paramValues are the values of a parameter that an expression gave: a list
// repeats it, null leaves it out.
func paramValues(v any) (out []string, err error) {
	list, many := v.([]any)
	if !many {
		list = []any{v}
	}
	for _, e := range list {
		switch e.(type) {
		case nil:
		case *value.Map, []any:
			return nil, errors.New("is " + value.Kind(e) + ", want text, a number or a flag")
		default:
			out = append(out, plainText(e))
		}
	}
	return out, nil
}
