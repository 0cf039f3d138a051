package apicall

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
)

// Text is UTF-8 from the moment it is read: whatever an answer was written in
// is turned into that once, here. What cannot be turned stays bytes, and never
// becomes text with replacement characters in it.

// notText says why a body cannot be read as text.
type notText struct{ why string }

func (e *notText) Error() string { return e.why }

// byteOrderMark begins some texts and is no part of them (RFC 8259, 8.1).
var byteOrderMark = []byte("\uFEFF")

// utf16Marks are the byte order marks that only UTF-16 has.
var utf16Marks = map[string]string{"\xff\xfe": "utf-16le", "\xfe\xff": "utf-16be"}

// decodeText decodes a body. named is the charset that the flow file names, "" for
// none; then a byte order mark decides, then contentType, then what the text
// says of itself (XML, HTML), and at last it is taken as UTF-8.
func decodeText(body []byte, contentType, named string) ([]byte, error) {
	label := named
	if label == "" {
		if bytes.HasPrefix(body, byteOrderMark) {
			label = "utf-8"
		} else if len(body) >= 2 && utf16Marks[string(body[:2])] != "" {
			label = utf16Marks[string(body[:2])]
		} else if label = charsetParam(contentType); label == "" {
			label = ownCharset(body, mediaTypeOf(contentType))
		}
	}
	if label == "" || isUTF8(label) {
		return utf8Text(body, label)
	}
	enc := charset(label)
	if enc == nil {
		return nil, &notText{fmt.Sprintf("the charset %.40q is not known", label)}
	}
	out, err := enc.NewDecoder().Bytes(body)
	if err != nil || damagedText(enc, body, out) {
		return nil, &notText{fmt.Sprintf("it is not written in the charset that it names, %.40q", label)}
	}
	return bytes.TrimPrefix(out, byteOrderMark), nil
}

// utf8Text takes a body as UTF-8, if it is that.
func utf8Text(body []byte, label string) ([]byte, error) {
	if utf8.Valid(body) {
		return bytes.TrimPrefix(body, byteOrderMark), nil
	}
	at := 0
	for rest := body; ; {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size <= 1 {
			break
		}
		rest, at = rest[size:], at+size
	}
	why := fmt.Sprintf("it is not UTF-8 (%#02x at offset %d)", body[at], at)
	if label == "" {
		why += " and names no charset"
	}
	return nil, &notText{why}
}

// charset is the encoding of a label; nil when it is not known. Browsers' names
// come first: what is labelled Latin-1 is nearly always Windows-1252.
func charset(label string) encoding.Encoding {
	enc, err := htmlindex.Get(label)
	if err == nil && enc != encoding.Replacement {
		return enc
	}
	if enc, err = ianaindex.IANA.Encoding(label); err == nil && enc != nil {
		return enc
	}
	return nil
}

func isUTF8(label string) bool {
	switch strings.ToLower(label) {
	case "utf-8", "utf8", "unicode-1-1-utf-8":
		return true
	}
	return false
}

// damagedText reports whether a decoder had to replace anything. UTF-16 can
// hold the replacement character itself: there, writing it again tells.
func damagedText(enc encoding.Encoding, body, out []byte) bool {
	if !bytes.Contains(out, []byte("\uFFFD")) {
		return false
	}
	for _, order := range []unicode.Endianness{unicode.LittleEndian, unicode.BigEndian} {
		if enc == unicode.UTF16(order, unicode.IgnoreBOM) {
			again, err := enc.NewEncoder().Bytes(out)
			return err != nil || !bytes.Equal(again, body)
		}
	}
	return true
}

// charsetParam is the charset in a Content-Type. Servers write it in many ways
// that mime.ParseMediaType refuses.
func charsetParam(contentType string) string {
	_, params, _ := strings.Cut(contentType, ";")
	for p := range strings.SplitSeq(params, ";") {
		name, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "charset") {
			return strings.Trim(strings.TrimSpace(v), `"' `)
		}
	}
	return ""
}

// xmlCharset and htmlCharset find what a text says of its own charset; the
// beginning of either is readable in every encoding that they can be in.
var (
	xmlCharset  = regexp.MustCompile(`^<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._:-]+)["']`)
	htmlCharset = regexp.MustCompile(`(?i)<meta\s[^>]*?charset\s*=\s*["']?\s*([A-Za-z0-9._:-]+)`)
)

// maxPrologue is how far a text is searched for its charset, in bytes (as
// browsers do).
const maxPrologue = 1024

func ownCharset(body []byte, mediaType string) string {
	head := bytes.TrimLeft(body[:min(len(body), maxPrologue)], " \t\r\n")
	if len(head) == 0 || head[0] != '<' {
		return ""
	}
	m := xmlCharset.FindSubmatch(head)
	if m == nil && mediaType == "text/html" {
		m = htmlCharset.FindSubmatch(head)
	}
	if m == nil {
		return ""
	}
	if label := strings.ToLower(string(m[1])); !strings.HasPrefix(label, "utf-16") && !strings.HasPrefix(label, "ucs-") {
		return label
	}
	return "" // it could not have been read here
}

// headerValue is a header's value as text: UTF-8 where it is that, else what
// HTTP once meant, Latin-1 (RFC 9110, 5.5).
func headerValue(v string) string {
	if utf8.ValidString(v) {
		return v
	}
	out := make([]rune, len(v))
	for i := range len(v) {
		out[i] = rune(v[i])
	}
	return string(out)
}
