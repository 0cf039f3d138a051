package wasmhooks

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/guests"
)

// What users of other hosts of WebAssembly plugins have met, played against this
// one. Each test says whose users.

// example is an example hook; those in Go are left out where there is no Go.
func example(t *testing.T, language, hook string) []byte {
	t.Helper()
	if _, err := exec.LookPath("go"); language == "go" && err != nil {
		t.Skip("no Go toolchain to build the hook with")
	}
	module, err := guests.Module(t.Context(), language, hook)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// asShipped are the limits that a node has by default.
func asShipped(c *Config) { c.Limits = Limits{} }

// moody traps over a body that begins with '!', and accepts every other.
func moody() []byte {
	return hook(code(0x20, 0, 0x20, 1, 0x6a, 0x2d, 0, 0, i32c('!'), 0x46, 0x04, 0x40, 0x00, 0x0b, i64c(0)))
}

// TestReports_OneBadInputDoesNotStopTheOthers: in Envoy a plugin that crashed
// once failed for every request after it, or for most.
func TestReports_OneBadInputDoesNotStopTheOthers(t *testing.T) {
	h := openHost(t, false)
	module := moody()
	var calls sync.WaitGroup
	var refused atomic.Int32
	for i := range 500 {
		calls.Go(func() {
			body := "fine"
			if i%10 == 3 {
				body = "!"
			}
			a := ask(h, module, Validate, body)
			switch {
			case body == "!" && (a.Err == nil || a.Err.Class != ClassTrap):
				t.Errorf("call %d: %+v, want a trap", i, a.Err)
			case body != "!" && a.Err != nil:
				refused.Add(1)
			}
		})
	}
	calls.Wait()
	if n := refused.Load(); n > 0 {
		t.Errorf("%d calls over good bodies failed, beside 50 over bad ones", n)
	}
	b, now, chance := &breaker{}, time.Now(), rand.New(rand.NewPCG(1, 2))
	for i := range 100_000 {
		now = now.Add(time.Millisecond)
		if goes, _ := b.admits(now); !goes {
			t.Fatalf("held back after %d calls, of which one in ten failed", i)
		}
		b.learn(now, chance.IntN(10) == 0, false)
	}
}

// TestReports_InstancesOfABurstGo: in Traefik those that a burst had made stayed
// for ever, since nobody closed what a pool let go of.
func TestReports_InstancesOfABurstGo(t *testing.T) {
	h := openHost(t, false, func(c *Config) { c.Limits.Instances, c.Limits.Wait = 40, time.Minute })
	module := example(t, "c", "check")
	m, bad := h.load(t.Context(), Hash(module), func() ([]byte, error) { return module, nil })
	if bad != nil {
		t.Fatal(bad)
	}
	var held []*instance
	for range 40 {
		in, bad := m.take(t.Context(), time.Now())
		if bad != nil {
			t.Fatal(bad)
		}
		held = append(held, in)
	}
	one := held[0].size
	for _, in := range held {
		m.put(in, false)
	}
	if h.total.Load() < 40*one {
		t.Errorf("40 instances of %d bytes count as %d", one, h.total.Load())
	}
	h.sweep(time.Now().Add(h.cfg.Limits.Idle + time.Second))
	if m.made != 1 || h.total.Load() != one {
		t.Errorf("%d instances and %d bytes are left after a while", m.made, h.total.Load())
	}
	for _, in := range held[:39] {
		if !in.mod.IsClosed() {
			t.Fatal("an instance was let go of and not closed")
		}
	}
}

// TestReports_MakingAndClosingLeavesNothing: with Extism, services that made an
// instance for each request grew without end.
func TestReports_MakingAndClosingLeavesNothing(t *testing.T) {
	h := openHost(t, false, func(c *Config) { c.Limits.RecycleAt, c.Limits.Instances = 1, 2 })
	module := example(t, "c", "check")
	var early uint64
	for i := range 3000 {
		if a := ask(h, module, Validate, "[]"); a.Err != nil {
			t.Fatal(a.Err)
		}
		if i == 300 {
			early = heap()
		}
	}
	if late := heap(); late > early+4<<20 {
		t.Errorf("the heap grew from %d to %d KB over 2700 instances", early>>10, late>>10)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// TestReports_AnswersAreNotMixed: a plugin of Extism that many called at once gave
// the answers of others.
func TestReports_AnswersAreNotMixed(t *testing.T) {
	h := openHost(t, false, asShipped, func(c *Config) { c.Limits.Wait = time.Minute })
	for _, language := range guests.Languages {
		module := example(t, language, "unwrap")
		hash := Hash(module)
		if _, err := h.Check(t.Context(), module); err != nil {
			t.Fatal(err)
		}
		var calls sync.WaitGroup
		for i := range 16 {
			calls.Go(func() {
				for j := range 50 {
					want := fmt.Sprintf(`{"of":"%d.%d","fill":"%s"}`, i, j, strings.Repeat("x", i*j))
					a := h.Call(t.Context(), hash, Transform, []byte(`{"v":1,"phase":"response"}`), []byte(`{"data":`+want+`}`))
					if a.Err != nil || string(a.Body) != want {
						t.Errorf("%s: have %.60s %v, want %.60s", language, a.Body, a.Err, want)
						return
					}
				}
			})
		}
		calls.Wait()
	}
}

// TestReports_ModulesComeAndGoUnderLoad: wazero's cache of compiled modules counts
// who uses them, and who closed one while another compiled the same was told that
// his was never compiled.
func TestReports_ModulesComeAndGoUnderLoad(t *testing.T) {
	module := example(t, "c", "check")
	store := &memoryStore{modules: map[string][]byte{Hash(module): module}}
	for _, cache := range []string{"", t.TempDir()} {
		h := openHost(t, false, func(c *Config) { c.Store, c.Cache, c.Limits.Wait = store, cache, time.Minute })
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		var work sync.WaitGroup
		for range 4 {
			work.Go(func() {
				for ctx.Err() == nil {
					a := h.Call(context.WithoutCancel(ctx), Hash(module), Validate, []byte(`{"v":1}`), []byte("[]"))
					if a.Err != nil && !a.Err.Retry {
						t.Errorf("%s: %v", a.Err.Class, a.Err)
						return
					}
				}
			})
		}
		work.Go(func() {
			for ctx.Err() == nil {
				h.sweep(time.Now().Add(time.Hour))
			}
		})
		work.Wait()
		stop()
		h.mu.Lock()
		why := h.bad[Hash(module)]
		h.mu.Unlock()
		if why != nil {
			t.Errorf("a good module is held for bad: %v", why)
		}
	}
}

// memoryStore is a store in memory.
type memoryStore struct{ modules map[string][]byte }

func (s *memoryStore) Resolve(context.Context, string) (string, error) { return "", engine.ErrNotFound }

func (s *memoryStore) Module(_ context.Context, hash string) ([]byte, error) {
	if m := s.modules[hash]; m != nil {
		return m, nil
	}
	return nil, engine.ErrNotFound
}

func (s *memoryStore) Keep(context.Context, string, []byte) error { return nil }

// TestReports_ADamagedCacheIsMadeAnew: in several hosts a cache that was cut off,
// or written by another version, failed every start until somebody deleted it.
func TestReports_ADamagedCacheIsMadeAnew(t *testing.T) {
	module := example(t, "c", "check")
	for name, damage := range map[string]func([]byte) []byte{
		"empty":         func([]byte) []byte { return nil },
		"cut off":       func(b []byte) []byte { return b[:len(b)/2] },
		"garbage":       func([]byte) []byte { return bytes.Repeat([]byte("garbage!"), 1000) },
		"a turned bit":  func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"other version": func(b []byte) []byte { b[8] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			first := openHost(t, false, func(c *Config) { c.Cache = dir })
			if _, err := first.Check(t.Context(), module); err != nil {
				t.Fatal(err)
			}
			if n := damageFiles(t, dir, damage); n == 0 {
				t.Fatal("nothing is in the cache")
			}
			h := openHost(t, false, func(c *Config) { c.Cache = dir })
			if _, err := h.Check(t.Context(), module); err != nil {
				t.Fatal(err)
			}
			if a := ask(h, module, Validate, "[]"); a.Err != nil {
				t.Error(a.Err)
			}
			again := openHost(t, false, func(c *Config) { c.Cache = dir })
			if _, err := again.Check(t.Context(), module); err != nil {
				t.Error("and the next start:", err)
			}
		})
	}
}

func damageFiles(t *testing.T, dir string, damage func([]byte) []byte) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		return os.WriteFile(path, damage(b), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReports_NodesShareACache: with SWC, processes that compiled the same plugin
// at once read what the other had written half.
func TestReports_NodesShareACache(t *testing.T) {
	dir, module := t.TempDir(), example(t, "rust", "check")
	var nodes sync.WaitGroup
	for range 4 {
		nodes.Go(func() {
			h := openHost(t, false, func(c *Config) { c.Cache = dir })
			if _, err := h.Check(context.Background(), module); err != nil {
				t.Error(err)
				return
			}
			if a := h.Call(context.Background(), Hash(module), Validate, []byte(`{"v":1}`), []byte("[]")); a.Err != nil {
				t.Error(a.Err)
			}
		})
	}
	nodes.Wait()
}

// TestReports_TooLittleMemoryIsSaid: a Go plugin in too small a memory ended with a
// trace that named neither the limit nor a way out.
func TestReports_TooLittleMemoryIsSaid(t *testing.T) {
	module := example(t, "go", "check")
	for _, mib := range []uint32{1, 3} {
		h := openHost(t, false, asShipped, func(c *Config) { c.Limits.Memory = mib << 20 })
		_, err := h.Check(t.Context(), module)
		if err == nil {
			if a := ask(h, module, Validate, "["+strings.Repeat("{},", 50_000)+"{}]"); a.Err != nil {
				err = a.Err
			}
		}
		if err == nil || !strings.Contains(err.Error(), "memory") || !strings.Contains(err.Error(), fmt.Sprint(mib)) {
			t.Errorf("%d MiB: %v", mib, err)
		}
	}
}

// TestReports_BodiesUpToTheLimit: proxies crashed or cut bodies that did not fit
// one of their buffers. Here every length up to the limit goes through unharmed, and
// one more is refused by name.
func TestReports_BodiesUpToTheLimit(t *testing.T) {
	h := openHost(t, false, asShipped)
	for _, language := range guests.Languages {
		module := example(t, language, "unwrap")
		if _, err := h.Check(t.Context(), module); err != nil {
			t.Fatal(err)
		}
		limit := h.cfg.Limits.Input
		for _, n := range []int{4095, 4096, 4097, 65_535, 65_536, 65_537, limit - 1, limit, 100, limit + 1} {
			want := `"` + strings.Repeat("x", n-len(`{"data":""}`)) + `"`
			a := h.Call(t.Context(), Hash(module), Transform, []byte(`{"v":1,"phase":"response"}`), []byte(`{"data":`+want+`}`))
			switch {
			case n > limit && (a.Err == nil || a.Err.Class != ClassProtocol || !strings.Contains(a.Err.Message, fmt.Sprint(limit))):
				t.Errorf("%s: %d bytes: %v", language, n, a.Err)
			case n <= limit && (a.Err != nil || string(a.Body) != want):
				t.Errorf("%s: %d bytes: %d bytes, %v", language, n, len(a.Body), a.Err)
			}
		}
	}
}

// TestReports_ReloadsLeaveNothing: in Traefik each reload of the configuration made new
// instances of a plugin, and those of the versions before were never freed. Here they make
// room when they are in the way, and are gone after a while.
func TestReports_ReloadsLeaveNothing(t *testing.T) {
	version := func(i int) []byte {
		return hook(code(bytes.Repeat(code(0x20, 0, 0x1a), 5000), i64c(0)), func(m *wasmModule) { m.data = fmt.Sprint("version ", i) })
	}
	h := openHost(t, false, func(c *Config) { c.Limits.Total = 3 * 128 << 10 }) // of three instances
	first := version(0)
	var early uint64
	for i := range 300 {
		if a := ask(h, version(i), Validate, "x"); a.Err != nil {
			t.Fatalf("version %d: %v", i, a.Err)
		}
		if have := h.total.Load(); have > h.cfg.Limits.Total {
			t.Fatalf("version %d: %d bytes, at most %d are allowed", i, have, h.cfg.Limits.Total)
		}
		if i == 10 { // there is no room for as many instances
			if a := ask(h, first, Validate, "x"); a.Err != nil {
				t.Errorf("the first version again: %v", a.Err)
			}
		}
		if i%20 == 19 {
			h.sweep(time.Now().Add(time.Hour))
			if len(h.byHash) != 0 || len(h.retired) != 0 || h.total.Load() != 0 {
				t.Fatalf("%d modules, %d that are going, %d bytes are left", len(h.byHash), len(h.retired), h.total.Load())
			}
		}
		if i == 59 {
			early = allocated()
		}
	}
	late := allocated()
	for range 20 { // what has a finalizer goes with a later collection
		if late = allocated(); late < early+1<<20 {
			break
		}
	}
	t.Logf("%d KB, then %d KB", early>>10, late>>10)
	if late >= early+1<<20 {
		t.Errorf("the heap grew from %d to %d KB over 240 versions", early>>10, late>>10)
	}
}

func allocated() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestReports_InstancesInUseStay: what makes room for one module takes nothing from a
// call of another.
func TestReports_InstancesInUseStay(t *testing.T) {
	h := openHost(t, false, func(c *Config) { c.Limits.Total, c.Limits.Instances = 2*128<<10, 8 })
	module := hook(i64c(0))
	m, bad := h.load(t.Context(), Hash(module), func() ([]byte, error) { return module, nil })
	if bad != nil {
		t.Fatal(bad)
	}
	var held []*instance
	for range 2 {
		in, bad := m.take(t.Context(), time.Now())
		if bad != nil {
			t.Fatal(bad)
		}
		held = append(held, in)
	}
	if a := ask(h, moody(), Validate, "x"); a.Err == nil || a.Err.Class != ClassBusy || a.Err.Message != "the memory for hooks is used up" {
		t.Errorf("with all memory in use: %+v", a.Err)
	}
	for _, in := range held {
		if out, _, _, bad := in.call(m, in.validate, []byte("{}"), nil); bad != nil || out != nil {
			t.Errorf("a call that had its instance before: %v", bad)
		}
		m.put(in, false)
	}
	if a := ask(h, moody(), Validate, "x"); a.Err != nil {
		t.Errorf("with room again: %v", a.Err)
	}
}

// TestReports_ManyVersionsGoSooner: while many megabytes of modules are loaded, those that
// were not called for longest do not stay their ten minutes, and those that are called stay.
func TestReports_ManyVersionsGoSooner(t *testing.T) {
	h := openHost(t, false, func(c *Config) { c.Limits.Total = 1 << 30 })
	const size, versions = 4 << 20, 24
	var hashes []string
	for i := range versions {
		module := hook(i64c(0))
		module = append(module, 0) // a section that says nothing
		module = append(appendU32(module, size), byte(1), 'x')
		module = append(module, bytes.Repeat([]byte{byte(i)}, size-2)...)
		if a := ask(h, module, Validate, "x"); a.Err != nil {
			t.Fatal(a.Err)
		}
		hashes = append(hashes, Hash(module))
		m, _ := h.loaded(hashes[i])
		m.used = time.Now().Add(time.Duration(i-versions) * 10 * time.Second) // the last was called last
	}
	h.sweep(time.Now())
	for i, hash := range hashes {
		m, _ := h.loaded(hash)
		// 64 MiB stay: the newest 15 of a little more than 4 MiB each.
		if want := i >= versions-15; (m != nil) != want {
			t.Errorf("version %d is loaded: %v", i, m != nil)
		}
	}
	h.sweep(time.Now().Add(2 * time.Minute))
	if n := len(h.byHash); n != 15 {
		t.Errorf("%d are left though there is room", n)
	}
}
