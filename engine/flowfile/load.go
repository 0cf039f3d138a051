package flowfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/cron"
)

// Types are the task types that a flow may use, by name.
type Types = map[string]engine.TaskType

// MaxErrors is how many problems of one file are told; of more, only how many.
const MaxErrors = 10_000

// File is a flow file that was read and checked.
type File struct {
	Name        string
	Flow        *engine.Flow // nil when there is an error among Found
	Tasks       int          // of a broken file too, as far as they could be read
	Found       Errors       // errors and warnings, by place
	Credentials []CredentialUse
}

// CredentialUse is a credential that a task names.
type CredentialUse struct {
	ID string
	at Error // its place
}

// Warning is a warning at the place where the credential is named.
func (u *CredentialUse) Warning(code, message, suggestion string) *Error {
	e := u.at
	e.Severity, e.Code, e.Message, e.Suggestion = SeverityWarning, code, message, suggestion
	return &e
}

// Err is all that is wrong in the file, as Errors; nil when the flow can run.
func (f *File) Err() error {
	if f.Flow != nil {
		return nil
	}
	return f.Found
}

// file is a flow file while it is read.
type file struct {
	name        string
	places      *places
	root        *node
	types       Types
	environment *engine.Environment
	found       Errors
	more        [2]int // problems beyond MaxErrors: warnings, errors
	flow        *engine.Flow
	tasks       []*node // the nodes of flow.Tasks

	triggerNodes []*node // of flow.Triggers
	zones        cron.Zones
	defaults     map[string]*node // by task type
	told         map[toldDefault]bool
	reading      engine.TaskID // the task whose keys are being read
	credentials  []CredentialUse
}

// Loader reads flow files.
type Loader struct {
	Types       Types
	Environment *engine.Environment // whose values flows have instead of their defaults; nil for none
}

// Load is Loader.Load without an environment.
func Load(path string, types Types) (flow *engine.Flow, warnings Errors, err error) {
	return Loader{Types: types}.Load(path)
}

// Parse is Loader.Parse without an environment.
func Parse(name string, data []byte, types Types) (flow *engine.Flow, warnings Errors, err error) {
	return Loader{Types: types}.Parse(name, data)
}

// Read is Loader.Read without an environment.
func Read(path string, types Types) (*File, error) { return Loader{Types: types}.Read(path) }

// LoadDir is Loader.LoadDir without an environment.
func LoadDir(dir string, types Types) (*Dir, error) { return Loader{Types: types}.LoadDir(dir) }

// Load reads and checks one flow file. The error is Errors, with everything
// that is found in the file, or a *fs.PathError.
func (l Loader) Load(path string) (flow *engine.Flow, warnings Errors, err error) {
	f, err := l.Read(path)
	if err != nil {
		return nil, nil, err
	}
	return f.split()
}

// Parse reads and checks a flow file's text; name stands in messages, and
// gives the flow its id when the file does not.
func (l Loader) Parse(name string, data []byte) (flow *engine.Flow, warnings Errors, err error) {
	return l.read(name, data).split()
}

func (f *File) split() (*engine.Flow, Errors, error) {
	if err := f.Err(); err != nil {
		return nil, nil, err
	}
	return f.Flow, f.Found, nil
}

// Read reads and checks one flow file. The error is a *fs.PathError; what is
// wrong in the file stands in the File.
func (l Loader) Read(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > engine.MaxFlowFile {
		return &File{Name: filepath.ToSlash(path), Found: Errors{tooLarge(path, info.Size())}}, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return l.read(path, data), nil
}

func tooLarge(path string, size int64) *Error {
	return &Error{File: filepath.ToSlash(path), Line: 1, Column: 1, Severity: SeverityError, Code: "too-large", Width: 1,
		Message: fmt.Sprintf("the file has %d bytes, at most %d are read", size, engine.MaxFlowFile)}
}

func (l Loader) read(name string, data []byte) *File {
	f := &file{name: filepath.ToSlash(name), types: l.Types, environment: l.Environment, told: map[toldDefault]bool{}}
	f.parse(data)
	if f.root != nil {
		f.build()
	}
	f.found.Sort()
	for i, severity := range []string{SeverityWarning, SeverityError} {
		if f.more[i] > 0 {
			last := *f.found[MaxErrors-1]
			last.Severity, last.Code, last.Suggestion = severity, "too-many", ""
			last.Message = fmt.Sprintf("%d more %ss are not shown", f.more[i], severity)
			f.found = append(f.found, &last)
		}
	}
	out := &File{Name: f.name, Tasks: len(f.tasks), Found: f.found, Credentials: f.credentials}
	if len(f.found.Only(SeverityError)) == 0 {
		out.Flow = f.flow
	}
	return out
}

// add notes a problem at a place.
func (f *file) add(at span, e Error) {
	if len(f.found) == MaxErrors {
		kind := 1
		if e.Severity == SeverityWarning {
			kind = 0
		}
		f.more[kind]++
		return
	}
	if e.Severity == "" {
		e.Severity = SeverityError
	}
	if e.Task == "" {
		e.Task = string(f.reading)
	}
	f.locate(at, &e)
	f.found = append(f.found, &e)
}

// locate gives an error its place.
func (f *file) locate(at span, e *Error) {
	pos := f.places.of(at.at)
	e.File, e.Line, e.Column, e.Source = f.name, pos.line, pos.column, f.places.line(pos.line)
	if e.Width == 0 {
		e.Width = 1
	}
}

// parse parses the text into a tree, repairing what may be repaired.
func (f *file) parse(data []byte) {
	data = bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF"))
	f.places = newPlaces("")
	if len(data) > engine.MaxFlowFile {
		f.found = append(f.found, tooLarge(f.name, int64(len(data))))
		return
	}
	if !utf8.Valid(data) {
		f.add(span{}, Error{Code: "encoding", Message: "the file is not UTF-8"})
		return
	}
	f.places = newPlaces(string(data))
	tree, err := parseTree(bytes.Clone(data), f.places, engine.MaxFlowNesting)
	for _, at := range tree.colons {
		f.add(at, Error{Severity: SeverityWarning, Code: "json-colon", Message: `use "=" in TOML tables`})
	}
	var m *mistake
	if errors.As(err, &m) {
		tree.wrong = append(tree.wrong, m)
	}
	for _, m := range tree.wrong {
		f.add(m.place, Error{Code: m.code, Message: f.syntax(m)})
	}
	if len(tree.wrong) == 0 {
		f.root = tree.root
	}
}

// syntax words a parser's error.
func (f *file) syntax(m *mistake) string {
	if strings.Contains(m.message, "expected ',' or '}'") {
		prev := strings.TrimSpace(f.places.line(f.places.of(m.place.at).line - 1))
		if prev != "" && !strings.HasSuffix(prev, ",") {
			return fmt.Sprintf("entries of an inline table are separated by commas; write: %s,", prev)
		}
	}
	if strings.HasPrefix(m.message, "expected keyword") || strings.HasSuffix(m.message, "at start of value") {
		if w := bareWord.FindString(f.places.text[m.place.at:min(len(f.places.text), m.place.at+80)]); w != "" {
			if own, ok := otherWords[w]; ok {
				return fmt.Sprintf("%s is no TOML value; %s", w, own)
			}
			return fmt.Sprintf("%s is no TOML value; text stands in quotes: \"%s\"", w, w)
		}
	}
	return m.message
}

var bareWord = regexp.MustCompile(`^[\pL_][\pL\pN_.-]*`)

// otherWords are values as other languages write them.
var otherWords = map[string]string{
	"True": "write: true", "TRUE": "write: true", "yes": "write: true", "False": "write: false", "FALSE": "write: false", "no": "write: false",
	"null": "leave the key out", "None": "leave the key out", "nil": "leave the key out", "NaN": "write: nan",
}

// Dir is what a folder of flow files holds.
type Dir struct {
	Flows       []*engine.Flow // the good ones, by id
	Files       int            // all that were looked at
	Tasks       int            // of all of them, as far as they could be read
	Found       Errors         // errors and warnings of all files
	Broken      map[string]int // file -> its errors: left out
	Credentials []CredentialUse
}

// LeftOut says why a file's flow is left out, or is the version before; "" where
// it is not: the first of its errors, with its place.
func (d *Dir) LeftOut(file string) string {
	n, broken := d.Broken[file]
	if !broken {
		return ""
	}
	text := file + " is left out"
	for _, e := range d.Found.Only(SeverityError) {
		if e.File == file {
			text += ": " + e.Error()
			break
		}
	}
	if n > 1 {
		text += fmt.Sprintf(" (and %d more)", n-1)
	}
	return text
}

// LoadDir reads every *.toml file of a folder. A broken file is left out and
// reported; the others are not touched by it.
func (l Loader) LoadDir(dir string) (*Dir, error) {
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
		f, err := l.Read(path)
		if err != nil {
			f = &File{Name: filepath.ToSlash(path), Found: Errors{{File: filepath.ToSlash(path), Line: 1, Column: 1, Severity: SeverityError, Code: "unreadable", Message: err.Error()}}}
		}
		if f.Flow != nil {
			if other, taken := byID[f.Flow.ID]; taken {
				f.Found = append(f.Found, &Error{File: f.Name, Line: 1, Column: 1, Severity: SeverityError, Code: "duplicate-id",
					Message: fmt.Sprintf("flow id %q is taken by %s already", f.Flow.ID, other)})
				f.Flow = nil
			}
		}
		d.add(f)
		if f.Flow != nil {
			byID[f.Flow.ID] = f.Name
		}
	}
	d.opened()
	slices.SortFunc(d.Flows, func(a, b *engine.Flow) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return d, nil
}

// add adds a file to what the folder holds.
func (d *Dir) add(f *File) {
	d.Files++
	d.Tasks += f.Tasks
	d.Found = append(d.Found, f.Found...)
	d.Credentials = append(d.Credentials, f.Credentials...)
	if f.Flow == nil {
		d.Broken[f.Name] = len(f.Found.Only(SeverityError))
		return
	}
	d.Flows = append(d.Flows, f.Flow)
}
