package apicall

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// target is where a request goes, and whether the flow file alone says so.
type target struct {
	url     *url.URL
	trusted bool   // scheme and host stand in the flow file
	shown   string // of a fixed target: as the operation log has it
	key     string // of a fixed target: the name of its breaker
}

// parseURL is url.Parse with errors that never quote the URL: it may hold a
// password.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) && e.Err != nil {
			return nil, fmt.Errorf("url cannot be parsed: %s", urlReason(e.Err))
		}
		return nil, errors.New("url cannot be parsed")
	}
	return u, nil
}

// urlReason keeps the kind of a parse error and drops what it quotes.
func urlReason(err error) string {
	var escape url.EscapeError
	var host url.InvalidHostError
	switch {
	case errors.As(err, &escape):
		return "a % is not followed by two hex digits"
	case errors.As(err, &host):
		return "the host has a character that no host may have"
	}
	reason, _, _ := strings.Cut(err.Error(), "\"")
	return strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(reason), ":"))
}

// place is the part of a URL that a builder is in.
type place int

const (
	inAuthority place = iota // scheme, host, port
	inPath
	inQuery
	inFragment // which is not sent
)

// urlBuilder puts a URL together from literal text and data. Data is encoded
// for the place where it stands, so that it can fill a path segment or a query
// value and nothing else.
type urlBuilder struct {
	b       strings.Builder
	at      place
	host    value.Origin
	checked []span // data in the path
}

type span struct {
	from, to int
	path     bool
}

// render builds the URL of an attempt.
func (p *program) render(ctx context.Context, v jinja.Vars) (*target, error) {
	pieces, err := p.url.Pieces(ctx, v)
	if err != nil {
		return nil, err
	}
	b := &urlBuilder{}
	for i, piece := range pieces {
		noteSecret(v, piece.Origin, piece.Text)
		switch {
		case piece.Literal:
			b.literal(piece.Text)
		case i == 0:
			err = b.prefix(piece, pieces[1:])
		default:
			err = b.data(piece)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := b.params(ctx, p.params, v); err != nil {
		return nil, err
	}
	return b.finish()
}

func (b *urlBuilder) literal(s string) {
	for _, c := range []byte(s) {
		switch {
		case b.at == inFragment:
			return
		case c == '#' && b.at != inAuthority:
			b.at = inFragment
			return
		case b.at == inAuthority && c == '/' && strings.Contains(b.b.String(), "://") && !strings.HasSuffix(b.b.String(), ":/"):
			b.at = inPath
		case b.at != inQuery && c == '?':
			b.at = inQuery
		}
		escapeByte(&b.b, c, b.at)
	}
}

// prefix takes an expression at the very start: a whole address such as
// https://api.example.com/v2, of which scheme, host and path are kept.
func (b *urlBuilder) prefix(piece jinja.Piece, rest []jinja.Piece) error {
	u, err := parseURL(escapeAddress(piece.Text))
	if err != nil {
		return err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("url starts with an expression, which must give an address such as https://api.example.com")
	}
	if u.User != nil {
		return errors.New("url contains a user name or password: use a credential")
	}
	if len(rest) > 0 && (u.RawQuery != "" || u.Fragment != "") {
		return errors.New("url starts with an expression that has a query; only scheme, host and path can go before more text")
	}
	b.host |= piece.Origin
	b.b.WriteString(u.Scheme + "://" + u.Host)
	b.at = inPath
	path := u.EscapedPath()
	if len(rest) > 0 && strings.HasPrefix(rest[0].Text, "/") {
		path = strings.TrimSuffix(path, "/")
	}
	if bad := badSegment(path); path != "" && bad {
		return errors.New("url starts with an expression whose path has a \".\" or \"..\" segment")
	}
	b.b.WriteString(path)
	if u.RawQuery != "" {
		b.b.WriteString("?" + u.RawQuery)
		b.at = inQuery
	}
	return nil
}

func (b *urlBuilder) data(p jinja.Piece) error {
	text := shownPiece(&p)
	switch b.at {
	case inFragment:
	case inAuthority:
		if text == "" || strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") != "" {
			return errors.New("url: the expression in the host gives text that no host may have")
		}
		b.host |= p.Origin
		b.b.WriteString(text)
	case inPath:
		from := b.b.Len()
		if p.Path {
			for i, seg := range strings.Split(text, "/") {
				if i > 0 {
					b.b.WriteByte('/')
				}
				b.b.WriteString(url.PathEscape(seg))
			}
		} else {
			b.b.WriteString(url.PathEscape(text))
		}
		b.checked = append(b.checked, span{from, b.b.Len(), p.Path})
	default:
		b.b.WriteString(url.QueryEscape(text))
	}
	return nil
}

// params adds the query parameters, after what stands in the URL already.
func (b *urlBuilder) params(ctx context.Context, params []namedValue, v jinja.Vars) error {
	if len(params) == 0 {
		return nil
	}
	s := b.b.String()
	sep := "?"
	if i := strings.IndexByte(s, '?'); i >= 0 {
		sep = "&"
		if strings.HasSuffix(s, "?") || strings.HasSuffix(s, "&") {
			sep = ""
		}
	}
	for _, p := range params {
		val, err := p.tpl.render(ctx, v)
		if err == nil {
			err = onlyText(val)
		}
		if err != nil {
			return err
		}
		list, many := val.([]any)
		if !many {
			list = []any{val}
		}
		for _, e := range list {
			if e == nil {
				continue // null leaves the key out
			}
			b.b.WriteString(sep + url.QueryEscape(p.name) + "=" + url.QueryEscape(plainText(e)))
			sep = "&"
		}
	}
	return nil
}

// finish parses the whole and refuses what data must not have made of it.
func (b *urlBuilder) finish() (*target, error) {
	s := b.b.String()
	for _, sp := range b.checked {
		if err := checkSegments(s, sp); err != nil {
			return nil, err
		}
	}
	if len(s) > engine.MaxURL {
		return nil, fmt.Errorf("url is longer than %d bytes", engine.MaxURL)
	}
	u, err := parseURL(s)
	if err != nil {
		return nil, err
	}
	switch {
	case u.User != nil:
		return nil, errors.New("url contains a user name or password: use a credential")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("url must start with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("url has no host")
	}
	u.Fragment, u.RawFragment = "", ""
	if !asBuilt(u, s) {
		return nil, errors.New("url: its path or query cannot be sent as it was built")
	}
	return &target{url: u, trusted: b.host.Trusted()}, nil
}

// asBuilt holds what will stand in the request line against what was built:
// nothing may have been taken apart and put together otherwise.
func asBuilt(u *url.URL, built string) bool {
	_, rest, _ := strings.Cut(built, "://")
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[i:]
	} else {
		rest = ""
	}
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	return u.RequestURI() == rest
}

// checkSegments refuses path segments that data has made empty, "." or "..".
func checkSegments(s string, sp span) error {
	from := strings.LastIndexByte(s[:sp.from], '/') + 1
	to := len(s)
	if i := strings.IndexAny(s[sp.to:], "/?"); i >= 0 {
		to = sp.to + i
	}
	segments := s[from:to]
	if sp.path {
		segments = strings.TrimSuffix(segments, "/") // a path may end so
	}
	if strings.HasPrefix(segments, "/") || strings.Contains(segments, "//") || segments == "" || badSegment(segments) {
		return errors.New("url: an expression in the path gives an empty, \".\" or \"..\" segment")
	}
	return nil
}

// badSegment reports whether a path has a segment that a server would read as
// a step up or as nothing.
func badSegment(path string) bool {
	for seg := range strings.SplitSeq(path, "/") {
		if plain, err := url.PathUnescape(seg); err == nil && (plain == "." || plain == "..") {
			return true
		}
	}
	return false
}
