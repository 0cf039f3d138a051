package apicall

import (
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/qarion/qarion/internal/value"
)

// xmlBody sends text as it is, and writes a table with one root as XML: keys
// that start with @ are attributes, #text is text, lists repeat the element.
// It is the shape in which readXML gives an answer.
func xmlBody(v any) ([]byte, error) {
	if s, ok := v.(string); ok {
		return []byte(s), nil
	}
	m, ok := v.(*value.Map)
	if !ok || m.Len() != 1 {
		return nil, errors.New("body_format \"xml\" needs a string or a table with one root element")
	}
	if _, many := first(m).([]any); many {
		return nil, errors.New("an XML document has one root element, not a list of them")
	}
	w := xmlWriter{}
	w.b.WriteString(xml.Header)
	if err := w.element(m.Keys()[0], first(m), 1); err != nil {
		return nil, err
	}
	return []byte(w.b.String()), nil
}

func first(m *value.Map) any {
	v, _ := m.Get(m.Keys()[0])
	return v
}

type xmlWriter struct{ b strings.Builder }

func (w *xmlWriter) element(name string, v any, depth int) error {
	if !xmlName(name) {
		return fmt.Errorf("%q is not an XML element name", name)
	}
	if depth > maxXMLDepth {
		return fmt.Errorf("the XML nests deeper than %d levels", maxXMLDepth)
	}
	if list, ok := v.([]any); ok {
		for _, e := range list {
			if err := w.element(name, e, depth); err != nil {
				return err
			}
		}
		return nil
	}
	w.b.WriteString("<" + name)
	m, ok := v.(*value.Map)
	if !ok {
		w.b.WriteByte('>')
		if err := w.text(name, v); err != nil {
			return err
		}
		w.b.WriteString("</" + name + ">")
		return nil
	}
	if err := w.attributes(m); err != nil {
		return err
	}
	w.b.WriteByte('>')
	for k, e := range m.All() {
		var err error
		switch {
		case k == "#text":
			err = w.text(name, e)
		case !strings.HasPrefix(k, "@"):
			err = w.element(k, e, depth+1)
		}
		if err != nil {
			return err
		}
	}
	w.b.WriteString("</" + name + ">")
	return nil
}

func (w *xmlWriter) attributes(m *value.Map) error {
	for k, e := range m.All() {
		attr, is := strings.CutPrefix(k, "@")
		if !is {
			continue
		}
		if !xmlName(attr) {
			return fmt.Errorf("%q is not an XML attribute name", attr)
		}
		w.b.WriteString(" " + attr + `="`)
		if err := w.text(attr, e); err != nil {
			return err
		}
		w.b.WriteByte('"')
	}
	return nil
}

// text writes a scalar. XML has no way to write some characters (XML 1.0, 2.2);
// to send others in their place would be to send something else.
func (w *xmlWriter) text(where string, v any) error {
	switch v.(type) {
	case *value.Map, []any:
		return fmt.Errorf("%s: a %s cannot be text in XML", where, value.TypeName(v))
	}
	s := plainText(v)
	for i, c := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		if !inXML(c) || c == utf8.RuneError && size == 1 {
			return fmt.Errorf("%s: XML cannot hold the character %U", where, c)
		}
	}
	escapeXML(&w.b, s)
	return nil
}

func escapeXML(b *strings.Builder, s string) { _ = xml.EscapeText(b, []byte(s)) }

// inXML reports whether XML has a character (XML 1.0, 2.2).
func inXML(c rune) bool {
	return c == '\t' || c == '\n' || c == '\r' || c >= 0x20 && c <= 0xd7ff || c >= 0xe000 && c <= 0xfffd || c >= 0x10000
}

// xmlName takes the names that XML 1.0 allows, ASCII letters aside from the
// exotic ones, and a prefix.
func xmlName(s string) bool {
	for i, c := range s {
		letter := c == '_' || c == ':' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c > 127
		if !letter && (i == 0 || c != '-' && c != '.' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}
