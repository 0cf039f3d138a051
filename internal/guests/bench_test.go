package guests

import (
	"context"

	"testing"

	"github.com/tetratelabs/wazero"
)

// BenchmarkColdStart is the way from the bytes of a module to the end of its
// first call: compiled, and read from the cache that nodes keep in their data
// directory.
func BenchmarkColdStart(b *testing.B) {
	for _, language := range Languages {
		module, err := Module(b.Context(), language, "check")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(language+"/compiled", func(b *testing.B) {
			for b.Loop() {
				firstCall(b, wazero.NewCompilationCache(), module)
			}
		})
		b.Run(language+"/cached", func(b *testing.B) {
			dir := b.TempDir()
			firstCall(b, dirCache(b, dir), module)
			for b.Loop() {
				firstCall(b, dirCache(b, dir), module)
			}
		})
	}
}

// BenchmarkInstance is one more instance of a module that is compiled, with
// its first call.
func BenchmarkInstance(b *testing.B) {
	for _, language := range Languages {
		module, err := Module(b.Context(), language, "check")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(language, func(b *testing.B) {
			cache := wazero.NewCompilationCache()
			defer cache.Close(context.Background())
			firstCall(b, cache, module)
			for b.Loop() {
				firstCall(b, cache, module)
			}
		})
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
				r := memoryRows[hook]
				in := start(b, engines["compiler"](), module)
				export, meta, body := r.export(), r.meta(), []byte(r.body)
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					if _, _, err := in.call(b.Context(), export, meta, body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func dirCache(b *testing.B, dir string) wazero.CompilationCache {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	return cache
}

func firstCall(b *testing.B, cache wazero.CompilationCache, module []byte) {
	r := table[0]
	in := startCold(b, wazero.NewRuntimeConfigCompiler().WithCompilationCache(cache), module)
	if _, _, err := in.call(b.Context(), r.export(), r.meta(), []byte(r.body)); err != nil {
		b.Fatal(err)
	}
	in.close()
}
