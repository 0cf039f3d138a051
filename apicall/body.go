package apicall

import (
	"context"
	"fmt"
	"slices"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// content is a request body with its type.
type content struct {
	data     []byte
	segments []segment // instead of data: it is read while it is sent
	mimeType string
	form     []formPart // of a multipart body, for people
	hidden   bool       // what a sensitive task has left is in it
}

// mimeTypes are the content types by body_format.
var mimeTypes = map[string]string{
	"json": "application/json", "form": "application/x-www-form-urlencoded",
	"raw": "text/plain; charset=utf-8", "xml": "application/xml", "multipart": "multipart/form-data",
}

// content renders the values of a body and then encodes them, so that data can
// fill a value and never add a key.
func (p *program) content(ctx context.Context, v jinja.Vars) (c *content, err error) {
	if in, ok := v.(*vars); ok {
		before := in.marks
		defer func() {
			if c != nil {
				c.hidden = in.marks > before
			}
		}()
	}
	switch {
	case p.multipart != nil:
		return p.multipartBody(ctx, v)
	case p.body == nil:
		return nil, nil
	case p.props.bodyFormat == "raw":
		return p.rawBody(ctx, v)
	case p.props.bodyFormat == "json" && p.body.tpl != nil:
		data, err := jsonText(ctx, p.body.tpl, v)
		if err != nil {
			return nil, inBody(err)
		}
		return &content{mimeType: mimeTypes["json"], data: data}, nil
	}
	val, err := p.body.render(ctx, v)
	if err == nil {
		err = onlyText(val)
	}
	if err != nil {
		return nil, inBody(err)
	}
	c = &content{mimeType: mimeTypes[p.props.bodyFormat]}
	switch p.props.bodyFormat {
	case "json":
		c.data, err = jsonBody(val)
	case "form":
		c.data, err = formBody(val, p.props.formStyle)
	default:
		c.data, err = xmlBody(val)
	}
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return c, nil
}

// rawBody is text, or bytes as they are. A body that is nothing but what a task
// has left is sent byte by byte as it was received, however large it is.
func (p *program) rawBody(ctx context.Context, v jinja.Vars) (*content, error) {
	val, err := p.whole(ctx, v, p.body)
	if err != nil {
		return nil, inBody(err)
	}
	c := &content{mimeType: mimeTypes["raw"]}
	b, ok := val.(*value.Bytes)
	if !ok {
		c.data = []byte(plainText(val))
		return c, nil
	}
	if b.ContentType != "" {
		c.mimeType = b.ContentType
	}
	if b.Size > engine.MaxInlineValue {
		c.segments = []segment{bytesSegment(b)}
		return c, nil
	}
	if c.data, err = b.Read(ctx, engine.MaxInlineValue); err != nil {
		return nil, &classifiedError{classBody, fmt.Errorf("body: %w", err)}
	}
	return c, nil
}

// whole renders a value for a place that takes bytes. What a task has left is
// taken as it was stored where nothing but its name stands there.
func (p *program) whole(ctx context.Context, v jinja.Vars, t *template) (any, error) {
	if in, ok := v.(*vars); ok && t.tpl != nil {
		if name, bare := t.tpl.Bare(); bare && !in.extracts(name) {
			if b, ok, err := in.content(ctx, name); ok || err != nil {
				return b, err
			}
		}
	}
	return t.render(ctx, v)
}

// extracts reports whether a name stands for a part of what its task has left.
func (v *vars) extracts(name string) bool {
	return v.prog.props.pullKey != "" && slices.ContainsFunc(v.prog.props.pulls, func(id string) bool {
		return name == "xcom_"+engine.TaskID(id).TemplateName()
	})
}

// onlyText refuses bytes where text is wanted.
func onlyText(v any) error {
	switch v := v.(type) {
	case *value.Bytes:
		return &bytesError{v}
	case []any:
		for _, e := range v {
			if err := onlyText(e); err != nil {
				return err
			}
		}
	case *value.Map:
		for _, e := range v.All() {
			if err := onlyText(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// bytesError says that bytes stand where text is wanted, and the ways out.
type bytesError struct{ b *value.Bytes }

func (e *bytesError) Error() string {
	return e.b.NotText() + "; body_format \"raw\" or \"multipart\" sends it, | b64encode makes text of it"
}

// inBody names the place of an error that does not name it itself.
func inBody(err error) error {
	if _, ok := err.(*bytesError); ok {
		return fmt.Errorf("body: %w", err)
	}
	return err
}

// jsonBody encodes a value; a string of the flow file is JSON text already, and
// was checked to be when the file was loaded.
func jsonBody(v any) ([]byte, error) {
	if s, ok := v.(string); ok {
		return []byte(s), nil
	}
	return value.JSON(v)
}
