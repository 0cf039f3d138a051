package wasmhooks

import (
	"context"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/guests"
)

// BenchmarkCall: an empty validate through the pool, and the examples over 1 KB.
func BenchmarkCall(b *testing.B) {
	ctx := context.Background()
	h, err := Open(Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(h.Close)
	body := []byte(`{"items":[` + strings.Repeat(`{"id":1,"name":"a name of some length","price":12.5},`, 18) + `{"id":2}]}`)
	meta := []byte(`{"v":1,"hook":"validate","phase":"response","flow":"f","run_id":"r","task":"t","attempt":1,"config":{"required":["/items"]}}`)
	bench := func(name string, module []byte, kind Kind) {
		hash := Hash(module)
		if _, bad := h.load(ctx, hash, func() ([]byte, error) { return module, nil }); bad != nil {
			b.Fatal(bad)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if a := h.Call(ctx, hash, kind, meta, body); a.Err != nil && a.Err.Class != ClassError {
					b.Fatal(a.Err)
				}
			}
		})
	}
	bench("empty", hook(i64c(0)), Validate)
	for _, language := range []string{"c", "rust", "assemblyscript", "go"} {
		for name, kind := range map[string]Kind{"check": Validate, "unwrap": Transform} {
			module, err := guests.Module(ctx, language, name)
			if err != nil {
				b.Fatal(err)
			}
			bench(language+"/"+name, module, kind)
		}
	}
}

// BenchmarkColdStart: from bytes to a first instance, with what was compiled before
// in the folder.
func BenchmarkColdStart(b *testing.B) {
	ctx := context.Background()
	cache := b.TempDir()
	for _, language := range []string{"c", "go"} {
		module, err := guests.Module(ctx, language, "check")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(language, func(b *testing.B) {
			for b.Loop() {
				h, err := Open(Config{Cache: cache})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := h.Check(ctx, module); err != nil {
					b.Fatal(err)
				}
				h.Close()
			}
		})
	}
}
