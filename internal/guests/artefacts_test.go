package guests

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// manifest is what examples/hooks/built/MANIFEST says, or one like it.
type manifest struct {
	tools map[string]string // by language
	sums  map[string]string // by file
}

func readManifest(t *testing.T, dir string) manifest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
	if err != nil {
		t.Fatal(err)
	}
	m := manifest{map[string]string{}, map[string]string{}}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if comment, ok := strings.CutPrefix(line, "# "); ok {
			if language, tool, ok := strings.Cut(comment, ": "); ok && !strings.Contains(language, " ") {
				m.tools[language] = tool
			}
			continue
		}
		sum, file, ok := strings.Cut(line, "  ")
		if !ok {
			t.Fatalf("MANIFEST: %q", line)
		}
		m.sums[file] = sum
	}
	return m
}

// TestArtefacts_AreWhatTheManifestSays: every checked-in module is listed with
// its hash, every listed one is there, and all are small.
func TestArtefacts_AreWhatTheManifestSays(t *testing.T) {
	dir := filepath.Join(Root(), "built")
	m := readManifest(t, dir)
	for _, language := range Languages[1:] {
		if m.tools[language] == "" {
			t.Errorf("the MANIFEST does not say what %s was built with", language)
		}
		for _, hook := range Hooks {
			file := language + "/" + hook + ".wasm"
			if m.sums[file] == "" {
				t.Errorf("%s is not in the MANIFEST", file)
			}
		}
	}
	for file, want := range m.sums {
		module, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Error(err)
			continue
		}
		if sum := sha256.Sum256(module); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is not what the MANIFEST says: run examples/hooks/build.sh", file)
		}
		if len(module) > 64<<10 {
			t.Errorf("%s has %d bytes: too large to check in", file, len(module))
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(files) != len(m.sums) {
		t.Errorf("%d files in built, %d in the MANIFEST, %v", len(files), len(m.sums), err)
	}
}

// TestArtefacts_OfTheDemoAreTheSame: what the example flows use is what was built.
func TestArtefacts_OfTheDemoAreTheSame(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(Root(), "..", "..", "flows", "hooks", "*.wasm"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the hooks of the example flows: %v, %v", files, err)
	}
	for _, file := range files {
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(Root(), "built", "c", filepath.Base(file)))
		if err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s is not the one in built/c: run examples/hooks/build.sh (%v)", filepath.Base(file), err)
		}
	}
}

// TestArtefacts_AreBuiltFromTheirSources: built anew they are the same, byte
// for byte where the tools are of the same version, by the conformance table
// where they are not.
func TestArtefacts_AreBuiltFromTheirSources(t *testing.T) {
	script := filepath.Join(Root(), "build.sh")
	kept := readManifest(t, filepath.Join(Root(), "built"))
	for _, language := range Languages[1:] {
		t.Run(language, func(t *testing.T) {
			if text, err := exec.Command("bash", script, "-c", language).CombinedOutput(); err != nil {
				t.Skipf("not built: %s", text)
			}
			dir := t.TempDir()
			if text, err := exec.Command("bash", script, "-o", dir, language).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			built := readManifest(t, dir)
			same := built.tools[language] == kept.tools[language]
			for file, sum := range built.sums {
				if same && sum != kept.sums[file] {
					t.Errorf("%s differs, with the same tools (%s): run examples/hooks/build.sh", file, built.tools[language])
				}
			}
			if !same {
				t.Logf("%s here, %s in the MANIFEST: compared by what they do", built.tools[language], kept.tools[language])
				conform(t, "compiler", func(hook string) ([]byte, error) {
					return os.ReadFile(filepath.Join(dir, language, hook+".wasm"))
				})
			}
		})
	}
}

// TestHookguest_PassesItsOwnTests: the guest package is a module of its own, so
// the tests of this one do not reach it.
func TestHookguest_PassesItsOwnTests(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no Go toolchain")
	}
	for _, line := range [][]string{
		{"go", "vet", "./..."},
		{"go", "test", "./..."},
		{"env", "GOOS=wasip1", "GOARCH=wasm", "go", "vet", "./..."},
	} {
		cmd := exec.Command(line[0], line[1:]...)
		cmd.Dir = Root()
		cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", line, err, text)
		}
	}
	mod, err := os.ReadFile(filepath.Join(Root(), "go.mod"))
	if err != nil || bytes.Contains(mod, []byte("require")) {
		t.Errorf("hooks in Go need nothing but the standard library: %s %v", mod, err)
	}
}
