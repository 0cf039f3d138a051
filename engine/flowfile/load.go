package flowfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"

	"github.com/qarion/qarion/engine"
)

// Types are the task types that a flow may use, by name.
type Types = map[string]engine.TaskType

// maxRepairs bounds the ":" that are read as "=" in one file.
const maxRepairs = 1000

// file is a flow file while it is read.
type file struct {
	name  string
	lines []string
	root  *node
	types Types
	found Errors
	flow  *engine.Flow
	tasks []*node // the nodes of flow.Tasks
}

// Load reads and checks one flow file. The error is Errors, with everything
// that is wrong in the file, or a *fs.PathError.
func Load(path string, types Types) (*engine.Flow, Errors, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if info.Size() > engine.MaxFlowFile {
		return nil, nil, Errors{{File: path, Line: 1, Column: 1, Severity: SeverityError, Code: "too-large",
			Message: fmt.Sprintf("the file has %d bytes, at most %d are read", info.Size(), engine.MaxFlowFile)}}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	return Parse(path, data, types)
}

// Parse reads and checks a flow file's text; name stands in messages, and
// gives the flow its id when the file does not.
func Parse(name string, data []byte, types Types) (flow *engine.Flow, warnings Errors, err error) {
	f := &file{name: filepath.ToSlash(name), types: types}
	f.read(data)
	if f.root != nil {
		f.build()
	}
	f.found.sort()
	if bad := f.found.Only(SeverityError); len(bad) > 0 {
		return nil, f.found.Only(SeverityWarning), f.found
	}
	return f.flow, f.found, nil
}

// add notes a problem at a place.
func (f *file) add(at position, e Error) {
	e.File, e.Line, e.Column = f.name, at.line, at.column
	if e.Severity == "" {
		e.Severity = SeverityError
	}
	if at.line >= 1 && at.line <= len(f.lines) {
		e.Source = f.lines[at.line-1]
	}
	if e.Width == 0 {
		e.Width = 1
	}
	f.found = append(f.found, &e)
}

// read parses the text into a tree, repairing what may be repaired.
func (f *file) read(data []byte) {
	data = bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF"))
	f.lines = strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	start := position{1, 1}
	if len(data) > engine.MaxFlowFile {
		f.add(start, Error{Code: "too-large", Message: fmt.Sprintf("the file has %d bytes, at most %d are read", len(data), engine.MaxFlowFile)})
		return
	}
	if !utf8.Valid(data) {
		f.add(start, Error{Code: "encoding", Message: "the file is not UTF-8"})
		return
	}
	if deepBrackets(data) {
		f.add(start, Error{Code: "too-deep", Message: fmt.Sprintf("values nest deeper than %d levels", engine.MaxFlowNesting)})
		return
	}
	data, ok := f.decode(bytes.Clone(data))
	if !ok {
		return
	}
	root, err := parseTree(data, engine.MaxFlowNesting)
	switch {
	case errors.Is(err, errDepth):
		f.add(start, Error{Code: "too-deep", Message: fmt.Sprintf("values nest deeper than %d levels", engine.MaxFlowNesting)})
	case err != nil:
		f.add(start, Error{Code: "syntax", Message: err.Error()})
	default:
		f.root = root
	}
}

// deepBrackets is a guard in front of the parser, which recurses.
func deepBrackets(data []byte) bool {
	run := 0
	for _, c := range data {
		switch c {
		case '[', '{':
			if run++; run > 1000 {
				return true
			}
		case ']', '}':
			run--
		}
	}
	return false
}

// decode lets the TOML decoder check the text. Where it stops at a ":" that
// should be "=", as JSON has it, the text is mended and read again.
func (f *file) decode(data []byte) ([]byte, bool) {
	for range maxRepairs {
		var into map[string]any
		err := toml.Unmarshal(data, &into)
		if err == nil {
			return data, true
		}
		var d *toml.DecodeError
		if !errors.As(err, &d) {
			f.add(position{1, 1}, Error{Code: "syntax", Message: strings.TrimPrefix(err.Error(), "toml: ")})
			return nil, false
		}
		row, col := d.Position()
		at := position{row, col}
		if i := offset(data, at); i >= 0 && data[i] == ':' && strings.Contains(d.Error(), "expected '='") {
			data[i] = '='
			f.add(at, Error{Severity: SeverityWarning, Code: "json-colon", Message: `use "=" in TOML tables`})
			continue
		}
		f.add(at, Error{Code: "syntax", Message: f.syntax(d, at)})
		return nil, false
	}
	f.add(position{1, 1}, Error{Code: "syntax", Message: `use "=" in TOML tables: there are too many ":"`})
	return nil, false
}

// offset is the byte at a place, or -1.
func offset(data []byte, at position) int {
	line := 1
	for i := range data {
		if line == at.line {
			if i += at.column - 1; i < len(data) {
				return i
			}
			return -1
		}
		if data[i] == '\n' {
			line++
		}
	}
	return -1
}

// syntax words a decoder's error.
func (f *file) syntax(d *toml.DecodeError, at position) string {
	text := strings.TrimPrefix(d.Error(), "toml: ")
	if strings.Contains(text, "expected ',' or '}'") {
		if prev := f.lineBefore(at.line); prev != "" && !strings.HasSuffix(prev, ",") {
			return fmt.Sprintf("entries of an inline table are separated by commas; write: %s,", prev)
		}
	}
	return text
}

func (f *file) lineBefore(line int) string {
	if line-2 < 0 || line-2 >= len(f.lines) {
		return ""
	}
	return strings.TrimSpace(f.lines[line-2])
}

// Dir is what a folder of flow files holds.
type Dir struct {
	Flows  []*engine.Flow // the good ones, by id
	Files  int            // all that were looked at
	Found  Errors         // errors and warnings of all files
	Broken map[string]int // file -> its errors: left out
}

// LoadDir reads every *.toml file of a folder. A broken file is left out and
// reported; the others are not touched by it.
func LoadDir(dir string, types Types) (*Dir, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.toml"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		if _, err := os.Stat(dir); err != nil {
			return nil, err
		}
	}
	slices.Sort(paths)
	d := &Dir{Broken: map[string]int{}}
	byID := map[engine.FlowID]string{}
	for _, path := range paths {
		d.Files++
		flow, warnings, err := Load(path, types)
		d.Found = append(d.Found, warnings...)
		var bad Errors
		if err != nil && !errors.As(err, &bad) {
			bad = Errors{{File: path, Line: 1, Column: 1, Severity: SeverityError, Code: "unreadable", Message: err.Error()}}
		}
		if err == nil {
			if other, taken := byID[flow.ID]; taken {
				bad = Errors{{File: filepath.ToSlash(path), Line: 1, Column: 1, Severity: SeverityError, Code: "duplicate-id",
					Message: fmt.Sprintf("flow id %q is taken by %s already", flow.ID, other)}}
			}
		}
		if bad = bad.Only(SeverityError); len(bad) > 0 {
			d.Found = append(d.Found, bad...)
			d.Broken[filepath.ToSlash(path)] = len(bad)
			continue
		}
		byID[flow.ID] = filepath.ToSlash(path)
		d.Flows = append(d.Flows, flow)
	}
	slices.SortFunc(d.Flows, func(a, b *engine.Flow) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return d, nil
}
