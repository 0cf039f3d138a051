package apicall

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// document is the body of an answer. It is parsed only for those who look into
// it: to be stored, JSON needs no more than to be valid.
type document struct {
	body      []byte
	mediaType string
	json      tristate
	parsed    any
	err       error
	isParsed  bool
}

type tristate int8

const (
	unknown tristate = iota
	yes
	no
)

// isJSON takes a body as JSON by its content type, or when it is text that
// parses as an object or a list.
func (d *document) isJSON() bool {
	if d.json == unknown {
		d.json = no
		declared := d.mediaType == "application/json" || strings.HasSuffix(d.mediaType, "+json")
		trimmed := bytes.TrimLeft(d.body, " \t\r\n")
		if len(trimmed) > 0 && (declared || trimmed[0] == '{' || trimmed[0] == '[') && json.Valid(d.body) {
			d.json = yes
		}
	}
	return d.json == yes
}

// value is the body as data: JSON parsed, other text as a string, nothing as
// null.
func (d *document) value() (any, error) {
	switch {
	case d.isParsed:
	case len(d.body) == 0:
		d.isParsed = true
	case d.isJSON():
		d.parsed, d.err = value.ParseJSON(d.body)
		d.isParsed = true
	default:
		d.parsed, d.isParsed = string(d.body), true
	}
	return d.parsed, d.err
}

// stored is the XCom value: JSON as it is, other text as a string, anything
// else and everything large as an object.
func (d *document) stored() ([]byte, *engine.LargeValue) {
	switch {
	case len(d.body) == 0:
		return []byte("null"), nil
	case d.isJSON() && len(d.body) <= engine.MaxInlineValue:
		return d.body, nil
	case d.isJSON():
		return nil, &engine.LargeValue{Data: d.body, ContentType: "application/json"}
	case len(d.body) <= engine.MaxInlineValue && utf8.Valid(d.body):
		text := value.AppendString(make([]byte, 0, len(d.body)+2), string(d.body))
		if len(text) <= engine.MaxInlineValue {
			return text, nil
		}
	}
	kind := d.mediaType
	if kind == "" || kind == "application/json" {
		kind = "text/plain"
	}
	return nil, &engine.LargeValue{Data: d.body, ContentType: kind}
}

// mediaType is the content type without its parameters, in lower case.
func mediaType(h http.Header) string {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return cut(strings.ToLower(strings.TrimSpace(t)), 128)
}
