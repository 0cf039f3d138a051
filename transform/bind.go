package transform

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/transform/sqltext"
)

// maxParameter is the largest value that is bound to a parameter, in bytes.
const maxParameter = 256 << 20

// binder finds the values of parameters, each once.
type binder struct {
	prog *program
	vars *vars
	own  map[string]any // the property params, and run_key
	done map[string]any
}

func newBinder(ctx context.Context, v *vars) (*binder, error) {
	b := &binder{prog: v.prog, vars: v, own: map[string]any{runKey: v.runKey()}, done: map[string]any{}}
	for _, p := range v.prog.params {
		b.own[p.name] = p.fixed
		if p.tpl == nil {
			continue
		}
		r, err := p.tpl.Value(ctx, v)
		if err != nil {
			return nil, explained(err)
		}
		v.hide = v.hide || r.Origin.Secret()
		b.own[p.name] = r.Value
	}
	return b, nil
}

// runKey is the task's idempotency value: the same in all of its attempts.
func (v *vars) runKey() string {
	return v.IdempotencyKey()
}

// args are the values of a statement's parameters, as databases take them; with
// an error, those before the one that has it.
func (b *binder) args(ctx context.Context, st *sqltext.Statement) ([]any, error) {
	out := make([]any, len(st.Params))
	for i, name := range st.Params {
		v, ok := b.done[name]
		if !ok {
			found, err := b.find(ctx, name)
			if err == nil {
				v, err = bindable(found)
			}
			if err != nil {
				return out[:i], fmt.Errorf(":%s: %w", name, err)
			}
			b.done[name] = v
		}
		out[i] = v
	}
	return out, nil
}

// find returns the value that a parameter names.
func (b *binder) find(ctx context.Context, name string) (any, error) {
	root, rest, deep := strings.Cut(name, ".")
	v, own := b.own[root]
	if !own {
		if !deep {
			if v, ok, err := b.large(ctx, root); ok || err != nil {
				return v, err
			}
		}
		got, ok, err := b.vars.Lookup(ctx, root)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("there is no such value (there are: %s)", someNames(b.vars.Names()))
		}
		if v = got.Value; deep && rest == b.prog.props.pullKey && b.prog.pulls(root) {
			return v, nil
		}
	}
	for at := root; deep; {
		var key string
		key, rest, deep = strings.Cut(rest, ".")
		next, err := member(v, at, key)
		if err != nil {
			return nil, err
		}
		v, at = next, at+"."+key
	}
	return v, nil
}

// large returns what an upstream task has left as it was stored, where it is
// large: it need not be read to be bound.
func (b *binder) large(ctx context.Context, name string) (any, bool, error) {
	if !strings.HasPrefix(name, "xcom_") || b.prog.pulls(name) {
		return nil, false, nil
	}
	content, ok, err := b.vars.Content(ctx, name)
	if err != nil || !ok || content.Size <= engine.MaxInlineValue {
		return nil, false, err
	}
	b.vars.hide = b.vars.hide || b.vars.Sensitive(name)
	return content, true, nil
}

// member is the part of a value under a key, or at an index.
func member(v any, at, key string) (any, error) {
	switch v := v.(type) {
	case *value.Map:
		if got, ok := v.Get(key); ok {
			return got, nil
		}
		return nil, fmt.Errorf("%s has no %q (there are: %s)", at, key, someNames(v.Keys()))
	case []any:
		if i, err := strconv.Atoi(key); err == nil && i < len(v) {
			return v[i], nil
		}
		return nil, fmt.Errorf("%s is a list of %d and has no %q", at, len(v), key)
	}
	return nil, fmt.Errorf("%s is %s and has no %q", at, value.Kind(v), key)
}

// bindable turns a value into one that databases take: objects and lists are
// bound as JSON, numbers that no other type holds as text.
func bindable(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int64, float64, string:
		return v, nil
	case *big.Int:
		return v.String(), nil
	case value.Number:
		if n, err := v.Plain(); err == nil {
			if _, huge := n.(*big.Int); !huge && exact(v, n) {
				return n, nil
			}
		}
		return string(v), nil
	case *value.Map, []any:
		text, err := value.JSON(v)
		return textOf(text), err
	case *value.Bytes:
		return content(v)
	}
	return nil, errors.New("it has a value that cannot be bound")
}

// exact reports whether a number says all that its text says.
func exact(n value.Number, v any) bool {
	f, isFloat := v.(float64)
	if !isFloat {
		return true
	}
	want, ok := new(big.Rat).SetString(string(n))
	got, err := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	return ok && err && want.Cmp(got) == 0
}

// content reads what was stored: JSON and text are bound as text, what is not
// UTF-8 as bytes.
func content(b *value.Bytes) (any, error) {
	data, err := b.Read(context.Background(), maxParameter)
	if err != nil {
		return nil, err
	}
	switch {
	case !utf8.Valid(data):
		return data, nil
	case b.ContentType == engine.TypeJSON && len(data) > 0 && data[0] != '{' && data[0] != '[':
		v, err := value.ParseJSON(data)
		if err != nil {
			return nil, err
		}
		return bindable(v)
	}
	return textOf(data), nil
}

// textOf is bytes that nobody changes any more, as a text.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// explained adds what there is to an error about a name that is not.
func explained(err error) error {
	var u *jinja.UndefinedError
	if errors.As(err, &u) && len(u.Available) > 0 {
		return fmt.Errorf("%w (there are: %s)", err, someNames(u.Available))
	}
	return err
}
