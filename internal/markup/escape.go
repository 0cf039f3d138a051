package markup

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// context is where in a page something stands. The zero context is the text of
// the page.
type context struct {
	state   state
	element string // whose start tag this is, or whose raw text
	attr    string
	quote   byte // around the value
	url     part // of an attribute that is an address: what comes next of it
}

type state int

const (
	inText state = iota
	inRaw        // of <script> and <style>: nothing but the end tag is markup; and of <title> and <textarea>
	inComment
	inTagName
	inTag       // between attributes
	inAttrName  // of the attribute
	afterName   // of an attribute, before the = or the next
	beforeValue // after the =
	inValue     // quoted
	inBare      // a value without quotes
	inSeam      // after a condition within a tag: a blank or the tag's end comes next
)

// part is what of an address a value would be.
type part int

const (
	noAddress part = iota
	wholeAddress
	path
	query // or the fragment
)

func (c context) String() string {
	switch c.state {
	case inText:
		return "in the text"
	case inRaw:
		return "in <" + c.element + ">"
	case inComment:
		return "in a comment"
	case inTagName, inTag, inAttrName, afterName, beforeValue, inBare, inSeam:
		return fmt.Sprintf("within the tag <%s, outside of a quoted value", c.element)
	}
	return fmt.Sprintf("in the value of %s", c.attr)
}

// addresses are the attributes that a browser follows, or loads.
var addresses = []string{"action", "background", "cite", "data", "formaction", "href", "poster", "src", "xlink:href"}

// code are attributes whose value a browser runs, or that are markup of their
// own; beside those whose name begins with on.
var code = []string{"srcdoc", "srcset", "style", "http-equiv"}

// blank is white space as HTML has it.
const blank = " \t\n\r\f"

// after is the context after a piece of the template's own text.
func (c context) after(text string) (context, error) {
	for text != "" {
		var err error
		if c, text, err = c.step(text); err != nil {
			return c, err
		}
	}
	return c, nil
}

// step reads up to the next change of state.
func (c context) step(text string) (context, string, error) {
	switch c.state {
	case inText:
		i := strings.IndexByte(text, '<')
		switch {
		case i < 0:
			return c, "", nil
		case strings.HasPrefix(text[i:], "<!--"):
			return context{state: inComment}, text[i+4:], nil
		case len(text) == i+1:
			return c, "", errors.New("a < ends the text")
		case isLetter(text[i+1]), text[i+1] == '/', text[i+1] == '!':
			return context{state: inTagName}, text[i+1:], nil
		}
		return c, text[i+1:], nil
	case inComment:
		if _, rest, found := strings.Cut(text, "-->"); found {
			return context{}, rest, nil
		}
		return c, "", nil
	case inRaw:
		if i := strings.Index(strings.ToLower(text), "</"+c.element); i >= 0 {
			return context{state: inTagName}, text[i+1:], nil
		}
		return c, "", nil
	case inTagName:
		i := strings.IndexAny(text, blank+"/>")
		if i < 0 {
			c.element += strings.ToLower(text)
			return c, "", nil
		}
		c.element += strings.ToLower(text[:i])
		if i == 0 && text[0] == '/' { // of an end tag
			c.element += "/"
			return c, text[1:], nil
		}
		c.state = inTag
		return c, text[i:], nil
	case inTag:
		text = strings.TrimLeft(text, blank+"/")
		switch {
		case text == "":
			return c, "", nil
		case text[0] != '>':
			c.state, c.attr = inAttrName, ""
			return c, text, nil
		case slices.Contains([]string{"script", "style", "title", "textarea"}, c.element):
			return context{state: inRaw, element: c.element}, text[1:], nil
		}
		return context{}, text[1:], nil
	case inSeam:
		if strings.IndexByte(blank+"/>", text[0]) < 0 {
			return c, "", fmt.Errorf("%.10q follows a condition within the tag <%s: put a blank between them", text, c.element)
		}
		c.state = inTag
		return c, text, nil
	case inAttrName:
		i := strings.IndexAny(text, blank+"/>=")
		if i < 0 {
			c.attr += strings.ToLower(text)
			return c, "", nil
		}
		c.attr += strings.ToLower(text[:i])
		c.state = afterName
		return c, text[i:], nil
	case afterName:
		if text = strings.TrimLeft(text, blank); text == "" {
			return c, "", nil
		}
		if text[0] == '=' {
			c.state = beforeValue
			return c, text[1:], nil
		}
		c.state, c.attr = inTag, ""
		return c, text, nil
	case beforeValue:
		if text = strings.TrimLeft(text, blank); text == "" {
			return c, "", nil
		}
		if c.quote = text[0]; c.quote != '"' && c.quote != '\'' {
			c.state, c.quote = inBare, 0
			return c, text, nil
		}
		if c.state = inValue; slices.Contains(addresses, c.attr) {
			c.url = wholeAddress
		}
		return c, text[1:], nil
	case inBare:
		i := strings.IndexAny(text, blank+">")
		if i < 0 {
			return c, "", nil
		}
		return context{state: inTag, element: c.element}, text[i:], nil
	}
	value, rest, closed := strings.Cut(text, string(c.quote))
	if closed {
		return context{state: inTag, element: c.element}, rest, nil
	}
	if c.url != noAddress && value != "" {
		if c.url == wholeAddress {
			c.url = path
		}
		if strings.ContainsAny(value, "?#") {
			c.url = query
		}
	}
	return c, "", nil
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

// afterValue is the context after a value of the data.
func (c context) afterValue() context {
	if c.url == wholeAddress { // what follows is of the same address, wherever in it
		c.url = query
	}
	return c
}

// join is where two ways through a template go on that end here and there; false
// where they may not go on together.
func (c context) join(o context) (context, bool) {
	if c == o {
		return c, true
	}
	if c.betweenAttributes() && o.betweenAttributes() && c.element == o.element {
		return context{state: inSeam, element: c.element}, true
	}
	one, other := c.url, o.url // of one address, in different parts of it
	c.url, o.url = noAddress, noAddress
	if c != o || one == wholeAddress || other == wholeAddress {
		return c, false
	}
	c.url = max(one, other)
	return c, true
}

// betweenAttributes reports whether an attribute may begin after a blank.
func (c context) betweenAttributes() bool {
	return c.state == inTagName || c.state == inTag || c.state == inAttrName || c.state == afterName || c.state == inSeam
}

// escaper is how a value is escaped there.
func (c context) escaper() (escaper, error) {
	switch {
	case c.state == inText, c.state == inRaw && (c.element == "title" || c.element == "textarea"):
		return escapeText, nil
	case c.state != inValue:
		return nil, errors.New(c.String())
	case strings.HasPrefix(c.attr, "on") || slices.Contains(code, c.attr):
		return nil, fmt.Errorf("in %s, which browsers run", c.attr)
	}
	switch c.url {
	case wholeAddress:
		return escapeAddress, nil
	case path:
		return escapeSegment, nil
	case query:
		return escapeQuery, nil
	}
	return escapeText, nil
}

// escaper writes a text so that it is nothing but that where it stands.
type escaper func(out *bytes.Buffer, text string)

// escapeText is for the text of a page and for quoted values.
func escapeText(out *bytes.Buffer, text string) {
	from := 0
	for i := 0; i < len(text); i++ {
		var with string
		switch text[i] {
		case '&':
			with = "&amp;"
		case '<':
			with = "&lt;"
		case '>':
			with = "&gt;"
		case '"':
			with = "&#34;"
		case '\'':
			with = "&#39;"
		case 0:
			with = "\uFFFD"
		default:
			continue
		}
		out.WriteString(text[from:i])
		out.WriteString(with)
		from = i + 1
	}
	out.WriteString(text[from:])
}

// Refused stands where an address would have led elsewhere.
const Refused = "#refused"

// escapeAddress is for a whole address, which leads to a place of the same site:
// a path, a query or a fragment.
func escapeAddress(out *bytes.Buffer, text string) {
	if text != "" && !strings.ContainsRune("/?#", rune(text[0])) || strings.HasPrefix(text, "//") || strings.HasPrefix(text, `/\`) || strings.ContainsAny(text, "\\\t\n\r\x00") {
		text = Refused
	}
	from := 0
	for i := 0; i < len(text); i++ {
		if b := text[i]; b <= ' ' || b >= 0x7F || strings.IndexByte("\"'<>`{}|^", b) >= 0 {
			escapeText(out, text[from:i])
			fmt.Fprintf(out, "%%%02X", b)
			from = i + 1
		}
	}
	escapeText(out, text[from:])
}

// escapeSegment is for a part of a path.
func escapeSegment(out *bytes.Buffer, text string) { escapeText(out, url.PathEscape(text)) }

// escapeQuery is for a value in a query, and for a fragment.
func escapeQuery(out *bytes.Buffer, text string) {
	escapeText(out, strings.ReplaceAll(url.QueryEscape(text), "+", "%20"))
}
