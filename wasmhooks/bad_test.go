package wasmhooks

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
)

// engines are wazero's two: what a hook may do is the same in both.
var engines = map[string]bool{"compiler": false, "interpreter": true}

func openHost(t testing.TB, interpreter bool, change ...func(*Config)) *Host {
	t.Helper()
	cfg := Config{Interpreter: interpreter, Limits: Limits{Memory: 1 << 20, Fuel: 2_000_000, Output: 64 << 10, Input: 64 << 10}}
	for _, c := range change {
		c(&cfg)
	}
	h, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// ask loads a module and makes one call.
func ask(h *Host, module []byte, kind Kind, body string) Answer {
	hash := Hash(module)
	if _, bad := h.load(context.Background(), hash, func() ([]byte, error) { return module, nil }); bad != nil {
		return Answer{Err: bad}
	}
	return h.Call(context.Background(), hash, kind, []byte(`{"v":1}`), []byte(body))
}

func without(export string) func(*wasmModule) {
	return func(m *wasmModule) {
		for i := range m.funcs {
			if m.funcs[i].export == export {
				m.funcs[i].export = ""
			}
		}
	}
}

func sign(export string, params, results []byte, body []byte) func(*wasmModule) {
	return func(m *wasmModule) {
		for i := range m.funcs {
			if m.funcs[i].export == export {
				m.funcs[i].params, m.funcs[i].results, m.funcs[i].body = params, results, body
			}
		}
	}
}

// recursion calls function 2 (validate itself) without end.
var recursion = code(0x20, 0, 0x20, 1, 0x20, 2, 0x10, 2)

// bomb is a chain of functions each of which calls the next one eight times: no
// loop, and more calls than the age of the world has.
func bomb(m *wasmModule) {
	first := len(m.funcs)
	const depth = 40
	for i := range depth {
		body := []byte{0x01}
		if i < depth-1 {
			for range 8 {
				body = append(body, 0x10)
				body = appendU32(body, uint32(first+i+1))
			}
		}
		m.funcs = append(m.funcs, wasmFunc{body: body})
	}
	m.funcs[2].body = code(0x10, appendU32(nil, uint32(first)), i64c(0))
}

// straight is a function without loops, of 60,000 instructions, that a loop of the
// hook calls: one turn of it is no small thing.
func straight(m *wasmModule) {
	body := bytes.Repeat(code(0x20, 0, i32c(3), 0x6c, 0x21, 0), 15_000)
	m.funcs = append(m.funcs, wasmFunc{locals: 1, body: body})
	m.funcs[2].body = code(0x03, 0x40, 0x10, 4, 0x0c, 0, 0x0b, i64c(0))
}

// asks is a hook that calls a function of the host without end, which is function 0
// and leaves a number.
func asks(name string, params []byte, args ...int64) []byte {
	body := code(0x03, 0x40)
	for i, a := range args {
		if params[i] == ti64 {
			body = append(body, i64c(a)...)
		} else {
			body = append(body, i32c(a)...)
		}
	}
	return hook(code(body, 0x10, 0, 0x1a, 0x0c, 0, 0x0b, i64c(0)), func(m *wasmModule) {
		m.imports = []wasmImport{{wasi, name, params, []byte{ti32}}}
	})
}

// TestBadModules goes through what modules do wrong, on purpose or not. Each ends in
// its named error, within its limit, and the next module is not touched by it.
func TestBadModules(t *testing.T) {
	fine := i64c(0)
	two, four := []byte{ti32, ti32}, []byte{ti32, ti32, ti32, ti32}
	big := strings.Repeat("x", 1000)
	data := func(s string) func(*wasmModule) { return func(m *wasmModule) { m.data = s } }
	for name, c := range map[string]struct {
		module []byte
		class  string
		want   string
	}{
		"empty":                {nil, ClassLoad, "the file is empty"},
		"text":                 {[]byte("#!/bin/sh\necho"), ClassLoad, "it is no WebAssembly module"},
		"a component":          {[]byte("\x00asm\x0d\x00\x01\x00"), ClassLoad, "it is a component; build a core module"},
		"another version":      {[]byte("\x00asm\x02\x00\x00\x00"), ClassLoad, "it has version 2 of WebAssembly"},
		"a header alone":       {[]byte(wasmHeader), ClassLoad, `exports no memory under the name "memory"`},
		"cut off":              {hook(fine)[:60], ClassLoad, "it ends in the middle of something"},
		"rubbish sections":     {append([]byte(wasmHeader), 1, 2, 3, 4, 5, 6), ClassLoad, ""},
		"too large":            {append(hook(fine), make([]byte, 9<<20)...), ClassLoad, "at most 8388608 are loaded"},
		"an unknown opcode":    {hook(code(0x06, 0x40)), ClassLoad, "an instruction 0x06 that hooks may not have"},
		"no version":           {hook(fine, without(exportVersion)), ClassLoad, "does not export qarion_abi_version"},
		"no alloc":             {hook(fine, without(exportAlloc)), ClassLoad, "does not export qarion_alloc"},
		"neither hook":         {hook(fine, without(exportValidate), without(exportTransform)), ClassLoad, "exports neither qarion_validate nor qarion_transform"},
		"a wrong signature":    {hook(fine, sign(exportValidate, []byte{ti32}, []byte{ti32}, i32c(0))), ClassLoad, "its export qarion_validate is (i32) -> i32, want (i32, i32, i32) -> i64"},
		"alloc of 64 bits":     {hook(fine, sign(exportAlloc, []byte{ti64}, []byte{ti64}, i64c(0))), ClassLoad, "its export qarion_alloc is (i64) -> i64, want (i32) -> i32"},
		"another interface":    {hook(fine, sign(exportVersion, nil, []byte{ti32}, i32c(2<<16))), ClassLoad, "it speaks version 2.0 of the hook interface, this program 1.0"},
		"no memory":            {hook(fine, func(m *wasmModule) { m.noExport = true }), ClassLoad, `exports no memory under the name "memory"`},
		"too much memory":      {hook(fine, func(m *wasmModule) { m.memory = []byte{0, 32} }), ClassLoad, ""},
		"shared memory":        {hook(fine, func(m *wasmModule) { m.memory = []byte{3, 1, 2} }), ClassLoad, ""},
		"a table of gigabytes": {hook(fine, func(m *wasmModule) { m.tableSize = 1 << 27 }), ClassLoad, "it has a table of 134217728 elements, at most 262144 are allowed"},
		"a table that grows":   {hook(code(0xd0, 0x70, i32c(1<<27), 0xfc, 15, 0, 0x1a, i64c(0)), func(m *wasmModule) { m.tableSize = 10 }), ClassLoad, "its table grows, which hooks may not do"},
		"an unknown import":    {hook(fine, func(m *wasmModule) { m.imports = []wasmImport{{"env", "open", nil, nil}} }), ClassLoad, "it imports env.open, which hooks may not have"},
		"log of a wrong type":  {hook(fine, func(m *wasmModule) { m.imports = []wasmImport{{"qarion", "log", []byte{ti32}, nil}} }), ClassLoad, "it imports qarion.log as (i32), want (i32, i32, i32)"},
		"the counter's name":   {hook(fine, func(m *wasmModule) { m.funcs = append(m.funcs, wasmFunc{export: fuelGlobal}) }), ClassLoad, "it exports \"qarion.fuel\", which is not its to export"},
		"a start that loops":   {hook(fine, func(m *wasmModule) { m.funcs = append(m.funcs, wasmFunc{export: exportStart, body: loopForever[:5]}) }), ClassLoad, "it does not start: it took more than 10000000 steps"},
		"a start that traps":   {hook(fine, func(m *wasmModule) { m.funcs = append(m.funcs, wasmFunc{export: exportStart, body: []byte{0}}) }), ClassLoad, "it does not start: it trapped (unreachable)"},
		"a version that loops": {hook(fine, sign(exportVersion, nil, []byte{ti32}, code(0x03, 0x40, 0x0c, 0, 0x0b, i32c(0)))), ClassLoad, "qarion_abi_version: it took more than 2000000 steps"},
		"a loop":               {hook(loopForever), ClassTimeout, "it took more than 2024000 steps"},
		"calls without a loop": {hook(fine, bomb), ClassTimeout, "it took more than 2024000 steps"},
		"recursion":            {hook(recursion), "", ""},
		"alloc that loops":     {hook(fine, sign(exportAlloc, []byte{ti32}, []byte{ti32}, code(0x03, 0x40, 0x0c, 0, 0x0b, i32c(0)))), ClassTimeout, "steps"},
		"filling memory":       {hook(code(0x03, 0x40, i32c(0), i32c(0), i32c(131072), 0xfc, 11, 0, 0x0c, 0, 0x0b, i64c(0))), ClassTimeout, "steps"},
		"code without a loop":  {hook(fine, straight), ClassTimeout, "it took more than 2024000 steps"},
		"copying memory":       {hook(code(0x03, 0x40, i32c(0), i32c(65536), i32c(65536), 0xfc, 10, 0, 0, 0x0c, 0, 0x0b, i64c(0))), ClassTimeout, "steps"},
		"growing by nothing":   {hook(code(0x03, 0x40, i32c(0), 0x40, 0, 0x1a, 0x0c, 0, 0x0b, i64c(0))), ClassTimeout, "steps"},
		"growing by too much":  {hook(code(0x03, 0x40, i32c(-1), 0x40, 0, 0x1a, 0x0c, 0, 0x0b, i64c(0))), ClassTimeout, "steps"},
		"filling tables":       {hook(code(0x03, 0x40, i32c(0), 0xd0, 0x70, i32c(200000), 0xfc, 17, 0, 0x0c, 0, 0x0b, i64c(0)), func(m *wasmModule) { m.tableSize = 200000 }), ClassTimeout, "steps"},
		"copying tables":       {hook(code(0x03, 0x40, i32c(0), i32c(1), i32c(199999), 0xfc, 14, 0, 0, 0x0c, 0, 0x0b, i64c(0)), func(m *wasmModule) { m.tableSize = 200000 }), ClassTimeout, "steps"},
		"chance without end":   {asks("random_get", two, 0, 131072), ClassTimeout, "steps"},
		"chance, once too much": {hook(code(i32c(0), i32c(1_100_000), 0x10, 0, 0x1a, i64c(0)), func(m *wasmModule) {
			m.memory = []byte{1, 16, 16}
			m.imports = []wasmImport{{wasi, "random_get", two, []byte{ti32}}}
		}), ClassTimeout, "steps"},
		"writing without end":       {asks("fd_write", four, 2, 0, 16384, 8), ClassTimeout, "steps"},
		"writing much at once":      {asks("fd_write", four, 1, 0, 1<<28, 8), ClassTimeout, "steps"},
		"the time without end":      {asks("clock_time_get", []byte{ti32, ti64, ti32}, 0, 0, 8), ClassTimeout, "steps"},
		"yielding without end":      {asks("sched_yield", nil), ClassTimeout, "steps"},
		"waiting without end":       {asks("poll_oneoff", four, 0, 8192, 64, 16384), ClassTimeout, "steps"},
		"waiting for two milliards": {asks("poll_oneoff", four, 0, 8192, 1<<31-1, 16384), ClassTimeout, "steps"},
		"renumbering files":         {asks("fd_renumber", two, 1, 1<<30), ClassTimeout, "steps"},
		"paths without end":         {asks("path_open", []byte{ti32, ti32, ti32, ti32, ti32, ti64, ti64, ti32, ti32}, 3, 0, 0, 131072, 0, 0, 0, 0, 0), ClassTimeout, "steps"},
		"a log without end": {hook(code(0x03, 0x40, i32c(1), i32c(0), i32c(131072), 0x10, 0, 0x0c, 0, 0x0b, i64c(0)), func(m *wasmModule) {
			m.imports = []wasmImport{{"qarion", "log", []byte{ti32, ti32, ti32}, nil}}
		}), ClassTimeout, "steps"},
		"a function too large":      {hook(code(bytes.Repeat(code(0x20, 0, 0x1a), 50_000), i64c(0))), ClassLoad, "bytes of code, at most 131072 are allowed"},
		"loops too deep":            {hook(code(bytes.Repeat(code(0x03, 0x40), 101), bytes.Repeat([]byte{0x0b}, 101), i64c(0))), ClassLoad, "more than 100 loops and conditions lie within one another"},
		"branches too many":         {hook(code(0x02, 0x40, 0x20, 0, 0x0e, appendU32(nil, 5000), make([]byte, 5001), 0x0b, i64c(0))), ClassLoad, "more than 4000 blocks and branches"},
		"variables too many":        {hook(fine, func(m *wasmModule) { m.funcs[2].locals = 20_000 }), ClassLoad, "too many local variables"},
		"a type too large":          {hook(fine, func(m *wasmModule) { m.funcs = append(m.funcs, wasmFunc{params: bytes.Repeat([]byte{ti32}, 200)}) }), ClassLoad, "more than 128 parameters or results"},
		"an end that ends nothing":  {hook(code(0x0b, 0x0b, i64c(0))), ClassLoad, ""},
		"unreachable":               {hook([]byte{0}), ClassTrap, "it trapped (unreachable)"},
		"a division by zero":        {hook(code(i32c(1), i32c(0), 0x6d, 0x1a, i64c(0))), ClassTrap, "integer divide by zero"},
		"outside of its memory":     {hook(code(i32c(-16), 0x28, 0, 0, 0x1a, i64c(0))), ClassTrap, "out of bounds memory access"},
		"an unknown function":       {hook(code(0x20, 0, 0x20, 1, 0x20, 2, i32c(5), 0x11, 2, 0), func(m *wasmModule) { m.tableSize = 10 }), ClassTrap, "invalid table access"},
		"growing until refused":     {hook(code(0x03, 0x40, i32c(1), 0x40, 0, i32c(-1), 0x47, 0x0d, 0, 0x0b, 0x00)), ClassTrap, "its memory is at the limit of 1 MiB"},
		"alloc gives nothing":       {hook(fine, sign(exportAlloc, []byte{ti32}, []byte{ti32}, i32c(0))), ClassProtocol, "qarion_alloc has no room for 12 bytes"},
		"alloc outside":             {hook(fine, sign(exportAlloc, []byte{ti32}, []byte{ti32}, i32c(1<<30))), ClassProtocol, "gave a buffer outside of its memory"},
		"an answer outside":         {hook(answer(1<<30, 10, false)), ClassProtocol, "an answer outside of its memory"},
		"an answer of 2 GiB":        {hook(answer(1024, 1<<31-1, false)), ClassProtocol, "it gave 2147483647 bytes, at most 65536 are taken"},
		"a verdict that is no JSON": {hook(answer(1024, 5, false), data("{oops")), ClassProtocol, "its verdict is no JSON document"},
		"an error that is no JSON":  {hook(answer(1024, 5, true), data("oops!")), ClassProtocol, "its error is no JSON document"},
		"an error document":         {hook(answer(1024, 30, true), data(`{"message":"no key","retry":1}`)), ClassProtocol, "its error is no JSON document"},
		"a refusal":                 {hook(answer(1024, 20, true), data(`{"message":"no key"}`)), ClassError, "no key"},
		"a refusal with nothing":    {hook(answer(1024, 2, true), data(`{}`)), ClassError, "it says that it cannot do its work"},
		"a body too large for it":   {hook(fine), ClassProtocol, "at most 65536 go to a hook"},
		"an abort that colours the screen": {hook(code(i32c(1028), i32c(0), i32c(1), i32c(2), 0x10, 0, i64c(0)), data("\x0c\x00\x00\x00a\x00\n\x00\x1b\x00[\x00\x9b\x00m\x00"), func(m *wasmModule) {
			m.imports = []wasmImport{{"env", "abort", four, nil}}
		}), ClassTrap, "aborted: a  [ m at ?:1:2"},
		"long lines in an error": {hook(answer(1024, 1017, true), data(`{"message":"`+big+"\\n"+`x"}`)), ClassError, "xxx"},
	} {
		for engine, interpreter := range engines {
			t.Run(name+"/"+engine, func(t *testing.T) {
				t.Parallel()
				h := openHost(t, interpreter, func(c *Config) { c.Limits.Wait = 50 * time.Millisecond })
				body := `{"a":`[:5]
				if name == "a body too large for it" {
					body = strings.Repeat("x", 70<<10)
				}
				a := ask(h, c.module, Validate, body)
				if name == "recursion" { // on wazero's stack, or by its fuel
					if a.Err == nil || a.Err.Class != ClassTimeout && !strings.Contains(a.Err.Message, "stack overflow") {
						t.Errorf("got %+v", a.Err)
					}
					return
				}
				if a.Err == nil || a.Err.Class != c.class || !strings.Contains(a.Err.Message, c.want) || strings.ContainsFunc(a.Err.Message, unicode.IsControl) || len(a.Err.Message) > 2000 {
					t.Fatalf("got %+v\nwant %s: %s", a.Err, c.class, c.want)
				}
				if good := ask(h, hook(fine), Validate, "x"); good.Err != nil {
					t.Errorf("another module: %v", good.Err)
				}
			})
		}
	}
}

// TestInstances_AfterAnythingAbnormalAreNew: what a trap has left behind is never
// seen again.
func TestInstances_AfterAnythingAbnormalAreNew(t *testing.T) {
	// It marks its memory and traps; where the mark is there already it says so.
	body := code(i32c(2048), 0x28, 2, 0, 0x04, 0x40, answer(1024, 2, false), 0x0f, 0x0b, i32c(2048), i32c(1), 0x36, 2, 0, 0x00)
	module := hook(body, func(m *wasmModule) { m.data = "no" })
	h := openHost(t, false)
	for range 3 {
		if a := ask(h, module, Transform, "x"); a.Err == nil || a.Err.Class != ClassTrap {
			t.Fatalf("got %+v %q", a.Err, a.Body)
		}
	}
	m, _ := h.loaded(Hash(module))
	if m.made != 0 || h.total.Load() != 0 {
		t.Errorf("%d instances, %d bytes are left", m.made, h.total.Load())
	}
}

// TestBreaker_HoldsAModuleBack: five failures, and it costs nothing any more; the
// others go on.
func TestBreaker_HoldsAModuleBack(t *testing.T) {
	h := openHost(t, false)
	bad, good := hook([]byte{0}), hook(i64c(0))
	for range breakerFailures {
		if a := ask(h, bad, Validate, "x"); a.Err == nil || a.Err.Class != ClassTrap {
			t.Fatalf("got %+v", a.Err)
		}
	}
	if a := ask(h, bad, Validate, "x"); a.Err == nil || a.Err.Class != ClassBusy || !a.Err.Retry {
		t.Errorf("got %+v", a.Err)
	}
	if a := ask(h, good, Validate, "x"); a.Err != nil {
		t.Errorf("another module: %v", a.Err)
	}
}

// TestHostileModule_CostsItsOwnTaskOnly: while a module loops, the garbage collector does
// its work, and another module is called again and again. Both are over long before the
// loop, which takes some ten seconds of a processor; only between its slices can they begin.
func TestHostileModule_CostsItsOwnTaskOnly(t *testing.T) {
	const steps = 20_000_000_000
	h := openHost(t, false)
	good, bad := hook(code(0x03, 0x40, 0x20, 3, i32c(1), 0x6a, 0x22, 3, i32c(10000), 0x48, 0x0d, 0, 0x0b, i64c(0))), hook(loopForever)
	if a := ask(h, good, Validate, "x"); a.Err != nil {
		t.Fatal(a.Err)
	}
	m, err := h.load(t.Context(), Hash(bad), func() ([]byte, error) { return bad, nil })
	if err != nil {
		t.Fatal(err)
	}
	in, err := m.take(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	in.fuel.set(steps)
	ended := make(chan error)
	go func() { ended <- in.validate.CallWithStack(in.ctx, in.stack[:]) }()
	for in.fuel.left() == steps {
		runtime.Gosched()
	}
	under := func(what string) {
		if in.fuel.left() <= 0 {
			t.Errorf("the loop was over before %s", what)
		}
	}
	runtime.GC()
	under("the garbage was collected")
	for range 200 {
		if a := ask(h, good, Validate, "x"); a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	under("200 calls of another module were made")
	for {
		select {
		case err := <-ended:
			if err == nil {
				t.Error("the loop ended well")
			}
			m.put(in, true)
			return
		default:
			in.fuel.reserve.Set(0) // a slice more, and it is over
			runtime.Gosched()
		}
	}
}

// TestPool_IsBoundedAndWaits: no more instances than allowed, and who finds none
// waits his time.
func TestPool_IsBoundedAndWaits(t *testing.T) {
	h := openHost(t, false, func(c *Config) { c.Limits.Instances, c.Limits.Wait = 2, time.Minute })
	module := hook(code(0x03, 0x40, 0x20, 3, i32c(1), 0x6a, 0x22, 3, i32c(100000), 0x48, 0x0d, 0, 0x0b, i64c(0)))
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() {
			if a := ask(h, module, Validate, "x"); a.Err != nil {
				t.Error(a.Err)
			}
		})
	}
	calls.Wait()
	m, _ := h.loaded(Hash(module))
	if m.made > 2 || len(m.free) != m.made {
		t.Errorf("%d instances, %d free", m.made, len(m.free))
	}
	a, _ := m.take(t.Context(), time.Now())
	b, _ := m.take(t.Context(), time.Now())
	m.limits.Wait = time.Millisecond
	if _, bad := m.take(t.Context(), time.Now()); bad == nil || bad.Class != ClassBusy {
		t.Errorf("a third: %+v", bad)
	}
	m.limits.Wait = time.Minute
	got := make(chan *Error)
	go func() {
		in, bad := m.take(context.Background(), time.Now())
		if in != nil {
			m.put(in, false)
		}
		got <- bad
	}()
	m.put(a, true) // it is thrown away, and whoever waits makes another
	if bad := <-got; bad != nil {
		t.Error(bad)
	}
	m.put(b, false)
	if m.made != len(m.free) {
		t.Errorf("%d instances, %d free", m.made, len(m.free))
	}
	h.sweep(time.Now().Add(time.Hour))
	h.sweep(time.Now().Add(time.Hour))
	if _, bad := h.loaded(Hash(module)); h.total.Load() != 0 || bad != nil || len(h.retired) != 0 {
		t.Errorf("%d bytes are left, %d modules", h.total.Load(), len(h.retired))
	}
}
