package apicall

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

// maxXMLDepth bounds how deeply elements nest.
const maxXMLDepth = 100

// readXML makes of an XML document the table that xmlBody would write it from:
// @name is an attribute, #text the text of an element that has more than text,
// an element that comes again a list. Nothing outside the document is ever
// read, and a DOCTYPE that defines anything is refused.
func readXML(p *props, text []byte) ([]byte, error) {
	r := xmlReader{d: xml.NewDecoder(bytes.NewReader(text)), prefixes: p.xmlPrefixes, lists: p.xmlLists}
	r.d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it is UTF-8 by now
	root, err := r.document()
	if err != nil {
		var syntax *xml.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("XML: line %d: %s", syntax.Line, syntax.Msg)
		}
		return nil, fmt.Errorf("XML: %w", err)
	}
	return value.JSON(root)
}

type xmlReader struct {
	d        *xml.Decoder
	prefixes bool     // keep the prefixes of names
	lists    []string // elements that are always lists
}

// document reads everything up to the end: one root element, and around it
// comments and instructions.
func (r *xmlReader) document() (*value.Map, error) {
	root := value.NewMap(1)
	for {
		tok, err := r.d.RawToken()
		if err == io.EOF {
			if root.Len() == 0 {
				return nil, errors.New("there is no element")
			}
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.Directive:
			if bytes.IndexByte(tok, '[') >= 0 {
				return nil, errors.New("a DOCTYPE with definitions is not read")
			}
		case xml.CharData:
			if len(bytes.TrimSpace(tok)) > 0 {
				return nil, r.fail("text outside the root element")
			}
		case xml.EndElement:
			return nil, r.fail("</%s> closes nothing", rawName(tok.Name))
		case xml.StartElement:
			if root.Len() > 0 {
				return nil, r.fail("a second root element")
			}
			v, err := r.element(tok, 1)
			if err != nil {
				return nil, err
			}
			root.Set(r.name(tok.Name), v)
		}
	}
}

// element reads what stands in an element whose start was read: text alone is
// a string, anything more a table.
func (r *xmlReader) element(start xml.StartElement, depth int) (any, error) {
	if depth > maxXMLDepth {
		return nil, fmt.Errorf("it nests deeper than %d levels", maxXMLDepth)
	}
	m := value.NewMap(len(start.Attr) + 2)
	r.attributes(m, start.Attr)
	var text strings.Builder
	children := false
	for {
		tok, err := r.d.RawToken()
		if err == io.EOF {
			return nil, r.fail("<%s> is not closed", rawName(start.Name))
		}
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.CharData:
			text.Write(tok)
		case xml.StartElement:
			children = true
			v, err := r.element(tok, depth+1)
			if err != nil {
				return nil, err
			}
			r.add(m, r.name(tok.Name), v)
		case xml.EndElement:
			if tok.Name != start.Name {
				return nil, r.fail("</%s> closes <%s>", rawName(tok.Name), rawName(start.Name))
			}
			return elementValue(m, text.String(), children), nil
		}
	}
}

// elementValue is the value of an element. White space between elements is layout;
// in an element without others it is text.
func elementValue(m *value.Map, text string, children bool) any {
	if m.Len() == 0 {
		return text
	}
	if text != "" && (!children || strings.TrimSpace(text) != "") {
		m.Set("#text", text)
	}
	return m
}

// attributes adds the attributes of an element. Without prefixes the
// declarations of namespaces say nothing, and of two attributes of one name
// that without a prefix counts.
func (r *xmlReader) attributes(m *value.Map, attrs []xml.Attr) {
	for _, a := range attrs {
		key := "@" + r.name(a.Name)
		if !r.prefixes {
			if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
				continue
			}
			if _, taken := m.Get(key); taken && a.Name.Space != "" {
				continue
			}
		}
		m.Set(key, a.Value)
	}
}

// add adds a child element: a second one of its name makes a list.
func (r *xmlReader) add(m *value.Map, name string, v any) {
	before, has := m.Get(name)
	list, isList := before.([]any)
	switch {
	case isList:
		m.Set(name, append(list, v))
	case has:
		m.Set(name, []any{before, v})
	case slices.Contains(r.lists, name):
		m.Set(name, []any{v})
	default:
		m.Set(name, v)
	}
}

func (r *xmlReader) name(n xml.Name) string {
	if r.prefixes {
		return rawName(n)
	}
	return n.Local
}

func rawName(n xml.Name) string {
	if n.Space != "" {
		return n.Space + ":" + n.Local
	}
	return n.Local
}

func (r *xmlReader) fail(format string, args ...any) error {
	line, _ := r.d.InputPos()
	return &xml.SyntaxError{Msg: fmt.Sprintf(format, args...), Line: line}
}
