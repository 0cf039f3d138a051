package guests

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/qarion/qarion/wasmhooks"
)

// calls is how many calls the memory tests make on one instance: short in
// tests, a million with QARION_HOOK_CALLS=1000000 (make soak-hooks).
func calls(t *testing.T) int {
	if s := os.Getenv("QARION_HOOK_CALLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 100 {
			t.Fatalf("QARION_HOOK_CALLS=%s: want a number, at least 100", s)
		}
		return n
	}
	return 5_000
}

// TestMemory_ManyCallsOnOneInstance: the module stays far below its limit and stops
// growing, and the host does not grow after the first tenth of the calls.
func TestMemory_ManyCallsOnOneInstance(t *testing.T) {
	n := calls(t)
	for _, language := range Languages {
		t.Run(language, func(t *testing.T) {
			if _, err := exec.LookPath("go"); language == "go" && err != nil {
				t.Skip("no Go toolchain to build the hooks with")
			}
			for _, hook := range Hooks {
				module, err := Module(t.Context(), language, hook)
				if err != nil {
					t.Fatal(err)
				}
				t.Run(hook, func(t *testing.T) { manyCalls(t, module, memoryRows[hook], n) })
			}
		})
	}
	t.Run("go with encoding/json", func(t *testing.T) {
		if _, err := exec.LookPath("go"); err != nil {
			t.Skip("no Go toolchain to build the hooks with")
		}
		module, err := Build(t.Context(), filepath.Join(Root(), "testdata", "encodingjson"))
		if err != nil {
			t.Fatal(err)
		}
		manyCalls(t, module, memoryRows["unwrap"], n)
	})
}

// TestMemory_GoDecodesLargeBodies: a hook that decodes 1 MB into maps needs more
// than half of its memory for one body, and still lives through many.
func TestMemory_GoDecodesLargeBodies(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no Go toolchain to build the hooks with")
	}
	module, err := Build(t.Context(), filepath.Join(Root(), "testdata", "encodingjson"))
	if err != nil {
		t.Fatal(err)
	}
	// It takes more work than is allowed by default.
	h := startWith(t, module, wasmhooks.Config{Cache: os.Getenv(cacheEnv), Limits: wasmhooks.Limits{Instances: 1, RecycleAt: 1 << 30, Fuel: 4_000_000_000}})
	for i, n := range []int{38_000, 100, 38_000, 20_000, 38_000, 10_000, 38_000} {
		r := row{hook: "check", body: `{"data":` + numbered(n) + `}`}
		if a := h.ask(t, r); a.Err != nil {
			t.Fatalf("call %d, %d KB: %s: %v", i, len(r.body)>>10, a.Err.Class, a.Err)
		}
	}
	t.Logf("module memory %d KB", h.memoryKiB(t, module))
}

// memoryRows are calls over about 1 KB that make each hook work.
var memoryRows = map[string]row{
	"check":  {hook: "check", body: `{"items":` + numbered(40) + `,"n":40}`, config: `{"items":"/items","unique":"id","fields":{"id":"string","qty":"integer"},"count":"/n"}`},
	"unwrap": {hook: "unwrap", body: `{"data":` + numbered(40) + `}`},
	"sign":   {hook: "sign", body: numbered(40), config: `{"secret":"shop.key","kid":"1"}`, secrets: `{"shop.key":"s3cr3t"}`},
}

// mostMemory is what a module may have after any number of calls over 1 KB, in KiB:
// a quarter of the limit that the instance has. A module in Go reaches its size with
// its collections, which are few in a short run: half of a million calls are enough.
const (
	mostMemory = 8 << 10
	settled    = 1_000_000
)

func manyCalls(t *testing.T, module []byte, r row, n int) {
	h := start(t, "compiler", module)
	kind, meta, body := r.kind(), r.meta(), []byte(r.body)
	var sizes []int64 // of the module, at each tenth
	var host uint64
	for i := range n {
		if i%(n/10) == 0 && i > 0 {
			sizes = append(sizes, h.memoryKiB(t, module))
		}
		if i == n/10 {
			host = heapInUse()
		}
		// Sizes and outcomes take turns, so that buffers are made and left.
		b := body
		switch i % 16 {
		case 5:
			b = body[:len(body)-1]
		case 11:
			b = append([]byte{' '}, body...)
		}
		if a := h.host.Call(t.Context(), h.hash, kind, meta, b); a.Err != nil && a.Err.Class != wasmhooks.ClassError {
			t.Fatalf("call %d: %s: %v", i, a.Err.Class, a.Err)
		}
	}
	end := h.memoryKiB(t, module)
	if end > mostMemory {
		t.Errorf("the module has %d KB of memory, want at most %d", end, mostMemory)
	}
	if half := sizes[4]; end > half && n >= settled {
		t.Errorf("the memory of the module grew from %d to %d KB in the second half", half, end)
	}
	if end := heapInUse(); end > host+4<<20 {
		t.Errorf("the host grew from %d to %d KB after the first tenth", host>>10, end>>10)
	}
	t.Logf("%d calls, KB of the module at each tenth: %d", n, append(sizes, end))
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
