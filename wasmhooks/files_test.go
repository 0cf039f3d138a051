package wasmhooks

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFiles_StayInTheirFolder: no path and no link leads out of it.
func TestFiles_StayInTheirFolder(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string][]byte{"hooks/in/a.wasm": hook(i64c(0)), "out.wasm": hook(i64c(0)), "hooks/b.wasm": hook([]byte{0})} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "out.wasm"), filepath.Join(dir, "hooks", "link.wasm")); err != nil {
		t.Skip(err)
	}
	h := openHost(t, false, func(c *Config) { c.Dir = filepath.Join(dir, "hooks") })
	if hash, err := h.Prepare(t.Context(), Ref{File: "in/a.wasm"}, Validate); err != nil || hash != Hash(hook(i64c(0))) {
		t.Errorf("%s, %v", hash, err)
	}
	for name, want := range map[string]string{
		"../out.wasm": "no path and no link leads out of it", "link.wasm": "no path and no link leads out of it", "in": "it is no regular file", "/etc/passwd": "no path and no link leads out of it",
		"none.wasm": "there is no none.wasm in the folder of hooks", "in/../../out.wasm": "no path and no link leads out of it",
	} {
		_, err := h.Prepare(t.Context(), Ref{File: name}, Validate)
		var e *Error
		if !errors.As(err, &e) || e.Class != ClassLoad || !strings.Contains(e.Message, want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	if _, err := h.Prepare(t.Context(), Ref{File: "b.wasm", SHA256: Hash(hook(i64c(0)))}, Validate); err != nil {
		t.Errorf("what is loaded under that hash counts: %v", err)
	}
	if _, err := h.Prepare(t.Context(), Ref{File: "b.wasm", SHA256: strings.Repeat("a", 64)}, Validate); err == nil || !strings.Contains(err.Error(), "the flow wants aaaa") {
		t.Errorf("another hash: %v", err)
	}
}

// TestFiles_AreRegularAndBounded: a device or a folder that is called like a module is
// refused before it is read, and so is a file that is too large.
func TestFiles_AreRegularAndBounded(t *testing.T) {
	dir := t.TempDir()
	h := openHost(t, false, func(c *Config) { c.Dir = dir })
	if err := os.Mkdir(filepath.Join(dir, "folder.wasm"), 0o700); err != nil {
		t.Fatal(err)
	}
	huge, err := os.Create(filepath.Join(dir, "huge.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	defer huge.Close()
	if err := huge.Truncate(int64(h.cfg.Limits.Module) + 1); err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{"folder.wasm": "it is no regular file", "huge.wasm": "it has 8388609 bytes, at most 8388608 are loaded"}
	if os.DevNull == "/dev/null" {
		if err := os.Symlink(os.DevNull, filepath.Join(dir, "null.wasm")); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(filepath.Join(dir, "null.wasm"), Limits{}); err == nil || !strings.HasSuffix(err.Error(), "null.wasm: it is no regular file") {
			t.Errorf("a device: %v", err)
		}
	}
	for name, want := range bad {
		if _, err := h.File(name); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if _, err := ReadFile(filepath.Join(dir, name), Limits{}); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}
