package apicall

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// content is a request body with its type.
type content struct {
	data     []byte
	mimeType string
}

// mimeTypes are the content types by body_format.
var mimeTypes = map[string]string{
	"json": "application/json", "form": "application/x-www-form-urlencoded",
	"raw": "text/plain; charset=utf-8", "xml": "application/xml",
}

// content renders the values of a body and then encodes them, so that data can
// fill a value and never add a key.
func (p *program) content(ctx context.Context, v jinja.Vars) (*content, error) {
	if p.body == nil {
		return nil, nil
	}
	val, err := p.body.render(ctx, v)
	if err != nil {
		return nil, err
	}
	c := &content{mimeType: mimeTypes[p.props.bodyFormat]}
	switch p.props.bodyFormat {
	case "json":
		c.data, err = jsonBody(val, p.body)
	case "form":
		c.data, err = formBody(val)
	case "xml":
		c.data, err = xmlBody(val)
	default:
		c.data = []byte(plainText(val))
	}
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return c, nil
}

// jsonBody encodes a value. A string in the flow file is JSON text already and
// is checked to be; a string that one expression gave is a JSON string.
func jsonBody(v any, t *template) ([]byte, error) {
	s, ok := v.(string)
	if !ok {
		return value.JSON(v)
	}
	if t.tpl != nil && t.tpl.Single() {
		return value.JSON(v)
	}
	if _, err := value.ParseJSON([]byte(s)); err != nil {
		return nil, fmt.Errorf("the rendered text is not JSON: %w; use a table, or body_format = \"raw\"", err)
	}
	return []byte(s), nil
}

// formBody writes a table as application/x-www-form-urlencoded, in its order;
// lists repeat the key.
func formBody(v any) ([]byte, error) {
	m, ok := v.(*value.Map)
	if !ok {
		return nil, fmt.Errorf("body_format \"form\" needs a table, got a %s", value.TypeName(v))
	}
	var b strings.Builder
	for k, e := range m.All() {
		list, many := e.([]any)
		if !many {
			list = []any{e}
		}
		for _, item := range list {
			if item == nil {
				continue
			}
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			b.WriteString(url.QueryEscape(k) + "=" + url.QueryEscape(plainText(item)))
		}
	}
	return []byte(b.String()), nil
}
