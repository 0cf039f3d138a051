package flowfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/transform"
)

func types(t testing.TB) flowfile.Types {
	t.Helper()
	call, err := apicall.New(apicall.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(call.Close)
	sql, err := transform.New(transform.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return flowfile.Types{call.Name(): call, sql.Name(): sql}
}

// TestLoad_SpecificationBlocks loads every block that the specification
// prints, completed by a task header and the tasks that it names.
func TestLoad_SpecificationBlocks(t *testing.T) {
	paths, _ := filepath.Glob("testdata/spec/*.toml")
	if len(paths) < 15 {
		t.Fatalf("only %d blocks", len(paths))
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			flow, warnings, err := flowfile.Load(path, types(t))
			if err != nil {
				t.Fatal(err)
			}
			if len(flow.Tasks) == 0 {
				t.Error("no tasks")
			}
			for _, w := range warnings {
				if w.Message != `use "=" in TOML tables` && w.Code != "no-sql" { // the blocks leave the SQL to the reader
					t.Errorf("unexpected warning: %v", w)
				}
			}
		})
	}
}

// TestLoad_BadFiles holds each wrong file of testdata/bad against its messages.
func TestLoad_BadFiles(t *testing.T) {
	paths, _ := filepath.Glob("testdata/bad/*.toml")
	if len(paths) == 0 {
		t.Fatal("no files")
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, warnings, err := flowfile.Load(path, types(t))
			var all flowfile.Errors
			if !errors.As(err, &all) {
				all = warnings
			}
			got := strings.ReplaceAll(all.Error(), "testdata/bad/", "") + "\n"
			side := strings.TrimSuffix(path, ".toml") + ".txt"
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(side, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(side)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

func TestParse_RepairsJSONColons(t *testing.T) {
	text := "[[tasks]]\nid = \"a\"\ntype = \"api_call\"\n[tasks.properties]\nurl = \"http://x.example/\"\noperation = \"post\"\nbody = { \"name\": \"a:b\", \"n\": 1 }\n"
	flow, warnings, err := flowfile.Parse("flows/x.toml", []byte(text), types(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := warnings.Error(); got != "flows/x.toml:7:16: warning: use \"=\" in TOML tables\nflows/x.toml:7:28: warning: use \"=\" in TOML tables" {
		t.Errorf("warnings:\n%s", got)
	}
	body, _ := flow.Tasks[0].Properties.Get("body")
	if s, _ := engineJSON(body); s != `{"name":"a:b","n":1}` {
		t.Errorf("body: %s", s)
	}
}

// TestParse_HostileFiles: files that are made to take long, to nest deeply or to
// have a million mistakes are read or refused as fast as any other.
func TestParse_HostileFiles(t *testing.T) {
	task := "\n[[tasks]]\nid = \"a\"\ntype = \"api_call\"\n[tasks.properties]\nurl = \"http://x.example/\"\n"
	const size = 512 << 10
	for name, c := range map[string]struct{ text, want string }{
		"brackets":               {"x = " + strings.Repeat("[", size), "nested more than the maximum of 10000 levels"},
		"braces":                 {"x = " + strings.Repeat("{a=", size/3), "nested more than the maximum of 10000 levels"},
		"lists":                  {"[variables]\nx = " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + task, "f.toml:2:1: values nest deeper than 32 levels"},
		"dotted key":             {strings.Repeat("a.", size/2) + "a = 1\n", "f.toml:1:63: values nest deeper than 32 levels"},
		"dotted header":          {"[" + strings.Repeat("a.", size/2) + "a]\n", "f.toml:1:66: values nest deeper than 32 levels"},
		"colons everywhere":      {"x = {" + strings.Repeat("a: 1,", size/5) + "}\n", "there are too many \":\""},
		"colons far behind":      {"x = [\"" + strings.Repeat("y", size/2) + "\", {" + strings.Repeat("a: 1,", 500) + "}]\n", "there are too many \":\""},
		"keys that are twice":    {strings.Repeat("a=1\n", size/4), "\"a\" is there already, see line 1"},
		"headers that are twice": {strings.Repeat("[a]\n", size/4), "\"a\" is there already, see line 1"},
		"names":                  {"[variables]\n" + wide(size, "v%d=1\n") + task, ""},
		"unknown keys":           {wide(size/2, "timeou%d=1\n") + task, "unknown key \"timeou0\""},
		"reserved names":         {"[variables]\n" + wide(size, "xcom_%d=1\n") + task, "the name is reserved"},
		"infinite numbers":       {"[variables]\na=[" + strings.Repeat("inf,", size/4) + "]" + task, "inf and nan cannot be used"},
		"numbers out of range":   {"[variables]\na=[" + strings.Repeat("99999999999999999999,", size/21) + "]" + task, "f.toml:2:4: decimal number is too large"},
		"line without end":       {"#" + strings.Repeat(" x", size/2), "the flow has no tasks"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := flowfile.Parse("f.toml", []byte(c.text), types(t))
			if c.want == "" && err == nil {
				return
			}
			var all flowfile.Errors
			if errors.As(err, &all) && len(all) > flowfile.MaxErrors+1 {
				t.Errorf("%d errors are told", len(all))
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				got := fmt.Sprint(err)
				t.Errorf("got %.300s\nwant %s", got, c.want)
			}
		})
	}
}

// wide is a text of about size bytes, of numbered pieces.
func wide(size int, format string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func TestLoadDir_LeavesBrokenFilesOut(t *testing.T) {
	dir := t.TempDir()
	good := "[[tasks]]\nid = \"a\"\ntype = \"api_call\"\nproperties = { url = \"http://x.example/\" }\n"
	for name, text := range map[string]string{"a.toml": good, "b.toml": "id = \"a\"\n" + good, "c.toml": "x =\n", "note.txt": "?"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := flowfile.LoadDir(dir, types(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Flows) != 1 || d.Files != 3 || len(d.Broken) != 2 {
		t.Fatalf("%d flows of %d files, broken: %v", len(d.Flows), d.Files, d.Broken)
	}
	if !strings.Contains(d.Found.Error(), `flow id "a" is taken by `) {
		t.Errorf("errors: %v", d.Found)
	}
}

func TestParse_SurvivesTheLedger(t *testing.T) {
	flow, _, err := flowfile.Load("testdata/spec/block_22_get_user_id.toml", types(t))
	if err != nil {
		t.Fatal(err)
	}
	def, hash, err := flow.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := engine.DecodeFlow(def)
	if err != nil {
		t.Fatal(err)
	}
	if _, h, _ := again.Encode(); h != hash {
		t.Error("a flow that was read back has another hash")
	}
}

func FuzzParse(f *testing.F) {
	call, err := apicall.New(apicall.Config{})
	if err != nil {
		f.Fatal(err)
	}
	kinds := flowfile.Types{call.Name(): call}
	paths, _ := filepath.Glob("testdata/*/*.toml")
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		flow, _, err := flowfile.Parse("f.toml", data, kinds)
		if err == nil && len(flow.Tasks) == 0 {
			t.Error("a flow without tasks was accepted")
		}
	})
}
