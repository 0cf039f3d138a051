package wasmhooks

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// File reads a module below the hooks folder. No path and no link leads out of it.
func (h *Host) File(name string) ([]byte, error) {
	if h.cfg.Dir == "" {
		return nil, errors.New("there is no folder of hooks")
	}
	root, err := os.OpenRoot(h.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("the folder of hooks %s cannot be opened", h.cfg.Dir)
	}
	defer root.Close()
	if _, err := root.Stat(filepath.FromSlash(name)); errors.Is(err, os.ErrNotExist) { // the folder's own name may stand before it
		if rest, ok := strings.CutPrefix(filepath.ToSlash(name), filepath.Base(h.cfg.Dir)+"/"); ok {
			name = rest
		}
	}
	path := filepath.FromSlash(name)
	info, err := root.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("there is no %s in the folder of hooks %s", name, h.cfg.Dir)
	case err != nil:
		return nil, fmt.Errorf("%s cannot be read in the folder of hooks %s (no path and no link leads out of it)", name, h.cfg.Dir)
	}
	return readModule(info, h.cfg.Limits.Module, func() (*os.File, error) { return root.Open(path) })
}

// ReadFile reads a module wherever it lies. A zero limit means its default.
func ReadFile(path string, limits Limits) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	content, err := readModule(info, limits.filled().Module, func() (*os.File, error) { return os.Open(path) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return content, nil
}

// readModule reads a regular file of at most limit bytes: nothing else is a module, and
// a pipe or a device may never come to its end.
func readModule(info os.FileInfo, limit int, open func() (*os.File, error)) ([]byte, error) {
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	case info.Size() > int64(limit):
		return nil, tooLarge(info.Size(), limit)
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err == nil && len(content) > limit { // it grows
		err = tooLarge(int64(len(content)), limit)
	}
	return content, err
}

// ownFolder makes a folder that nobody else may open, also when it was there: what is
// compiled in it is run.
func ownFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}

func tooLarge(size int64, limit int) error {
	return fmt.Errorf("it has %d bytes, at most %d are loaded", size, limit)
}
