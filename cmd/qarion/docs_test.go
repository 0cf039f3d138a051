package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/testkit"
)

// TestDocs_Configuration holds the documented defaults against what
// `config init` prints, which the configuration itself reads.
func TestDocs_Configuration(t *testing.T) {
	doc, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(testkit.Binary(t), "config", "init").Output()
	if err != nil {
		t.Fatal(err)
	}
	section := ""
	for line := range strings.Lines(string(out)) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			section = strings.TrimSuffix(name, "]") + "."
			continue
		}
		key, def, ok := strings.Cut(line, " = ")
		if !ok {
			continue
		}
		def = strings.Trim(def, `"`)
		row := regexp.MustCompile("(?m)^\\|[^|]*`" + regexp.QuoteMeta(section+key) + "`[^|]*\\|[^|]*`" + regexp.QuoteMeta(def) + "`")
		if !row.Match(doc) {
			t.Errorf("docs/cli.md does not name %s%s with its default %s", section, key, def)
		}
	}
}

// TestDocs_Links holds the links between documents against the files.
func TestDocs_Links(t *testing.T) {
	files, _ := filepath.Glob("../../docs/*.md")
	for _, path := range append(files, "../../README.md") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([\w./-]+\.md)\)`).FindAllStringSubmatch(string(data), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	}
}
