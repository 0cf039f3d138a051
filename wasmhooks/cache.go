package wasmhooks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// What was compiled is kept in a folder, so that a node starts in milliseconds. It
// is worth nothing that could not be made again: what is damaged there, or cannot be
// written, must not keep a hook from working.

// keepCompiled is how long a compiled module stays in the folder. One that is still
// in use is compiled anew then.
const keepCompiled = 30 * 24 * time.Hour

// compileTime is how long a module may take to be compiled.
const compileTime = time.Minute

var errSlow = fmt.Errorf("it was not compiled within %s", compileTime)

// prepare compiles a metered module in a runtime of its own. When the folder is at
// fault it is emptied, and when that does not help it is left alone.
func (h *Host) prepare(ctx context.Context, m *module, metered []byte) error {
	err := h.compileWith(ctx, m, metered, h.cache)
	if !ofCache(err) {
		return err
	}
	h.log.Warn("what was kept of compiled hooks cannot be used, it is made anew", "folder", h.cfg.Cache, "error", err)
	h.clearCache(func(time.Time) bool { return true })
	m.release()
	if err = h.compileWith(ctx, m, metered, h.cache); !ofCache(err) {
		return err
	}
	h.log.Warn("compiled hooks cannot be kept", "folder", h.cfg.Cache, "error", err)
	m.release()
	return h.compileWith(ctx, m, metered, nil)
}

// ofCache reports whether an error of wazero is one of its folder.
func ofCache(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	return err != nil && (strings.HasPrefix(err.Error(), "compilationcache: ") || errors.As(err, &path) || errors.As(err, &link))
}

func (h *Host) compileWith(ctx context.Context, m *module, metered []byte, cache wazero.CompilationCache) error {
	conf := wazero.NewRuntimeConfigCompiler()
	if h.cfg.Interpreter {
		conf = wazero.NewRuntimeConfigInterpreter()
	}
	if cache != nil {
		conf = conf.WithCompilationCache(cache)
	}
	m.runtime = wazero.NewRuntimeWithConfig(ctx, conf.WithMemoryLimitPages(h.cfg.Limits.Memory/wasmPage).WithCoreFeatures(api.CoreFeaturesV2))
	err := addHost(ctx, m.runtime)
	if err == nil {
		// Several workers look after each function whether there is time left.
		timed, stop := context.WithTimeoutCause(experimental.WithCompilationWorkers(ctx, 2), compileTime, errSlow)
		defer stop()
		m.compiled, err = m.runtime.CompileModule(timed, metered)
	}
	if errors.Is(err, errSlow) || errors.Is(err, context.DeadlineExceeded) {
		return &Error{Class: ClassLoad, Message: errSlow.Error(), Retry: true}
	}
	return err
}

// clearCache removes compiled modules that are to go, by the time they were made.
// What another process reads at the moment it can go on reading.
func (h *Host) clearCache(gone func(made time.Time) bool) {
	if h.cfg.Cache == "" {
		return
	}
	_ = filepath.WalkDir(h.cfg.Cache, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil && gone(info.ModTime()) {
			_ = os.Remove(path)
		}
		return nil
	})
}
