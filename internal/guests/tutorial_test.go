package guests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/sampleapi"
	"github.com/qarion/qarion/internal/testkit"
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
	api, err := sampleapi.Start(false)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	dir := t.TempDir()
	if err := os.Symlink(testkit.Binary(t), filepath.Join(dir, "qarion")); err != nil {
		t.Fatal(err)
	}
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
			if paste(t, dir, strings.ReplaceAll(text, sampleapi.Base, api.URL)) {
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

// paste does what a part of the page says, and calls the module that it leaves. A
// file is written where its first line says, below the folder dir; that is where
// the page's folders are, too.
func paste(t *testing.T, dir, text string) bool {
	script := "set -euo pipefail\ncd " + filepath.Dir(filepath.Dir(Root())) + "\nexport HOOKS=\"$PWD/examples/hooks\"\n"
	folder := ""
	for _, b := range block.FindAllStringSubmatch(text, -1) {
		name, _, _ := strings.Cut(strings.TrimLeft(b[2], "/# "), "\n")
		switch {
		case b[1] == "sh" && strings.HasPrefix(b[2], "qarion demo"): // it runs in a second terminal
		case b[1] == "sh":
			script += b[2]
		case b[1] == "toml" && !strings.HasSuffix(name, ".toml"), b[1] == "json": // a part of something
		case b[1] == "toml":
			script += "mkdir -p " + filepath.Dir(name) + "\ncat > " + name + " <<'END_OF_FILE'\n" + b[2] + "END_OF_FILE\n"
		default:
			folder = filepath.Dir(name)
			script += "cat > " + filepath.Base(name) + " <<'END_OF_FILE'\n" + b[2] + "END_OF_FILE\n"
		}
	}
	if folder == "" {
		return false
	}
	script = regexp.MustCompile(`mkdir -p (?:\.\./)?(\w+) && cd (?:\.\./)?(\w+)`).ReplaceAllString(script, "mkdir -p "+dir+"/$1 && cd "+dir+"/$1")
	cmd := exec.Command("bash", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+searchPath(), "GOFLAGS=", "GOWORK=off", "NO_COLOR=1", "QARION_HTTP_LISTEN=")
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", script, err, said)
	}
	if !strings.Contains(string(said), "1 check failed: /data/items: need 49, have 48") {
		t.Errorf("the flow did not say what the page says:\n%s", said)
	}
	if folder == "plenty" && !strings.Contains(string(said), "success: stock") {
		t.Errorf("the flow did not end well with 48:\n%s", said)
	}
	module, err := os.ReadFile(filepath.Join(dir, folder, "plenty.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	h := start(t, "compiler", module)
	for _, r := range plenty {
		t.Run(r.name, func(t *testing.T) { r.check(t, h, "compiler") })
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
