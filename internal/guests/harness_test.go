package guests

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// engines are wazero's two.
var engines = map[string]func() wazero.RuntimeConfig{
	"compiler":    wazero.NewRuntimeConfigCompiler,
	"interpreter": wazero.NewRuntimeConfigInterpreter,
}

// instance is one instance of a hook, called as the interface says.
type instance struct {
	mod      api.Module
	ptr, cap uint32
	logs     []string
	close    func()
	stderr   bytes.Buffer
}

// TestMain gives the tests one folder for compiled modules.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "qarion-guests-")
	if err != nil {
		panic(err)
	}
	os.Setenv(cacheEnv, dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

const cacheEnv = "QARION_GUESTS_CACHE"

func start(t testing.TB, config wazero.RuntimeConfig, module []byte) *instance {
	t.Helper()
	if dir := os.Getenv(cacheEnv); dir != "" {
		cache, err := wazero.NewCompilationCacheWithDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		config = config.WithCompilationCache(cache)
	}
	return startCold(t, config, module)
}

// startCold compiles the module anew, unless config has a cache.
func startCold(t testing.TB, config wazero.RuntimeConfig, module []byte) *instance {
	t.Helper()
	ctx := t.Context()
	rt := wazero.NewRuntimeWithConfig(ctx, config.WithMemoryLimitPages(512))
	in := &instance{close: func() { rt.Close(context.WithoutCancel(ctx)) }}
	t.Cleanup(in.close)
	wasi_snapshot_preview1.MustInstantiate(ctx, rt)
	hosts := map[string]wazero.HostModuleBuilder{
		"qarion": rt.NewHostModuleBuilder("qarion").NewFunctionBuilder().WithFunc(func(_ context.Context, m api.Module, level, p, n uint32) {
			line, _ := m.Memory().Read(p, n)
			in.logs = append(in.logs, fmt.Sprintf("%d %s", level, line))
		}).Export("log"),
		"env": rt.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func(_ context.Context, m api.Module, msg, file, line, col uint32) {
			panic(fmt.Errorf("abort at %d:%d", line, col))
		}).Export("abort"),
	}
	for _, h := range hosts {
		if _, err := h.Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	// The collector of Go runs beside the program, and a module has nothing
	// beside: with it, memory is used up before a cycle ends.
	mod, err := rt.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig().WithName("").
		WithStartFunctions("_initialize").WithStderr(&in.stderr).
		WithEnv("GODEBUG", "gcstoptheworld=1").WithEnv("GOMEMLIMIT", "20MiB").
		WithSysWalltime().WithSysNanotime().WithRandSource(rand.Reader))
	if err != nil {
		t.Fatal(err)
	}
	in.mod = mod
	return in
}

// call is one call: nil bytes mean the result 0.
func (in *instance) call(ctx context.Context, export string, meta, body []byte) (out []byte, failed bool, err error) {
	n := uint32(len(meta) + len(body))
	if n > in.cap || in.ptr == 0 {
		res, err := in.mod.ExportedFunction("qarion_alloc").Call(ctx, uint64(n))
		if err != nil {
			return nil, false, err
		}
		if in.ptr, in.cap = uint32(res[0]), n; in.ptr == 0 {
			return nil, false, errors.New("no memory")
		}
	}
	mem := in.mod.Memory()
	if !mem.Write(in.ptr, meta) || !mem.Write(in.ptr+uint32(len(meta)), body) {
		return nil, false, errors.New("the buffer is outside the memory")
	}
	res, err := in.mod.ExportedFunction(export).Call(ctx, uint64(in.ptr), uint64(len(meta)), uint64(len(body)))
	if err != nil {
		return nil, false, fmt.Errorf("%w\n%s", err, in.stderr.Bytes())
	}
	r := res[0]
	if r == 0 {
		return nil, false, nil
	}
	view, ok := mem.Read(uint32(r>>32), uint32(r&0x7fffffff))
	if !ok {
		return nil, false, fmt.Errorf("the result %#x is outside the memory", r)
	}
	return append([]byte{}, view...), r>>31&1 == 1, nil
}
