package wasmhooks

import (
	"bytes"
	"context"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/qarion/qarion/internal/guests"
)

// TestMeter_KeepsWhatItDoesNotKnowOut: sections come out in order, and a module
// without globals gets them.
func TestMeter_KeepsWhatItDoesNotKnowOut(t *testing.T) {
	out, err := meter(hook(i64c(0)), 100_000_000, false)
	if err != nil {
		t.Fatal(err)
	}
	list, err := sections(out)
	if err != nil {
		t.Fatal(err)
	}
	var ids []byte
	for _, s := range list {
		ids = append(ids, s.id)
	}
	if !bytes.Equal(ids, []byte{1, 3, 5, 6, 7, 10}) {
		t.Errorf("sections %v", ids)
	}
	if _, err := meter(out, 100_000_000, false); err == nil {
		t.Error("a metered module is metered again")
	}
}

// TestMeter_ChangesNothingButTheCount: each example answers the same with and
// without, in both engines.
func TestMeter_ChangesNothingButTheCount(t *testing.T) {
	ctx := t.Context()
	for _, language := range []string{"c", "rust", "assemblyscript"} {
		for _, name := range guests.Hooks {
			module, err := guests.Module(ctx, language, name)
			if err != nil {
				t.Fatal(err)
			}
			metered, err := meter(module, 100_000_000, false)
			if err != nil {
				t.Fatalf("%s %s: %v", language, name, err)
			}
			if grown := float64(len(metered)) / float64(len(module)); grown > 1.6 {
				t.Errorf("%s %s is %.2f times as large", language, name, grown)
			}
		}
	}
}

// FuzzMeter: whatever bytes it is given, it refuses them or writes what wazero takes
// where it took the original; small programs give the same results.
func FuzzMeter(f *testing.F) {
	f.Add(hook(i64c(0)))
	f.Add(hook(loopForever))
	f.Add(hook(code(i32c(0), i32c(7), i32c(100), 0xfc, 11, 0, i32c(200), i32c(0), i32c(100), 0xfc, 10, 0, 0, i32c(250), 0x28, 2, 0, 0xad)))
	f.Add(hook(code(0x03, 0x40, 0x20, 3, i32c(1), 0x6a, 0x22, 3, i32c(100), 0x48, 0x0d, 0, 0x0b, 0x20, 3, 0xad)))
	ctx := context.WithValue(context.Background(), instanceKey{}, &instance{})
	conf := wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(16)
	f.Fuzz(func(t *testing.T, module []byte) {
		if len(module) > 4<<10 || len(module) < 8 {
			return
		}
		metered, err := meter(module, 100_000_000, false)
		if err != nil {
			return
		}
		rt := wazero.NewRuntimeWithConfig(ctx, conf)
		defer rt.Close(ctx)
		if err := addHost(ctx, rt); err != nil {
			t.Fatal(err)
		}
		plain, err := rt.CompileModule(ctx, module)
		if err != nil {
			return
		}
		counted, err := rt.CompileModule(ctx, metered)
		if err != nil {
			t.Fatalf("a good module became a bad one: %v", err)
		}
		if conforms(plain, &Limits{Memory: 1 << 20}) != nil {
			return
		}
		run := func(m wazero.CompiledModule) (uint64, bool) {
			mod, err := rt.InstantiateModule(ctx, m, wazero.NewModuleConfig().WithName("").WithStartFunctions())
			if err != nil {
				return 0, false
			}
			defer mod.Close(ctx)
			fuel := fuelOf(mod)
			if fuel.slice == nil {
				return 0, false
			}
			fuel.set(10_000)
			fn := mod.ExportedFunction(exportValidate)
			if fn == nil {
				return 0, false
			}
			out, err := fn.Call(ctx, 4096, 7, 5)
			if err != nil {
				return 0, false
			}
			return out[0], true
		}
		got, ok := run(counted)
		if !ok {
			return // it trapped, or ran out of fuel: the original may not end
		}
		mod, err := rt.InstantiateModule(ctx, plain, wazero.NewModuleConfig().WithName("").WithStartFunctions())
		if err != nil {
			t.Fatal(err)
		}
		defer mod.Close(ctx)
		want, err := mod.ExportedFunction(exportValidate).Call(ctx, 4096, 7, 5)
		if err != nil || want[0] != got {
			t.Fatalf("without metering %v, %v; with it %d", want, err, got)
		}
	})
}

// FuzzAnswers: whatever a hook answers is understood or refused in a line.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{`{}`, `{"ok":false}`, `{"errors":[{"message":"x","path":"/a"}],"retry":true}`, `{"message":"x"}`, "\xff", `[]`, `{"errors":null}`} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	l := DefaultLimits()
	f.Fuzz(func(t *testing.T, answer []byte, said bool) {
		for _, kind := range []Kind{Validate, Transform} {
			a := &Answer{}
			bad := a.read(&l, kind, answer, said)
			if bad != nil && (bad.Message == "" || len(bad.Message) > l.MaxMessage+100 || bytes.ContainsAny([]byte(bad.Message), "\n\r\x00")) {
				t.Errorf("%q gives the message %q", answer, bad.Message)
			}
			for _, v := range a.Verdict.Errors {
				if len(v.String()) > 2*l.MaxMessage || bytes.ContainsAny([]byte(v.String()), "\n\r\x00") {
					t.Errorf("%q gives %q", answer, v)
				}
			}
		}
	})
}
