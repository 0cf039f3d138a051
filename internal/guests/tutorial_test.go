package guests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// toolOf says what a part of the tutorial needs besides Go, by the word that
// its heading ends with.
var toolOf = map[string]string{"C": "c", "Rust": "rust", "AssemblyScript": "assemblyscript"}

// TestTutorial_WorksWhenPasted goes through docs/hooks.md as a newcomer does:
// files are written where their first line says, commands run in one shell, from
// the top to the bottom, and each hook then does what the page says. A part
// whose tools are not here is left out, and the test is skipped in its name.
func TestTutorial_WorksWhenPasted(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no Go toolchain")
	}
	page, err := os.ReadFile(filepath.Join(Root(), "..", "..", "docs", "hooks.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	modules := 0
	for _, part := range strings.Split(string(page), "\n## ")[1:] {
		title, text, _ := strings.Cut(part, "\n")
		t.Run(title, func(t *testing.T) {
			language := toolOf[title[strings.LastIndexByte(title, ' ')+1:]]
			if language != "" {
				if why, err := exec.Command("bash", filepath.Join(Root(), "build.sh"), "-c", language).CombinedOutput(); err != nil {
					t.Skipf("%s", why)
				}
			}
			if paste(t, dir, text) {
				modules++
			}
		})
	}
	if modules == 0 {
		t.Error("the page leaves no module")
	}
}

// block is a block of the page, with the language it is in.
var block = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// paste does what a part of the page says, and calls the module that it leaves.
func paste(t *testing.T, dir, text string) bool {
	script := "set -euo pipefail\ncd " + filepath.Dir(filepath.Dir(Root())) + "\nexport HOOKS=\"$PWD/examples/hooks\"\n"
	folder := ""
	for _, b := range block.FindAllStringSubmatch(text, -1) {
		switch b[1] {
		case "sh":
			script += b[2]
		case "go", "c", "rust", "ts":
			name, _, _ := strings.Cut(strings.TrimPrefix(b[2], "// "), "\n")
			folder = filepath.Dir(name)
			script += "cat > " + filepath.Base(name) + " <<'END_OF_FILE'\n" + b[2] + "END_OF_FILE\n"
		}
	}
	if folder == "" {
		return false
	}
	// Folders beside the sources are folders in dir.
	script = regexp.MustCompile(`mkdir -p (?:\.\./)?(\w+) && cd (?:\.\./)?(\w+)`).ReplaceAllString(script, "mkdir -p "+dir+"/$1 && cd "+dir+"/$1")
	cmd := exec.Command("bash", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+searchPath(), "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s\n%v\n%s", script, err, text)
	}
	module, err := os.ReadFile(filepath.Join(dir, folder, "plenty.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	in := start(t, "compiler", module)
	for _, r := range plenty {
		t.Run(r.name, func(t *testing.T) { r.check(t, in, "compiler") })
	}
	return true
}

const stock = `{"status":"success","data":{"items":[{"sku":"A-17","qty":41},{"sku":"B-2","qty":7}]}}`

var plenty = []row{
	{name: "enough", hook: "check", body: stock},
	{name: "just enough", hook: "check", body: stock, config: `{"least":48}`},
	{name: "not enough", hook: "check", body: stock, config: `{"least":50}`,
		verdict: `{"ok":false,"errors":[{"code":"too_little","message":"need 50, have 48","path":"/data/items"}]}`},
	{name: "no list", hook: "check", body: `{}`,
		verdict: `{"ok":false,"errors":[{"code":"too_little","message":"need 1, have 0","path":"/data/items"}]}`},
	{name: "a slip", hook: "check", body: stock, config: `{"lest":50}`,
		failure: `{"code":"config","message":"config: unknown key lest; known are least"}`},
	{name: "not JSON", hook: "check", body: `<`, verdict: notJSON("no value", "0")},
}
