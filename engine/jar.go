package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Cookie is what a server has set, as a jar keeps it (RFC 6265, 5.3). Whoever
// has the address it came from and these parts can put it into a jar again.
type Cookie struct {
	From    string `json:"f"`           // scheme, host and path of the request
	Name    string `json:"n"`           // as sent
	Value   string `json:"v"`           // a secret; always valid UTF-8, see SetBytes
	Latin1  bool   `json:"l,omitempty"` // each character of Value stands for one byte
	Domain  string `json:"d,omitempty"` // attribute; "" when there was none
	Path    string `json:"p,omitempty"` // attribute; "" when there was none
	Expires int64  `json:"e,omitempty"` // seconds since 1970; 0: with the run. In the past: it was taken back
	Secure  bool   `json:"s,omitempty"`
	Set     Pos    `json:"t,omitzero"` // of the record that set it; zero: the one that it stands in
}

// SetBytes sets the value to what a server has sent, byte by byte. Bytes that
// are not UTF-8 are read as ISO 8859-1, so that they survive being stored.
func (c *Cookie) SetBytes(v string) {
	c.Value, c.Latin1 = v, !utf8.ValidString(v)
	if c.Latin1 {
		runes := make([]rune, len(v))
		for i := range len(v) {
			runes[i] = rune(v[i])
		}
		c.Value = string(runes)
	}
}

// Bytes are the value as it was sent and goes back.
func (c *Cookie) Bytes() string {
	if !c.Latin1 {
		return c.Value
	}
	out := make([]byte, 0, len(c.Value))
	for _, r := range c.Value {
		out = append(out, byte(r))
	}
	return string(out)
}

// ID is what makes two cookies the same one: the later replaces the earlier.
func (c *Cookie) ID() string {
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
			i, known := at[c.ID()]
			switch {
			case !known:
				at[c.ID()] = len(out)
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
// was set has no place yet: the record's own. dropped are the names of cookies
// for which there was no room, the oldest first.
func JarText(before, set []Cookie) (text []byte, dropped []string) {
	var all []Cookie
	for _, c := range before {
		if !slices.ContainsFunc(set, func(s Cookie) bool { return s.ID() == c.ID() }) {
			all = append(all, c)
		}
	}
	all = append(all, set...)
	var parts [][]byte // the newest first
	size := 1
	for i := len(all) - 1; i >= 0; i-- {
		part, err := json.Marshal(all[i])
		if size += len(part) + 1; err != nil || size > maxJar { // never an error: it holds texts and numbers
			for _, c := range all[:i+1] {
				dropped = append(dropped, c.Name)
			}
			break
		}
		parts = append(parts, part)
	}
	slices.Reverse(parts)
	return slices.Concat([]byte("["), bytes.Join(parts, []byte(",")), []byte("]")), dropped
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
