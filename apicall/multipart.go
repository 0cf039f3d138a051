package apicall

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/property"
	"github.com/qarion/qarion/internal/value"
)

// A body of body_format = "multipart" is a table. Each of its values is a field
// of text; a table with content or path is a file, or a field with a type of
// its own. It is written as browsers do (RFC 7578; the escapes of names are
// those of the WHATWG's multipart/form-data), and read while it is sent.

// partKeys are what a table in a multipart body may say.
var partKeys = []string{"filename", "content_type", "content", "path"}

// partTemplate is a value of a multipart body as the flow file has it.
type partTemplate struct {
	name           string
	value          *template // a field's text, or a file's content
	path           *template // instead: a file beside the flow
	filename, kind *template
	typed          bool // it was written as a table
}

// formPart is a part as it is sent.
type formPart struct {
	name, filename, kind string
	typed                bool
	segment              segment
	shown                string // the text of a field; "" for a file
}

// multipart compiles the body of a multipart request.
func (c *compiler) multipart(body any) []partTemplate {
	m, ok := body.(*value.Map)
	if !ok {
		c.Problem("body", "wrong-type", "body_format \"multipart\" needs a table, got a %s", value.TypeName(body))
		return nil
	}
	out := []partTemplate{}
	for name, v := range m.All() {
		list, many := v.([]any)
		if !many {
			list = []any{v}
		}
		for i, e := range list {
			path := []string{"body", name}
			if many {
				path = append(path, strconv.Itoa(i))
			}
			if p, ok := c.part(path, name, e); ok {
				out = append(out, p)
			}
		}
	}
	return out
}

func (c *compiler) part(path []string, name string, v any) (p partTemplate, ok bool) {
	p = partTemplate{name: name}
	m, typed := v.(*value.Map)
	if !typed {
		p.value = c.value(path, v, 0)
		return p, true
	}
	p.typed = true
	bad := func(key, format string, args ...any) {
		at := append(append([]string{"properties"}, path...), key)
		c.Problems = append(c.Problems, engine.Problem{Task: c.Task, Path: at, Code: "bad-part", Message: fmt.Sprintf(format, args...)})
	}
	_, hasContent := m.Get("content")
	_, hasPath := m.Get("path")
	if hasContent == hasPath {
		bad("", "%s: a table in a multipart body needs content or path, and may have filename and content_type; "+
			"for a table as text, write { content = { ... } }", name)
		return p, false
	}
	for k, e := range m.All() {
		_, isText := e.(string)
		_, told := e.(property.Unreadable)
		switch {
		case told:
		case !slices.Contains(partKeys, k):
			bad(k, "unknown key %q of a part (there are: %s)", k, strings.Join(partKeys, ", "))
		case k == "content":
			p.value = c.value(append(slices.Clone(path), k), e, 0)
		case !isText:
			bad(k, "%s is %s, want a string", k, value.Kind(e))
		case k == "path":
			p.path = c.value(append(slices.Clone(path), k), e, 0)
			if s, constant := p.path.constant.(string); constant && !filepath.IsLocal(s) {
				bad(k, "path %q leads out of the flow's folder", s)
			}
		case k == "filename":
			p.filename = c.value(append(slices.Clone(path), k), e, 0)
		default:
			p.kind = c.value(append(slices.Clone(path), k), e, 0)
		}
	}
	return p, true
}

// multipartBody renders the parts and puts them together.
func (p *program) multipartBody(ctx context.Context, v jinja.Vars) (*content, error) {
	c := &content{}
	for _, t := range p.multipart {
		parts, err := p.parts(ctx, v, &t)
		if err != nil {
			return nil, partError(t.name, err)
		}
		c.form = append(c.form, parts...)
	}
	boundary := p.boundary(v, c.form)
	c.mimeType = mimeTypes["multipart"] + "; boundary=" + boundary
	start := "--" + boundary + "\r\n"
	for i := range c.form {
		part := &c.form[i]
		c.segments = append(c.segments, dataSegment([]byte(start+part.header())), part.segment)
		start = "\r\n--" + boundary + "\r\n"
	}
	end := "--" + boundary + "--\r\n"
	if len(c.form) > 0 {
		end = "\r\n" + end
	}
	c.segments = append(c.segments, dataSegment([]byte(end)))
	return c, nil
}

func partError(name string, err error) error {
	var u *jinja.UndefinedError
	var t *jinja.Error
	if errors.As(err, &u) || errors.As(err, &t) { // these name their place
		return err
	}
	return fmt.Errorf("body.%s: %w", name, err)
}

// parts are what one value of the body gives: none for null, several for a
// list.
func (p *program) parts(ctx context.Context, v jinja.Vars, t *partTemplate) ([]formPart, error) {
	part := formPart{name: t.name, typed: t.typed}
	var err error
	if part.filename, err = t.filename.text(ctx, v); err != nil {
		return nil, err
	}
	if part.kind, err = t.kind.text(ctx, v); err != nil {
		return nil, err
	}
	if t.path != nil {
		path, err := t.path.text(ctx, v)
		if err != nil {
			return nil, err
		}
		if part.segment, err = p.fileBeside(path); err != nil {
			return nil, err
		}
		if part.filename == "" {
			part.filename = filepath.Base(path)
		}
		return []formPart{part}, part.settle("application/octet-stream")
	}
	val, err := p.whole(ctx, v, t.value)
	if err != nil {
		return nil, err
	}
	list, many := val.([]any)
	if !many || t.typed {
		list = []any{val}
	}
	var out []formPart
	for _, e := range list {
		one := part
		if e == nil {
			continue
		}
		if err := one.fill(e); err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// fill gives a part its content: bytes as they are, text as UTF-8, tables and
// lists as JSON.
func (f *formPart) fill(v any) error {
	switch v := v.(type) {
	case *value.Bytes:
		f.segment = bytesSegment(v)
		if f.filename == "" {
			f.filename = f.name
		}
		kind := v.ContentType
		if kind == "" {
			kind = "application/octet-stream"
		}
		return f.settle(kind)
	case *value.Map, []any:
		if !f.typed {
			return fmt.Errorf("a %s cannot be a field; write { content = \"{{ ... }}\" } to send it as JSON", value.TypeName(v))
		}
		data, err := value.JSON(v)
		if err != nil {
			return err
		}
		f.shown, f.segment = string(data), dataSegment(data)
		return f.settle(engine.TypeJSON)
	}
	f.shown = plainText(v)
	f.segment = dataSegment([]byte(f.shown))
	kind := ""
	if f.filename != "" {
		kind = "text/plain; charset=utf-8"
	}
	return f.settle(kind)
}

// settle completes the part's type and refuses names that would end its header.
func (f *formPart) settle(kind string) error {
	if f.kind == "" {
		f.kind = kind
	}
	bad := func(r rune) bool { return r < ' ' && r != '\r' && r != '\n' || r == 0x7f }
	if strings.ContainsFunc(f.filename, bad) || strings.ContainsFunc(f.name, bad) {
		return errors.New("filename: the value has a control character")
	}
	if f.kind != "" && (!strings.Contains(f.kind, "/") || strings.ContainsFunc(f.kind, func(r rune) bool { return r < ' ' || r > 0x7e })) {
		return errors.New("content_type: the value is no content type such as image/png")
	}
	return nil
}

var formName = strings.NewReplacer("\"", "%22", "\r", "%0D", "\n", "%0A")

// header is what stands before a part's content.
func (f *formPart) header() string {
	h := `Content-Disposition: form-data; name="` + formName.Replace(f.name) + `"`
	if f.filename != "" {
		h += `; filename="` + formName.Replace(f.filename) + `"`
	}
	if f.kind != "" {
		h += "\r\nContent-Type: " + f.kind
	}
	return h + "\r\n\r\n"
}

// String is a part for people.
func (f *formPart) String() string {
	if f.shown != "" || f.segment.size == 0 && f.filename == "" {
		return f.name + ": " + f.shown
	}
	return fmt.Sprintf("%s: %q, %d bytes of %s", f.name, f.filename, f.segment.size, f.kind)
}

// boundary separates the parts. It is made from the installation, the run and
// the task, so that all attempts send the same bytes and nobody else can write
// it into data; should it stand in a text all the same, another one is taken.
func (p *program) boundary(v jinja.Vars, form []formPart) string {
	seed := "multipart"
	if in, ok := v.(*vars); ok {
		k := in.Key
		seed = fmt.Sprintf("%s\x00%s\x00%s\x00%s\x00%d", seed, in.Installation, k.Run, k.Task, k.Item)
	}
	for n := 0; ; n++ {
		sum := sha256.Sum256([]byte(seed + "\x00" + strconv.Itoa(n)))
		boundary := "qarion-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:20]))
		if !slices.ContainsFunc(form, func(f formPart) bool { return bytes.Contains(f.segment.data, []byte(boundary)) }) {
			return boundary
		}
	}
}

// fileBeside is a file in the folder of the flow, or below it. os.Root lets no
// path and no link lead out.
func (p *program) fileBeside(path string) (segment, error) {
	none := segment{}
	if path == "" || !filepath.IsLocal(path) {
		return none, errors.New("path: it leads out of the flow's folder")
	}
	if p.folder == "" {
		return none, errors.New("path: the flow has no folder")
	}
	open := func() (*os.File, int64, error) {
		root, err := os.OpenRoot(p.folder)
		if err != nil {
			return nil, 0, fmt.Errorf("path: the folder %s cannot be opened", p.folder)
		}
		defer root.Close()
		f, err := root.Open(path)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, 0, fmt.Errorf("path: there is no file %q in %s", path, p.folder)
			}
			return nil, 0, fmt.Errorf("path: %w", err)
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("path: %q is no file", path)
		}
		if err != nil {
			f.Close()
			return nil, 0, err
		}
		return f, info.Size(), nil
	}
	f, size, err := open()
	if err != nil {
		return none, err
	}
	f.Close()
	return segment{size: size, what: path, open: func(context.Context) (io.ReadCloser, error) {
		f, _, err := open()
		if err != nil {
			return nil, err
		}
		return f, nil
	}}, nil
}

// multipartType completes the Content-Type that a flow has given for a
// multipart body: with the boundary, which nobody but the writer knows.
func multipartType(given, own string) (string, error) {
	_, boundary, _ := strings.Cut(own, "; ")
	switch {
	case given == "":
		return own, nil
	case !strings.HasPrefix(mediaTypeOf(given), "multipart/"):
		return "", fmt.Errorf("headers.Content-Type is %.60q, but body_format is \"multipart\"", given)
	case strings.Contains(strings.ToLower(given), "boundary="):
		return "", errors.New("headers.Content-Type names a boundary; leave that to qarion")
	}
	return strings.TrimRight(given, "; ") + "; " + boundary, nil
}

// typed gives a request the type of its body, where that is known only now.
func (a *attempt) typed() error {
	p := a.prog
	if a.body == nil || p.multipart == nil && (p.fixed.ownType || a.body.mimeType == mimeTypes[p.props.bodyFormat]) {
		return nil
	}
	kind := a.body.mimeType
	if p.multipart != nil {
		var err error
		if kind, err = multipartType(a.req.Header.Get("Content-Type"), kind); err != nil {
			return err
		}
	}
	a.req.Header = maps.Clone(a.req.Header)
	a.req.Header["Content-Type"] = []string{kind}
	return nil
}
