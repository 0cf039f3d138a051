package wasmhooks

import (
	"runtime"
	"testing"

	"github.com/tetratelabs/wazero"
)

// TestMeter_LetsGoWork: the garbage of everybody else is collected many times while one
// call of a module loops. Compiled code does not stop for that by itself.
func TestMeter_LetsGoWork(t *testing.T) {
	module := hook(loopForever)
	h := openHost(t, false, func(c *Config) { c.Limits.Fuel = 2_000_000_000 })
	if _, err := h.Check(t.Context(), module); err != nil {
		t.Fatal(err)
	}
	ended := make(chan *Error, 1)
	go func() { ended <- h.Call(t.Context(), Hash(module), Validate, []byte("{}"), nil).Err }()
	for collections := 0; ; collections++ {
		select {
		case err := <-ended:
			if err == nil || err.Class != ClassTimeout {
				t.Error(err)
			}
			if collections < 10 {
				t.Errorf("%d collections while a module looped", collections)
			}
			t.Logf("%d collections", collections)
			return
		default:
			runtime.GC()
		}
	}
}

// TestMeter_EveryWayOutPays: what a function has counted stands in the counter of the
// module whichever way it is left, and whatever it called before.
func TestMeter_EveryWayOutPays(t *testing.T) {
	const calls, work = 1000, 200
	var busy []byte // 200 steps, none of them in a loop
	for range work / 2 {
		busy = append(busy, code(i32c(1), 0x1a)...)
	}
	block, end := code(0x02, 0x40), 0x0b
	ifZero := code(0x20, 0, 0x45, 0x04, 0x40) // local.get, i32.eqz, if
	other := code(0x10, 5)                    // call of a function that costs little
	ways := map[string][]byte{
		"its end":                           busy,
		"return":                            code(busy, 0x0f),
		"br":                                code(busy, 0x0c, 0),
		"br out of a block":                 code(block, busy, 0x0c, 1, end),
		"br_if out of a block":              code(block, busy, i32c(1), 0x0d, 1, end),
		"br_if that is not taken":           code(block, busy, i32c(0), 0x0d, 1, end),
		"br_table":                          code(block, busy, i32c(0), 0x0e, 1, 1, 0, end),
		"br_table, by its default":          code(block, busy, i32c(9), 0x0e, 1, 0, 1, end),
		"return behind a call":              code(other, busy, 0x0f),
		"a call behind the work":            code(busy, other),
		"return out of if":                  code(busy, ifZero, 0x0f, end),
		"return out of else":                code(busy, ifZero, 0x05, 0x0f, end),
		"an else beside a call":             code(busy, ifZero, other, 0x05, end),
		"a call in else":                    code(busy, ifZero, 0x05, other, end),
		"an if that is not taken, a call":   code(busy, 0x20, 0, 0x04, 0x40, other, end),
		"work in the arm that has no call":  code(ifZero, busy, 0x05, other, end),
		"a return in the arm beside a call": code(0x20, 0, 0x04, 0x40, other, 0x05, busy, 0x0f, end),
		"a loop":                            code(0x03, 0x40, busy, end),
		"return out of a loop":              code(0x03, 0x40, busy, 0x0f, end),
		"what is moved":                     code(i32c(0), i32c(0), i32c(8*work), 0xfc, 11, 0), // memory.fill
	}
	// The function counts its calls in local 1 and asks the way with 0.
	turns := code(0x03, 0x40, i32c(0), 0x10, 4, 0x20, 3, i32c(1), 0x6a, 0x22, 3, i32c(calls), 0x48, 0x0d, 0, 0x0b, i64c(0))
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			module := hook(turns, func(m *wasmModule) {
				m.funcs = append(m.funcs, wasmFunc{params: []byte{ti32}, locals: 1, body: way}, wasmFunc{body: code(0x01)})
			})
			metered, err := meter(module, 1000, false)
			if err != nil {
				t.Fatal(err)
			}
			for engine, conf := range map[string]wazero.RuntimeConfig{"compiler": wazero.NewRuntimeConfigCompiler(), "interpreter": wazero.NewRuntimeConfigInterpreter()} {
				rt := wazero.NewRuntimeWithConfig(t.Context(), conf)
				defer rt.Close(t.Context())
				mod, err := rt.Instantiate(t.Context(), metered)
				if err != nil {
					t.Fatal(err)
				}
				const given = 10_000_000
				fuel := fuelOf(mod)
				fuel.set(given)
				if _, err := mod.ExportedFunction(exportValidate).Call(t.Context(), 0, 0, 0); err != nil {
					t.Fatal(err)
				}
				if used := given - fuel.left(); used < calls*work || used > calls*2*work {
					t.Errorf("%s: %d calls of %d steps have used %d", engine, calls, work, used)
				}
				fuel.set(calls * work / 2)
				if _, err := mod.ExportedFunction(exportValidate).Call(t.Context(), 0, 0, 0); err == nil {
					t.Errorf("%s: half of the steps are enough", engine)
				}
				if !fuel.exhausted() {
					t.Errorf("%s: what has stopped has %d steps left", engine, fuel.left())
				}
			}
		})
	}
}
