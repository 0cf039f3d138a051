package jinja

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

// hashes are the functions of the filter hash, by name. md5 and sha1 are there
// for the APIs that want them; they protect nothing.
var hashes = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

// unmarks are the filters whose result gives a secret away no more: it loses
// the secret's mark, so that a fingerprint may be shown. What is computed with
// a secret as the key keeps it.
var unmarks = map[string]bool{"hash": true, "md5": true, "sha256": true}

func (s *state) digest(what, name string, v any) string {
	make, ok := hashes[strings.ToLower(name)]
	if !ok {
		s.fail("%s knows no function %q: md5, sha1, sha256, sha384, sha512", what, s.short(name, false))
	}
	data := s.octets(what, v)
	s.step(len(data) / 64)
	h := make()
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

// hashFilter is the hash of a text, as UTF-8, or of bytes, in hexadecimal.
func hashFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "hashtype")
	return s.digest(a.what, s.str(or(p[0], "sha1")), v)
}

func fixedHashFilter(name string) filterFunc {
	return func(s *state, v any, a *args) any {
		a.bind(s, 0)
		return s.digest(a.what, name, v)
	}
}

// hmacFilter is HMAC with SHA-256 (RFC 2104) of a text or bytes, in hexadecimal
// or base64.
func hmacFilter(s *state, v any, a *args) any {
	p := a.bind(s, 1, "key", "encoding")
	data := s.octets(a.what, v)
	s.step(len(data) / 64)
	h := hmac.New(sha256.New, s.octets(a.what, p[0]))
	h.Write(data)
	switch encoding := s.str(or(p[1], "hex")); encoding {
	case "hex":
		return hex.EncodeToString(h.Sum(nil))
	case "base64":
		return base64.StdEncoding.EncodeToString(h.Sum(nil))
	default:
		s.fail("%s: encoding is hex or base64", a.what)
		return nil
	}
}

// b64decodeFilter reads base64, with or without padding and in either alphabet
// (RFC 4648, 4 and 5): as text where it is UTF-8, else as bytes.
func b64decodeFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	t := strings.Join(strings.Fields(s.wantText(a.what, v)), "")
	s.made(len(t))
	s.step(len(t) / 64)
	t = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(t, "="))
	data, err := base64.RawStdEncoding.DecodeString(t)
	if err != nil {
		s.fail("%s: the text is not base64", a.what)
	}
	if text := string(data); validText(text) {
		return text
	}
	return value.NewBytes(data, "")
}

// fromJSONFilter reads JSON; numbers keep their text.
func fromJSONFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	t := s.wantText(a.what, v)
	s.made(len(t))
	s.step(len(t) / 16)
	out, err := value.ParseJSON([]byte(t))
	if err != nil {
		s.fail("%s: the text is not JSON", a.what)
	}
	return out
}

// quoteFilter makes one word of the text for a POSIX shell, as Python's
// shlex.quote does.
func quoteFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	t := s.str(v)
	s.made(2 * len(t))
	s.step(len(t) / 64)
	if t != "" && strings.Trim(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-") == "" {
		return t
	}
	return "'" + strings.ReplaceAll(t, "'", `'"'"'`) + "'"
}

// uuidSpaces are the name spaces that have a name (RFC 9562, 6.6).
var uuidSpaces = map[string]string{
	"dns": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "url": "6ba7b811-9dad-11d1-80b4-00c04fd430c8",
	"oid": "6ba7b812-9dad-11d1-80b4-00c04fd430c8", "x500": "6ba7b814-9dad-11d1-80b4-00c04fd430c8",
}

// uuid5 is the UUID of a name in a space, the same every time (RFC 9562, 5.5).
func (s *state) uuid5(what string, space, name any) string {
	t := s.str(space)
	if known, ok := uuidSpaces[strings.ToLower(t)]; ok {
		t = known
	}
	ns, err := hex.DecodeString(strings.ReplaceAll(t, "-", ""))
	if err != nil || len(ns) != 16 {
		s.fail("%s: the name space is a UUID, or one of dns, url, oid, x500", what)
	}
	h := sha1.New()
	h.Write(ns)
	h.Write(s.octets(what, name))
	u := h.Sum(nil)[:16]
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	x := hex.EncodeToString(u)
	return strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-")
}

func uuid5Filter(s *state, v any, a *args) any {
	return s.uuid5(a.what, a.bind(s, 1, "namespace")[0], v)
}

func uuid5Func(s *state, a *args) any {
	p := a.bind(s, 2, "namespace", "name")
	return s.uuid5(a.what, p[0], p[1])
}
