package apicall

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/itchyny/gojq"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// maxSelect is how long select may work on one response: jq can count to
// infinity.
const maxSelect = 2 * time.Second

// selection is a compiled jq expression.
type selection struct{ code *gojq.Code }

// newSelection compiles an expression. It can read neither files nor the
// environment.
func newSelection(source string) (*selection, error) {
	query, err := gojq.Parse(source)
	if err != nil {
		return nil, err
	}
	code, err := gojq.Compile(query)
	if err != nil {
		return nil, err
	}
	return &selection{code}, nil
}

// apply runs the expression over a response. It must give exactly one result:
// one that is sometimes a list and sometimes not would surprise whoever reads
// it.
func (s *selection) apply(ctx context.Context, doc *document) (document, error) {
	in, err := doc.value()
	if err != nil {
		return document{}, fmt.Errorf("select: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, maxSelect)
	defer cancel()
	results := s.code.RunWithContext(ctx, toJQ(in))
	out, ok := results.Next()
	if !ok {
		return document{}, errors.New("select gave no result; write (...) // null if that may be")
	}
	if err, bad := out.(error); bad {
		return document{}, selectError(ctx, err)
	}
	if more, ok := results.Next(); ok {
		if err, bad := more.(error); bad {
			return document{}, selectError(ctx, err)
		}
		return document{}, errors.New("select gave more than one result; write [...] around it for a list")
	}
	body, err := value.JSON(fromJQ(out))
	if err != nil {
		return document{}, fmt.Errorf("select: %w", err)
	}
	return document{shape: shapeJSON, data: body, mediaType: engine.TypeJSON}, nil
}

func selectError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("select did not end within %s", maxSelect)
	}
	return fmt.Errorf("select: %s", cut(err.Error(), maxViolation))
}

// toJQ turns a value into the types that gojq works on. It knows no order of
// keys.
func toJQ(v any) any {
	switch v := v.(type) {
	case int64:
		if int64(int(v)) != v {
			return big.NewInt(v)
		}
		return int(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = toJQ(e)
		}
		return out
	case *value.Map:
		out := make(map[string]any, v.Len())
		for k, e := range v.All() {
			out[k] = toJQ(e)
		}
		return out
	}
	return v
}

// fromJQ turns a result of gojq into a value, keys sorted.
func fromJQ(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = fromJQ(e)
		}
		return out
	case map[string]any:
		out := value.NewMap(len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out.Set(k, fromJQ(v[k]))
		}
		return out
	}
	return v
}
