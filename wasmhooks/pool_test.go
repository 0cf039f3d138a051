package wasmhooks

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestLoad_FullMemoryIsNoFaultOfTheModule: who is loaded while the memory for
// hooks is used up is loaded once there is some again.
func TestLoad_FullMemoryIsNoFaultOfTheModule(t *testing.T) {
	module := hook(i64c(0))
	h := openHost(t, false, func(c *Config) { c.Limits.Total = 1 << 20 })
	h.total.Store(1 << 20)
	if a := ask(h, module, Validate, "x"); a.Err == nil || a.Err.Class != ClassBusy || !a.Err.Retry {
		t.Fatalf("with no memory left: %+v", a.Err)
	}
	h.total.Store(0)
	if a := ask(h, module, Validate, "x"); a.Err != nil {
		t.Errorf("with memory again: %v", a.Err)
	}
}

// TestInstances_ThatGiveWhatCannotBeReadGo: an answer that is no document is a
// fault of the module like a trap, and of the instance that gave it.
func TestInstances_ThatGiveWhatCannotBeReadGo(t *testing.T) {
	h := openHost(t, false)
	module := hook(answer(1024, 5, false), func(m *wasmModule) { m.data = "{oops" })
	for i := range breakerFailures {
		if a := ask(h, module, Validate, "x"); a.Err == nil || a.Err.Class != ClassProtocol {
			t.Fatalf("call %d: %+v", i, a.Err)
		}
		if m, _ := h.loaded(Hash(module)); m.made != 0 {
			t.Fatalf("call %d: %d instances are left", i, m.made)
		}
	}
	if a := ask(h, module, Validate, "x"); a.Err == nil || !strings.Contains(a.Err.Message, "held back") {
		t.Errorf("after %d of them: %+v", breakerFailures, a.Err)
	}
}

// TestPrepare_BesideTheSweep: a module may be let go of at any moment, also between
// being found and being asked.
func TestPrepare_BesideTheSweep(t *testing.T) {
	module := hook(i64c(0))
	store := &memoryStore{modules: map[string][]byte{Hash(module): module}}
	h := openHost(t, false, func(c *Config) { c.Store, c.Limits.Wait = store, time.Minute })
	done := make(chan struct{})
	var sweep, work sync.WaitGroup
	sweep.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				h.sweep(time.Now().Add(time.Hour))
			}
		}
	})
	for range 3 {
		work.Go(func() {
			for range 100 {
				if _, err := h.Prepare(t.Context(), Ref{SHA256: Hash(module)}, Validate); err != nil {
					t.Error(err)
				}
				if _, err := h.Check(t.Context(), module); err != nil {
					t.Error(err)
				}
				if a := h.Call(t.Context(), Hash(module), Validate, []byte(`{}`), nil); a.Err != nil {
					t.Error(a.Err)
				}
			}
		})
	}
	work.Wait()
	close(done)
	sweep.Wait()
}

// TestPool_UnderPressure: many modules share room for few instances, and are let go of
// meanwhile. Calls are answered or told that the memory is used up, and at the end every
// byte is accounted for.
func TestPool_UnderPressure(t *testing.T) {
	var modules [][]byte
	store := &memoryStore{modules: map[string][]byte{}}
	for i := range 6 {
		module := hook(i64c(0), func(m *wasmModule) { m.data = fmt.Sprint("module ", i) })
		modules, store.modules[Hash(module)] = append(modules, module), module
	}
	h := openHost(t, false, func(c *Config) {
		c.Store, c.Limits.Total, c.Limits.Instances, c.Limits.Wait = store, 3*128<<10, 2, time.Minute
	})
	var work sync.WaitGroup
	var answered atomic.Int64
	for w := range 4 {
		work.Go(func() {
			for i := range 60 {
				if i%20 == 19 {
					h.sweep(time.Now().Add(time.Hour))
				}
				a := h.Call(context.Background(), Hash(modules[(i*7+w)%len(modules)]), Validate, []byte(`{}`), nil)
				switch {
				case a.Err == nil:
					answered.Add(1)
				case a.Err.Class != ClassBusy || !a.Err.Retry:
					t.Errorf("%s: %v", a.Err.Class, a.Err)
				}
			}
		})
	}
	work.Wait()
	h.sweep(time.Now().Add(time.Hour))
	if h.total.Load() != 0 || len(h.byHash) != 0 || len(h.retired) != 0 {
		t.Errorf("%d bytes, %d modules and %d that are going are left", h.total.Load(), len(h.byHash), len(h.retired))
	}
	if n := answered.Load(); n < 60 {
		t.Errorf("%d of 240 calls were answered", n)
	}
}
