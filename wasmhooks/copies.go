package wasmhooks

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// copies are the modules of the store that a node has on its own disk, by hash: it starts
// with them when the store has lost one, or cannot be reached. Nothing is trusted there:
// each is held against its hash when it is read.
type copies struct {
	dir   string // "": there are none
	limit int    // bytes of a module
}

const (
	maxCopies  = 128 << 20 // bytes of all of them; those that were used last stay
	keepCopies = 30 * 24 * time.Hour
	copySuffix = ".wasm"
)

var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// openCopies makes the folder, for its owner alone.
func openCopies(dir string, limit int) (*copies, error) {
	if dir != "" {
		if err := ownFolder(dir); err != nil {
			return nil, fmt.Errorf("make the folder for copies of hooks: %w", err)
		}
	}
	return &copies{dir, limit}, nil
}

func (c *copies) path(hash string) (path string, ok bool) {
	return filepath.Join(c.dir, hash+copySuffix), c.dir != "" && hashPattern.MatchString(hash)
}

// get reads a module; nil: it is not there, or is something else, and then it goes.
func (c *copies) get(hash string, now time.Time) []byte {
	path, ok := c.path(hash)
	if !ok {
		return nil
	}
	content, err := ReadFile(path, Limits{Module: c.limit})
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil || Hash(content) != hash:
		_ = os.Remove(path)
		return nil
	}
	_ = os.Chtimes(path, now, now) // it is used
	return content
}

// put keeps a module, and makes room for it.
func (c *copies) put(hash string, content []byte, now time.Time) error {
	path, ok := c.path(hash)
	if !ok {
		return nil
	}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() == int64(len(content)) {
		return os.Chtimes(path, now, now)
	}
	f, err := os.CreateTemp(c.dir, "new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	c.sweep(now)
	return nil
}

// sweep removes what was not used for long, what is too much, and what a process has left
// that died while it wrote.
func (c *copies) sweep(now time.Time) {
	if c.dir == "" {
		return
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	type copied struct {
		path string
		size int64
		used time.Time
	}
	var all []copied
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		one := copied{filepath.Join(c.dir, e.Name()), info.Size(), info.ModTime()}
		age, keep := now.Sub(one.used), keepCopies
		if !strings.HasSuffix(e.Name(), copySuffix) {
			keep = time.Hour
		}
		if age > keep {
			_ = os.Remove(one.path)
			continue
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b copied) int { return cmp.Compare(b.used.UnixNano(), a.used.UnixNano()) })
	var sum int64
	for _, one := range all {
		if sum += one.size; sum > maxCopies {
			_ = os.Remove(one.path)
		}
	}
}
