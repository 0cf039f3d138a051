package guests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmes_BuildLinesWork runs the lines of each language's README as they
// stand, in a copy of the folder, and looks at what they leave.
func TestReadmes_BuildLinesWork(t *testing.T) {
	for _, language := range Languages {
		t.Run(language, func(t *testing.T) {
			if language == "go" {
				if _, err := exec.LookPath("go"); err != nil {
					t.Skip("no Go toolchain")
				}
			} else if text, err := exec.Command("bash", filepath.Join(Root(), "build.sh"), "-c", language).CombinedOutput(); err != nil {
				t.Skipf("not built: %s", text)
			}
			readme, err := os.ReadFile(filepath.Join(Root(), language, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			script := "set -euo pipefail\n"
			for _, b := range block.FindAllStringSubmatch(string(readme), -1) {
				switch {
				case b[1] == "toml":
					name, _, _ := strings.Cut(strings.TrimPrefix(b[2], "# "), "\n")
					script += "cat > " + name + " <<'END_OF_FILE'\n" + b[2] + "END_OF_FILE\n"
				case strings.HasPrefix(b[2], "cargo ") && !works("cargo", "--version"):
					t.Log("no cargo: its lines are left out")
				default:
					script += strings.ReplaceAll(b[2], "npm ci\n", "")
				}
			}
			dir := copyFor(t, language)
			cmd := exec.Command("bash", "-c", script)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "PATH="+searchPath())
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s%v\n%s", script, err, text)
			}
			module, err := os.ReadFile(filepath.Join(dir, "check.wasm"))
			if err != nil {
				t.Fatalf("%s%v", script, err)
			}
			in := start(t, "compiler", module)
			for _, r := range table[:8] {
				r.check(t, in, "compiler")
			}
		})
	}
}

// copyFor copies examples/hooks, so that nothing is built into the repository,
// and returns the folder that a README's lines are for.
func copyFor(t *testing.T, language string) string {
	t.Helper()
	dir := t.TempDir()
	for _, part := range []string{"go.mod", "hookguest", language} {
		copyTree(t, filepath.Join(Root(), part), filepath.Join(dir, part))
	}
	switch language {
	case "go":
		return filepath.Join(dir, "go", "check")
	case "assemblyscript":
		if err := os.Symlink(filepath.Join(Root(), language, "node_modules"), filepath.Join(dir, language, "node_modules")); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, language)
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		target := to + strings.TrimPrefix(path, from)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func works(name string, args ...string) bool { return exec.Command(name, args...).Run() == nil }

// searchPath is the PATH to build with: Debian's rustc comes first when another
// one without the target hides it.
func searchPath() string {
	path := os.Getenv("PATH")
	libs, err := exec.Command("rustc", "--print", "target-libdir", "--target", "wasm32-unknown-unknown").Output()
	if err == nil {
		if _, err = os.Stat(strings.TrimSpace(string(libs))); err != nil {
			return "/usr/bin" + string(os.PathListSeparator) + path
		}
	}
	return path
}
