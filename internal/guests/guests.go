// Package guests knows the example hooks in examples/hooks: it finds the
// checked-in modules and builds those that are written in Go. It is there for
// tests and benchmarks.
package guests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// Hooks are the example hooks; every language has each of them.
var Hooks = []string{"check", "unwrap", "sign"}

// Languages are the folders of examples/hooks that hold hooks. Modules in Go
// are built by those who need them, the others are checked in.
var Languages = []string{"go", "c", "rust", "assemblyscript"}

// Root is the folder examples/hooks.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "examples", "hooks")
}

// Module returns the bytes of a hook in a language.
func Module(ctx context.Context, language, hook string) ([]byte, error) {
	if language == "go" {
		return buildOnce(ctx, filepath.Join(Root(), "go", hook))
	}
	return os.ReadFile(filepath.Join(Root(), "built", language, hook+".wasm"))
}

var (
	buildMu sync.Mutex
	builds  = map[string]*build{}
)

type build struct {
	once   sync.Once
	module []byte
	err    error
}

// buildOnce builds a folder once per process.
func buildOnce(ctx context.Context, dir string) ([]byte, error) {
	buildMu.Lock()
	b := builds[dir]
	if b == nil {
		b = new(build)
		builds[dir] = b
	}
	buildMu.Unlock()
	b.once.Do(func() { b.module, b.err = Build(ctx, dir) })
	return b.module, b.err
}

// Build builds the Go hook in a folder, with the line that the documentation
// has.
func Build(ctx context.Context, dir string) ([]byte, error) {
	out, err := os.MkdirTemp("", "qarion-hook-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	file := filepath.Join(out, "hook.wasm")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=-mod=mod", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the hook in %s: %w\n%s", dir, err, text)
	}
	return os.ReadFile(file)
}
