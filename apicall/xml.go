package apicall

import (
	"encoding/xml"
	"errors"
	"fmt"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

// xmlBody sends text as it is, and writes a table with one root as XML: keys
// that start with @ are attributes, #text is text, lists repeat the element.
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
	var b strings.Builder
	b.WriteString(xml.Header)
	if err := writeElement(&b, m.Keys()[0], first(m)); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

func first(m *value.Map) any {
	v, _ := m.Get(m.Keys()[0])
	return v
}

func writeElement(b *strings.Builder, name string, v any) error {
	if !xmlName(name) {
		return fmt.Errorf("%q is not an XML element name", name)
	}
	if list, ok := v.([]any); ok {
		for _, e := range list {
			if err := writeElement(b, name, e); err != nil {
				return err
			}
		}
		return nil
	}
	b.WriteString("<" + name)
	m, ok := v.(*value.Map)
	if !ok {
		b.WriteByte('>')
		escapeXML(b, plainText(v))
		b.WriteString("</" + name + ">")
		return nil
	}
	for k, e := range m.All() {
		if attr, is := strings.CutPrefix(k, "@"); is {
			if !xmlName(attr) {
				return fmt.Errorf("%q is not an XML attribute name", attr)
			}
			b.WriteString(" " + attr + `="`)
			escapeXML(b, plainText(e))
			b.WriteByte('"')
		}
	}
	b.WriteByte('>')
	for k, e := range m.All() {
		switch {
		case k == "#text":
			escapeXML(b, plainText(e))
		case !strings.HasPrefix(k, "@"):
			if err := writeElement(b, k, e); err != nil {
				return err
			}
		}
	}
	b.WriteString("</" + name + ">")
	return nil
}

func escapeXML(b *strings.Builder, s string) { _ = xml.EscapeText(b, []byte(s)) }

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
