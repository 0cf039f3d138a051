package guests

import (
	"testing"

	"github.com/qarion/qarion/wasmhooks"
)

// BenchmarkColdStart is the way from the bytes of a module to the end of its
// first call in a new node: compiled, and read from the folder that nodes keep
// in their data directory.
func BenchmarkColdStart(b *testing.B) {
	for _, language := range Languages {
		for _, hook := range Hooks {
			module, err := Module(b.Context(), language, hook)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(language+"/"+hook+"/compiled", func(b *testing.B) {
				for b.Loop() {
					firstCall(b, module, hook, "")
				}
			})
			b.Run(language+"/"+hook+"/cached", func(b *testing.B) {
				dir := b.TempDir()
				firstCall(b, module, hook, dir)
				for b.Loop() {
					firstCall(b, module, hook, dir)
				}
			})
		}
	}
}

func firstCall(b *testing.B, module []byte, hook, cache string) {
	host, err := wasmhooks.Open(wasmhooks.Config{Cache: cache})
	if err != nil {
		b.Fatal(err)
	}
	defer host.Close()
	info, err := host.Check(b.Context(), module)
	if err != nil {
		b.Fatal(err)
	}
	r := memoryRows[hook]
	if a := host.Call(b.Context(), info.Hash, r.kind(), r.meta(), []byte(r.body)); a.Err != nil {
		b.Fatal(a.Err)
	}
}

// BenchmarkCall is a warm call over 1 KB.
func BenchmarkCall(b *testing.B) {
	for _, language := range Languages {
		for _, hook := range Hooks {
			module, err := Module(b.Context(), language, hook)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(language+"/"+hook, func(b *testing.B) {
				h := start(b, "compiler", module)
				r := memoryRows[hook]
				kind, meta, body := r.kind(), r.meta(), []byte(r.body)
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					if a := h.host.Call(b.Context(), h.hash, kind, meta, body); a.Err != nil {
						b.Fatal(a.Err)
					}
				}
			})
		}
	}
}
