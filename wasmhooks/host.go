package wasmhooks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/qarion/qarion/engine"
)

// Store keeps modules by the hash of their content, for every node, and the names
// under which they were pushed. engine.ErrNotFound: there is none.
type Store interface {
	// Resolve is the hash that a name stands for now.
	Resolve(ctx context.Context, name string) (hash string, err error)
	// Module reads a module; Keep stores one, which may be there already.
	Module(ctx context.Context, hash string) ([]byte, error)
	Keep(ctx context.Context, hash string, module []byte) error
}

// Config is where a host finds modules. A zero field means its default.
type Config struct {
	Dir         string // of module files
	Cache       string // folder for what was compiled, made with 0700; "" keeps it in memory
	Store       Store  // nil: files alone
	Copies      string // folder for copies of the store's modules, made with 0700; "": none are kept
	Limits      Limits
	Interpreter bool // run without compiling: slow, for tests
	unmetered   bool // run without counting steps: for benchmarks alone
	Log         *slog.Logger
}

// Host loads modules and makes calls. It may be used by many goroutines.
type Host struct {
	cfg    Config
	log    *slog.Logger
	cache  wazero.CompilationCache
	copies *copies
	total  atomic.Int64

	loading sync.Mutex // one module is compiled at a time
	mu      sync.Mutex
	byHash  map[string]*module
	retired []*module
	bad     map[string]*Error // why modules could not be loaded, by hash
	stop    chan struct{}
	done    sync.WaitGroup
}

// Open prepares a host. Close ends it.
func Open(cfg Config) (*Host, error) {
	cfg.Limits = cfg.Limits.filled()
	h := &Host{cfg: cfg, log: engine.Logger(cfg.Log), byHash: map[string]*module{}, bad: map[string]*Error{}, stop: make(chan struct{})}
	var err error
	if h.copies, err = openCopies(cfg.Copies, cfg.Limits.Module); err != nil {
		return nil, err
	}
	if cfg.Cache == "" {
		h.cache = wazero.NewCompilationCache()
	} else {
		if err := ownFolder(cfg.Cache); err != nil {
			return nil, fmt.Errorf("make the folder for compiled hooks: %w", err)
		}
		cache, err := wazero.NewCompilationCacheWithDir(cfg.Cache)
		if err != nil {
			return nil, fmt.Errorf("open the folder for compiled hooks: %w", err)
		}
		h.cache = cache
		h.clearCache(func(made time.Time) bool { return time.Since(made) > keepCompiled })
	}
	h.done.Go(h.tidy)
	return h, nil
}

// Close ends every instance. No call may be under way.
func (h *Host) Close() {
	close(h.stop)
	h.done.Wait()
	ctx := context.Background()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.byHash {
		m.close()
		m.release()
	}
	for _, m := range h.retired {
		m.release()
	}
	_ = h.cache.Close(ctx)
}

// keepUnused is how long a module stays that nobody calls, and keepMany how long one does
// while those that are loaded have more than maxUnused bytes: compiled they have four times as many.
const (
	keepUnused = 10 * time.Minute
	keepMany   = time.Minute
	maxUnused  = 64 << 20
)

// tidy closes what nobody uses.
func (h *Host) tidy() {
	tick := time.NewTicker(h.cfg.Limits.Idle / 5)
	defer tick.Stop()
	for {
		select {
		case <-h.stop:
			return
		case now := <-tick.C:
			h.sweep(now)
			h.copies.sweep(now)
		}
	}
}

// byUse are the loaded modules, those first that were not called for longest. h.mu is held.
func (h *Host) byUse() []*module {
	used := map[*module]time.Time{}
	for _, m := range h.byHash {
		m.mu.Lock()
		used[m] = m.used
		m.mu.Unlock()
	}
	return slices.SortedFunc(maps.Keys(used), func(a, b *module) int { return used[a].Compare(used[b]) })
}

// reclaim closes instances that wait for calls while all have too much memory: those of
// the modules first that were not called for longest, such as old versions.
func (h *Host) reclaim() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.byUse() {
		for h.total.Load() > h.cfg.Limits.Total && m.dropFree() {
		}
	}
}

// sweep lets go of modules that nobody calls any more: sooner when there are many of them,
// as when one is replaced again and again.
func (h *Host) sweep(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	loaded := 0
	for _, m := range h.byHash {
		loaded += m.size
	}
	for _, m := range h.byUse() {
		m.idle(now)
		keep := keepUnused
		if loaded > maxUnused {
			keep = keepMany
		}
		if m.unused(now.Add(-keep)) {
			loaded -= m.size
			delete(h.byHash, m.hash)
			m.close()
			h.retired = append(h.retired, m)
		}
	}
	h.retired = slices.DeleteFunc(h.retired, func(m *module) bool {
		gone := m.gone()
		if gone {
			m.release()
		}
		return gone
	})
}

// Hash is the name of a module's content.
func Hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// load returns the loaded module of a content, compiled at most once. A module that
// could not be loaded is not tried again.
func (h *Host) load(ctx context.Context, hash string, content func() ([]byte, error)) (*module, *Error) {
	if m, err := h.loaded(hash); m != nil || err != nil {
		return m, err
	}
	h.loading.Lock()
	defer h.loading.Unlock()
	if m, err := h.loaded(hash); m != nil || err != nil {
		return m, err
	}
	bytes, err := content()
	if err != nil {
		return nil, &Error{Class: ClassLoad, Message: err.Error(), Retry: true}
	}
	m, bad := h.compile(context.WithoutCancel(ctx), hash, bytes)
	h.mu.Lock()
	defer h.mu.Unlock()
	if bad != nil {
		if !bad.Retry && len(h.bad) < 1000 { // it may be better another time
			h.bad[hash] = bad
		}
		return nil, bad
	}
	h.byHash[hash] = m
	return m, nil
}

func (h *Host) loaded(hash string) (*module, *Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byHash[hash], h.bad[hash]
}

// compile meters, compiles and checks a module, and starts a first instance.
func (h *Host) compile(ctx context.Context, hash string, content []byte) (*module, *Error) {
	if len(content) > h.cfg.Limits.Module {
		return nil, loadError("%v", tooLarge(int64(len(content)), h.cfg.Limits.Module))
	}
	metered, err := meter(content, startFuel*h.cfg.Limits.Fuel, h.cfg.unmetered)
	if err != nil {
		return nil, loadError("%v", err)
	}
	m := &module{hash: hash, size: len(content), limits: h.cfg.Limits, total: &h.total, reclaim: h.reclaim, used: time.Now()}
	fail := func(err error) (*module, *Error) {
		m.release()
		var e *Error
		if errors.As(err, &e) {
			return nil, e
		}
		return nil, loadError("%v", cut(err.Error(), 300))
	}
	if err := h.prepare(ctx, m, metered); err != nil {
		return fail(err)
	}
	if err := conforms(m.compiled, &m.limits); err != nil {
		return fail(err)
	}
	m.exports = map[Kind]bool{}
	for _, k := range []Kind{Transform, Validate} {
		m.exports[k] = m.compiled.ExportedFunctions()[k.export()] != nil
	}
	m.made = 1
	first, bad := m.make(ctx)
	if bad != nil {
		return fail(bad)
	}
	m.version = first.version
	if newer := newerVersion(m.version); newer != "" {
		h.log.Warn("a hook is newer than this program", "sha256", hash, "note", newer)
	}
	m.put(first, false)
	return m, nil
}

// Kind is what a hook is asked.
type Kind string

// The kinds of call.
const (
	Validate  Kind = "validate"
	Transform Kind = "transform"
)

// export is the name of the function that a kind calls.
func (k Kind) export() string {
	if k == Validate {
		return exportValidate
	}
	return exportTransform
}

// Info says what a module is, for people.
type Info struct {
	Hash      string   `json:"sha256,omitempty"`
	Size      int      `json:"size"`
	Version   string   `json:"abi_version,omitempty"`
	Exports   []string `json:"exports,omitempty"`
	MemoryKiB int64    `json:"memory_kib,omitempty"` // of a fresh instance
	Note      string   `json:"note,omitempty"`       // what people should know of it
}

// Check loads a module and says what it is. The error is an *Error.
func (h *Host) Check(ctx context.Context, content []byte) (Info, error) {
	hash := Hash(content)
	var m *module
	var in *instance
	bad := errClosed
	for bad == errClosed {
		if m, bad = h.load(ctx, hash, func() ([]byte, error) { return content, nil }); bad == nil {
			in, bad = m.take(ctx, time.Now())
		}
	}
	if bad != nil {
		return Info{}, bad
	}
	defer m.put(in, false)
	info := Info{Hash: hash, Size: len(content), Version: versionText(m.version), MemoryKiB: in.size >> 10, Note: newerVersion(m.version)}
	for _, k := range []Kind{Transform, Validate} {
		if m.exports[k] {
			info.Exports = append(info.Exports, string(k))
		}
	}
	return info, nil
}
