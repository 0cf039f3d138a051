package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Cookie is what a server has set, as a jar keeps it (RFC 6265, 5.3). Whoever
// has the address it came from and these parts can put it into a jar again.
type Cookie struct {
	From    string `json:"f"`           // scheme, host and path of the request
	Name    string `json:"n"`           // as sent
	Value   string `json:"v"`           // a secret
	Domain  string `json:"d,omitempty"` // attribute; "" when there was none
	Path    string `json:"p,omitempty"` // attribute; "" when there was none
	Expires int64  `json:"e,omitempty"` // seconds since 1970; 0: with the run. In the past: it was taken back
	Secure  bool   `json:"s,omitempty"`
	Set     Pos    `json:"t,omitzero"` // of the record that set it; zero: the one that it stands in
}

// id is what makes two cookies the same one: the later replaces the earlier.
func (c *Cookie) id() string {
	_, rest, _ := strings.Cut(c.From, "://")
	host, path, _ := strings.Cut(rest, "/")
	domain := strings.ToLower(strings.TrimPrefix(cmp.Or(c.Domain, host), "."))
	if c.Path != "" {
		return domain + ";" + c.Path + ";" + c.Name
	}
	return domain + ";/" + path[:max(0, strings.LastIndexByte(path, '/'))] + ";" + c.Name
}

// maxJar bounds a jar in a record, in bytes of JSON. As in browsers, the oldest
// cookies go first.
const maxJar = 16 << 10

// MergeCookies makes one jar of what several records say: of each cookie the
// newest counts, by its place in the ledger. They come out oldest first.
func MergeCookies(parts ...[]Cookie) []Cookie {
	at := map[string]int{}
	var out []Cookie
	for _, part := range parts {
		for _, c := range part {
			i, known := at[c.id()]
			switch {
			case !known:
				at[c.id()] = len(out)
				out = append(out, c)
			case out[i].Set.Compare(c.Set) <= 0:
				out[i] = c
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Cookie) int { return a.Set.Compare(b.Set) })
	return out
}

// readJar reads the jar of a record at a place.
func readJar(text []byte, at Pos) ([]Cookie, error) {
	var out []Cookie
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("%w: its cookie jar cannot be read", ErrInvalid)
	}
	for i := range out {
		if out[i].Set == (Pos{}) {
			out[i].Set = at
		}
	}
	return out, nil
}

// JarText is the jar of a record: what was in it before, and what was set. What
// was set has no place yet: the record's own.
func JarText(before, set []Cookie) []byte {
	var out []Cookie
	for _, c := range before {
		if !slices.ContainsFunc(set, func(s Cookie) bool { return s.id() == c.id() }) {
			out = append(out, c)
		}
	}
	out = append(out, set...)
	for {
		text, err := json.Marshal(out)
		if err != nil {
			return nil // never: it holds texts and numbers
		}
		if len(text) <= maxJar {
			return text
		}
		out = out[1:]
	}
}

// Cookies are what the task's jar holds, oldest first, as the records say that
// the fold named when it gave the attempt out.
func (in *TaskInput) Cookies(ctx context.Context) ([]Cookie, error) {
	var parts [][]Cookie
	for _, at := range in.Jar() {
		text, err := in.values.store.Jar(ctx, at)
		if err != nil {
			return nil, fmt.Errorf("read the cookie jar: %w", err)
		}
		part, err := readJar(text, at)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return MergeCookies(parts...), nil
}

// Jar tells which records hold the task's jar, in the ledger's order.
func (in *TaskInput) Jar() []Pos {
	if in.values.rare == nil {
		return nil
	}
	return in.values.rare.jar
}

// SetJar tells which records hold the task's jar.
func (in *TaskInput) SetJar(at []Pos) {
	if len(at) > 0 {
		in.values.more().jar = at
	}
}
