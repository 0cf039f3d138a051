package wasmhooks

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
)

// unreachable is a store that nobody reaches.
type unreachable struct{}

func (unreachable) Resolve(context.Context, string) (string, error) { return "", engine.ErrUnavailable }
func (unreachable) Module(context.Context, string) ([]byte, error)  { return nil, engine.ErrUnavailable }
func (unreachable) Keep(context.Context, string, []byte) error      { return engine.ErrUnavailable }

// TestCopies_StandInForTheStore: a module that was had once is there when the store is
// not, for flows that are pinned to it and for calls.
func TestCopies_StandInForTheStore(t *testing.T) {
	module, dir := hook(i64c(0)), filepath.Join(t.TempDir(), "modules")
	store := &memoryStore{modules: map[string][]byte{Hash(module): module}}
	open := func(s Store) *Host {
		return openHost(t, false, func(c *Config) { c.Store, c.Copies = s, dir })
	}
	if _, err := open(store).Prepare(t.Context(), Ref{SHA256: Hash(module)}, Validate); err != nil {
		t.Fatal(err)
	}
	if _, err := open(unreachable{}).Prepare(t.Context(), Ref{Object: "checks/order", SHA256: Hash(module)}, Validate); err != nil {
		t.Errorf("a flow that is pinned to it: %v", err)
	}
	if a := open(unreachable{}).Call(t.Context(), Hash(module), Validate, []byte(`{}`), nil); a.Err != nil {
		t.Errorf("a call: %v", a.Err)
	}
	if _, err := open(unreachable{}).Prepare(t.Context(), Ref{SHA256: Hash(moody())}, Validate); err == nil {
		t.Error("a module that was never there is")
	}
	if info, err := os.Stat(dir); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info, err)
	}
}

// TestCopies_AreNotTrusted: what is not what its name says is fetched anew, and no name
// leads out of the folder.
func TestCopies_AreNotTrusted(t *testing.T) {
	module, dir := hook(i64c(0)), t.TempDir()
	hash := Hash(module)
	copied := filepath.Join(dir, hash+copySuffix)
	store := &memoryStore{modules: map[string][]byte{hash: module}}
	for name, damage := range map[string]func() error{
		"another module": func() error { return os.WriteFile(copied, hook([]byte{0}), 0o600) },
		"cut off":        func() error { return os.WriteFile(copied, module[:20], 0o600) },
		"empty":          func() error { return os.WriteFile(copied, nil, 0o600) },
		"huge":           func() error { return os.Truncate(copied, 1<<40) },
		"gone":           func() error { return os.Remove(copied) },
	} {
		h := openHost(t, false, func(c *Config) { c.Store, c.Copies = store, dir })
		h.copies.put(hash, module, time.Now())
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if a := h.Call(t.Context(), hash, Validate, []byte(`{}`), nil); a.Err != nil {
			t.Errorf("%s: %v", name, a.Err)
		}
		if have, err := os.ReadFile(copied); err != nil || !bytes.Equal(have, module) {
			t.Errorf("%s: %d bytes, %v: it was not copied anew", name, len(have), err)
		}
	}
	c := &copies{dir, 1 << 20}
	for _, name := range []string{"", "..", "../" + hash, strings.ToUpper(hash), hash[:63] + "/"} {
		if err := c.put(name, module, time.Now()); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("the folder has %v, %v", list, err)
	}
}

// TestCopies_AreBounded: those that were used last stay, and nothing for ever.
func TestCopies_AreBounded(t *testing.T) {
	c, err := openCopies(t.TempDir(), 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	name := func(i int) string { return filepath.Join(c.dir, Hash([]byte{byte(i)})+copySuffix) }
	const size = maxCopies/4 - 1024
	for i := range 6 { // the last was used last
		if err := os.WriteFile(name(i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name(i), size); err != nil {
			t.Fatal(err)
		}
		used := now.Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(name(i), used, used); err != nil {
			t.Fatal(err)
		}
	}
	half := filepath.Join(c.dir, "new-123")
	if err := os.WriteFile(half, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	have := func() (list []bool) {
		for i := range 6 {
			_, err := os.Stat(name(i))
			list = append(list, err == nil)
		}
		_, err := os.Stat(half)
		return append(list, err == nil)
	}
	c.sweep(now)
	if got := have(); got[0] || got[1] || !got[2] || !got[5] || !got[6] {
		t.Errorf("those that are too much: %v", got)
	}
	c.sweep(now.Add(keepCopies - 6*time.Hour))
	if got := have(); got[2] || got[3] || !got[4] || !got[5] || got[6] {
		t.Errorf("those that are old: %v", got)
	}
}
