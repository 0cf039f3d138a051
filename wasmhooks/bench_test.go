package wasmhooks

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/guests"
)

// A body of about 1 KB, and what the example hooks are asked of it.
var (
	benchItems = func() string {
		items := make([]string, 18)
		for i := range items {
			items[i] = `{"id":` + strconv.Itoa(100+i) + `,"name":"a name of some length","price":12.5}`
		}
		return "[" + strings.Join(items, ",") + "]"
	}()
	benchCalls = []struct {
		name, hook, config, more, body string
	}{
		{"count", "check", `{"items":"/items","min_items":1}`, "", `{"items":` + benchItems + `}`},
		{"fields", "check", `{"items":"/items","min_items":1,"unique":"id","fields":{"id":"integer","name":"string","price":"number"}}`, "", `{"items":` + benchItems + `}`},
		{"unwrap", "unwrap", `{}`, "", `{"data":` + benchItems + `}`},
		{"sign", "sign", `{"secret":"shop.key","kid":"1"}`, `,"secrets":{"shop.key":"s3cr3t"}`, benchItems},
	}
)

// BenchmarkCall is a warm call through the pool: an empty validate, and the
// examples over 1 KB. bare is the same module without metering.
func BenchmarkCall(b *testing.B) {
	ctx := b.Context()
	hosts := map[string]*Host{}
	for name, cfg := range map[string]Config{"metered": {}, "bare": {unmetered: true}} {
		h, err := Open(cfg)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(h.Close)
		hosts[name] = h
	}
	bench := func(name string, module []byte, kind Kind, meta, body string) {
		for _, way := range []string{"metered", "bare"} {
			h, hash := hosts[way], Hash(module)
			if _, bad := h.load(ctx, hash, func() ([]byte, error) { return module, nil }); bad != nil {
				b.Fatal(bad)
			}
			b.Run(name+"/"+way, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if a := h.Call(ctx, hash, kind, []byte(meta), []byte(body)); a.Err != nil || len(a.Verdict.Errors) > 0 {
						b.Fatal(a.Err, a.Verdict)
					}
				}
			})
		}
	}
	head := func(kind Kind, phase, config string) string {
		return `{"v":1,"hook":"` + string(kind) + `","phase":"` + phase + `","flow":"f","task":"t","config":` + config + `,"run_id":"r","map_index":0,"attempt":1`
	}
	bench("empty", hook(i64c(0)), Validate, head(Validate, "response", "{}")+"}", benchCalls[0].body)
	for _, language := range guests.Languages {
		for _, c := range benchCalls {
			module, err := guests.Module(ctx, language, c.hook)
			if err != nil {
				b.Fatal(err)
			}
			kind, phase := Transform, "response"
			switch c.hook {
			case "check":
				kind = Validate
			case "sign":
				phase = "request"
			}
			bench(language+"/"+c.name, module, kind, head(kind, phase, c.config)+c.more+"}", c.body)
		}
	}
}

// BenchmarkColdStart: from bytes to a first instance, with what was compiled before
// in the folder.
func BenchmarkColdStart(b *testing.B) {
	ctx := context.Background()
	cache := b.TempDir()
	for _, language := range guests.Languages {
		module, err := guests.Module(ctx, language, "check")
		if err != nil {
			b.Fatal(err)
		}
		start := func() {
			h, err := Open(Config{Cache: cache})
			if err != nil {
				b.Fatal(err)
			}
			defer h.Close()
			if _, err := h.Check(ctx, module); err != nil {
				b.Fatal(err)
			}
		}
		start() // compiles
		b.Run(language, func(b *testing.B) {
			for b.Loop() {
				start()
			}
		})
	}
}
