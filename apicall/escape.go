package apicall

import "strings"

// What the author of a flow, or a server in a Location header, writes as an
// address may hold characters that no address has on the wire: spaces, umlauts,
// "|". They are escaped where they stand, before data comes beside them.
// net/url escapes them too, but only for a path as a whole: it then takes the
// path apart and puts it together again, and a %2F of the data, or of the
// author, becomes a slash.

// escapeByte appends a byte of a literal address: as it is where RFC 3986,
// appendix A, allows it in a path or query, also a "%" that begins an escape,
// otherwise escaped. Control characters stay: the address is refused for them.
func escapeByte(b *strings.Builder, c byte, at place) {
	const hex = "0123456789ABCDEF"
	if at == inAuthority || c < ' ' || c == 0x7f || addressByte(c, at) {
		b.WriteByte(c)
		return
	}
	b.WriteByte('%')
	b.WriteByte(hex[c>>4])
	b.WriteByte(hex[c&15])
}

// addressByte reports whether a byte may stand in a path or a query. Square
// brackets may not by the letter of the RFC, but are widely sent in queries
// (filter[name]=x) and understood.
func addressByte(c byte, at place) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	case strings.IndexByte("-._~!$&'()*+,;=:@/%", c) >= 0:
		return true
	case c == '?' || c == '[' || c == ']':
		return at == inQuery
	}
	return false
}

// escapeAddress escapes a whole address or a reference to one ("/next?a b").
// Its fragment stays away: it is not sent.
func escapeAddress(s string) string {
	var b strings.Builder
	rest := s
	if i := strings.Index(s, "://"); i >= 0 && !strings.ContainsAny(s[:i], "/?#") {
		b.WriteString(s[:i+3])
		rest = s[i+3:]
	} else if strings.HasPrefix(s, "//") {
		b.WriteString("//")
		rest = s[2:]
	}
	if b.Len() > 0 {
		end := strings.IndexAny(rest, "/?#")
		if end < 0 {
			return s
		}
		b.WriteString(rest[:end])
		rest = rest[end:]
	}
	at := inPath
	for _, c := range []byte(rest) {
		if c == '#' {
			break
		}
		if c == '?' {
			at = inQuery
		}
		escapeByte(&b, c, at)
	}
	return b.String()
}
