package apicall

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// document is what an answer's body is: data, text, bytes or nothing. It is
// parsed only for those who look into it: to be stored, JSON needs no more than
// to be valid.
type document struct {
	shape     shape
	mediaType string
	fullType  string // with its parameters
	data      []byte // JSON text, text in UTF-8, or bytes as they came
	why       string // why it is no more than this, where its type promised more

	parsed   any
	err      error
	isParsed bool
}

// maxContentType bounds the content type of bytes that are kept.
const maxContentType = 256

// shape is the kind of value that a document is.
type shape int8

const (
	shapeNothing shape = iota
	shapeJSON
	shapeText
	shapeBytes
)

// responseFormats are the words of response_format. All but auto, text and
// bytes make data of the body, or fail.
var responseFormats = []string{"auto", "json", "text", "bytes", "xml", "csv", "ndjson", "form"}

// readDocument reads a body as the flow says, by its content type where it says
// nothing.
func readDocument(p *props, body []byte, contentType string) (document, error) {
	d := document{mediaType: cut(mediaTypeOf(contentType), 128), fullType: contentType}
	switch {
	case len(body) == 0:
		return d, nil
	case p.responseFormat == "auto":
		return d, d.guess(p, body, contentType)
	case p.responseFormat == "bytes":
		d.shape, d.data = shapeBytes, body
		return d, nil
	}
	text, err := decodeText(body, contentType, p.responseCharset)
	if err != nil {
		d.shape, d.data = shapeBytes, body
		return d, fmt.Errorf("the response is not text: %w", err)
	}
	d.shape, d.data = shapeText, text
	read := readers[p.responseFormat]
	if read == nil {
		return d, nil
	}
	return d, d.become(p, read)
}

// readers make JSON text of a text, by response_format.
var readers = map[string]func(p *props, text []byte) ([]byte, error){
	"json": readJSON, "xml": readXML, "csv": readCSV, "ndjson": readLines, "form": readForm,
}

// become makes data of a text.
func (d *document) become(p *props, read func(*props, []byte) ([]byte, error)) error {
	out, err := read(p, d.data)
	if err != nil {
		return fmt.Errorf("the response is not %w", err)
	}
	d.shape, d.data = shapeJSON, out
	return nil
}

// guess takes a body for what its content type says: JSON, and JSON by the
// line, as data; text as text, unless it is an object or a list of JSON; bytes
// as bytes. What promises to be JSON or text and is not is kept all the same,
// with the reason.
func (d *document) guess(p *props, body []byte, contentType string) error {
	kind := mediaKindOf(contentType)
	if p.responseCharset != "" && kind != kindJSON && kind != kindLines && kind != kindSeq {
		kind = kindText
	}
	d.shape, d.data = shapeBytes, body
	switch kind {
	case kindBytes:
		return nil
	case kindUnknown:
		if d.mediaType != "" || !hasMark(body) {
			d.guessPlain(body)
			return nil
		}
	}
	text, err := decodeText(body, contentType, p.responseCharset)
	if err != nil {
		d.why = err.Error()
		return nil
	}
	d.shape, d.data = shapeText, text
	switch kind {
	case kindLines, kindSeq:
		return d.become(p, readLines)
	case kindJSON:
		if d.why = notJSON(text); d.why == "" {
			d.shape = shapeJSON
		}
	default:
		d.takeJSON()
	}
	return nil
}

// guessPlain takes a body that nothing is known of as text if it is that,
// unchanged to the last byte.
func (d *document) guessPlain(body []byte) {
	if utf8.Valid(body) && bytes.IndexByte(body, 0) < 0 {
		d.shape = shapeText
		d.takeJSON()
	}
}

func hasMark(body []byte) bool {
	return bytes.HasPrefix(body, byteOrderMark) || len(body) >= 2 && utf16Marks[string(body[:2])] != ""
}

// takeJSON takes a text as JSON if it looks like an object or a list and is
// one.
func (d *document) takeJSON() {
	trimmed := bytes.TrimLeft(d.data, " \t\r\n")
	if len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') && json.Valid(d.data) {
		d.shape = shapeJSON
	}
}

// notJSON says why a text in UTF-8 is not JSON; "" when it is.
func notJSON(text []byte) string {
	if json.Valid(text) {
		return ""
	}
	if _, err := value.ParseJSON(text); err != nil {
		return "not JSON: " + err.Error()
	}
	return "not JSON" // the two never differ
}

func readJSON(_ *props, text []byte) ([]byte, error) {
	if why := notJSON(text); why != "" {
		return nil, errors.New(strings.TrimPrefix(why, "not "))
	}
	return text, nil
}

// value is the body as data: JSON parsed, other text as a string, nothing as
// null.
func (d *document) value() (any, error) {
	switch {
	case d.isParsed:
	case d.shape == shapeNothing:
		d.isParsed = true
	case d.shape == shapeJSON:
		d.parsed, d.err = value.ParseJSON(d.data)
		d.isParsed = true
	case d.shape == shapeText:
		d.parsed, d.isParsed = string(d.data), true
	default:
		d.err = errors.New(value.NewBytes(d.data, d.mediaType).NotText())
		d.isParsed = true
	}
	return d.parsed, d.err
}

// kind says what the body is, and why it is no more than that.
func (d *document) kind() string {
	switch d.shape {
	case shapeNothing:
		return "empty"
	case shapeText:
		if d.why != "" {
			return d.why
		}
		return "not JSON"
	case shapeBytes:
		kind := fmt.Sprintf("%d bytes of %s", len(d.data), orUnknown(d.mediaType))
		if d.why != "" {
			kind += " (" + d.why + ")"
		}
		return kind
	}
	return "JSON"
}

func orUnknown(mediaType string) string {
	if mediaType == "" {
		return "no known type"
	}
	return mediaType
}

// stored is the XCom value: JSON as it is, other text as a string, bytes and
// everything large as an object.
func (d *document) stored() ([]byte, *engine.LargeValue) {
	switch {
	case d.shape == shapeNothing:
		return []byte("null"), nil
	case d.shape == shapeJSON && len(d.data) <= engine.MaxInlineValue:
		return d.data, nil
	case d.shape == shapeJSON:
		return nil, &engine.LargeValue{Data: d.data, ContentType: engine.TypeJSON}
	case d.shape == shapeText && len(d.data) <= engine.MaxInlineValue:
		text := value.AppendString(make([]byte, 0, len(d.data)+2), string(d.data))
		if len(text) <= engine.MaxInlineValue {
			return text, nil
		}
	}
	kind := d.mediaType
	if d.shape == shapeBytes {
		kind = cut(headerValue(d.fullType), maxContentType) // who sends the bytes on sends their charset too
	}
	if d.shape == shapeText && (kind == "" || kind == engine.TypeJSON) {
		kind = "text/plain"
	}
	return nil, &engine.LargeValue{Data: d.data, ContentType: kind, Bytes: d.shape == shapeBytes}
}
