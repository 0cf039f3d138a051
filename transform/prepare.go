package transform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/transform/sqltext"
)

// MaxFile is the largest file that sql_file may name, in bytes.
const MaxFile = 1 << 20

// Include implements engine.Includer: the file of sql_file, beside the flow's.
func (t *TaskType) Include(flow *engine.Flow, task *engine.Task) (map[string]string, []engine.Problem) {
	r := newReader(task)
	name := r.Text("sql_file", "")
	if name == "" {
		return nil, nil
	}
	if !filepath.IsLocal(name) {
		r.Problem("sql_file", "bad-path", "sql_file is %s, want a path below the flow's folder", value.Quoted(name))
		return nil, r.Problems
	}
	path := filepath.Join(filepath.Dir(flow.File), filepath.FromSlash(name))
	info, err := os.Stat(path)
	if err == nil && info.Size() > MaxFile {
		err = fmt.Errorf("%s has %d bytes, at most %d are read", name, info.Size(), MaxFile)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		r.Problem("sql_file", "unreadable", "%v", err)
		return nil, r.Problems
	}
	return map[string]string{name: strings.ToValidUTF8(strings.TrimPrefix(string(data), "\uFEFF"), "\uFFFD")}, nil
}

// program is a prepared task, shared by all attempts; nothing in it changes.
type program struct {
	t      *TaskType
	props  *props
	needs  engine.Needs
	target *target
	texts  []source
	params []param // of the property params
	why    string  // it cannot run; "" when it can
}

// source is one text of SQL.
type source struct {
	sqlText
	tpl   *jinja.Template
	fixed []sqltext.Statement // where the text is no template

	masked []sqltext.Statement // of a template, as far as it tells
}

// param is an entry of the property params.
type param struct {
	name  string
	fixed any // where tpl is nil
	tpl   *jinja.Template
}

var _ engine.Previewer = (*program)(nil)

// reserved is the parameter that the task type gives itself.
const runKey = "run_key"

// Prepare implements engine.TaskType.
func (t *TaskType) Prepare(flow *engine.Flow, task *engine.Task) (engine.Program, []engine.Problem) {
	p, r := readProperties(flow, task)
	prog := &program{t: t, props: p, target: t.databases[p.database]}
	c := &compiler{reader: r, flow: flow, prog: prog, own: map[string]bool{runKey: true}}
	if prog.target == nil {
		names := slices.Sorted(maps.Keys(t.databases))
		at := r.At("database")
		if _, own := r.Get("database"); !own && task.Database == "" {
			at = nil // the flow's: of the whole task
		}
		c.Problems = append(c.Problems, engine.Problem{Task: task.ID, Path: at, Code: "unknown-database", Value: p.database, Suggestion: engine.Nearest(p.database, names),
			Message: fmt.Sprintf("no database %s in qarion.toml (there are: %s)", value.Quoted(p.database), strings.Join(names, ", "))})
		prog.target = &target{name: p.database}
	}
	c.params()
	for _, text := range p.sql {
		prog.texts = append(prog.texts, c.source(text))
	}
	if _, named := r.Get("sql_file"); len(p.sql) == 0 && !named && engine.Refused(c.Problems) == nil {
		r.warn([]string{"type"}, "no-sql", "", "there is no sql: the task does nothing and leaves null")
	}
	prog.describe(c)
	if wrong := engine.Refused(c.Problems); wrong != nil {
		prog.why = wrong.Message
	}
	return prog, c.Problems
}

// Needs implements engine.Program.
func (p *program) Needs() engine.Needs { return p.needs }

// compiler parses the texts of a task and collects what they read.
type compiler struct {
	*reader
	flow   *engine.Flow
	prog   *program
	own    map[string]bool // parameters that are no names of the context
	names  []engine.NameUse
	verbs  []string
	writes bool
	rows   bool // the last statement gives rows
}

// params reads the property params.
func (c *compiler) params() {
	for name, v := range c.prog.props.params.All() {
		path := append(c.At("params"), name)
		switch {
		case name == runKey:
			c.Problems = append(c.Problems, engine.Problem{Task: c.task.ID, Path: path, Code: "reserved", Message: "params: the name run_key is reserved"})
			continue
		case !sqltext.IsName(name):
			c.Problems = append(c.Problems, engine.Problem{Task: c.task.ID, Path: path, Code: "bad-name", Message: fmt.Sprintf("params: %s is no name of letters, digits and _", value.Quoted(name))})
			continue
		}
		c.own[name] = true
		own := param{name: name, fixed: v}
		if s, isText := v.(string); isText {
			if tpl := c.parse(path, s); tpl != nil {
				if _, literal := tpl.Literal(); !literal {
					own.tpl = tpl
				}
			}
		}
		c.prog.params = append(c.prog.params, own)
	}
}

func (c *compiler) parse(path []string, text string) *jinja.Template {
	tpl, err := jinja.Parse(strings.Join(path[1:], "."), text)
	if err != nil {
		c.Problems = append(c.Problems, engine.Problem{Task: c.task.ID, Path: path, Code: "template", Message: err.Error(), Value: jinja.PieceOf(err)})
		return nil
	}
	for _, name := range tpl.Names() {
		c.names = append(c.names, engine.NameUse{Name: name, Path: path, Optional: !slices.Contains(tpl.Needs(), name)})
	}
	return tpl
}

// source reads one text of SQL.
func (c *compiler) source(text sqlText) source {
	s := source{sqlText: text, tpl: c.parse(text.path, text.text)}
	if s.tpl == nil {
		return s
	}
	plain, literal := s.tpl.Literal()
	if !literal {
		plain = sqltext.Masked(text.text)
		c.warnOfData(s)
	}
	list, err := sqltext.Split(plain, c.prog.target.dialect)
	if literal {
		s.fixed = list
	} else {
		s.masked = list
	}
	var wrong *sqltext.Error
	if errors.As(err, &wrong) && (literal || wrong.Refusal) {
		line, column := sqltext.Place(plain, wrong.At)
		c.Problems = append(c.Problems, engine.Problem{Task: c.task.ID, Path: text.path, Code: "sql",
			Message: fmt.Sprintf("%s: %s", at(text.file, line, column), wrong.Message)})
	}
	if literal && err == nil && len(list) == 0 {
		c.Problems = append(c.Problems, engine.Problem{Task: c.task.ID, Path: text.path, Code: "empty", Message: "sql has no statement"})
	}
	for _, st := range list {
		c.verbs = append(c.verbs, st.Verb)
		c.writes, c.rows = c.writes || st.Writes, st.Rows
		for _, name := range st.Params {
			if root, _, _ := strings.Cut(name, "."); !c.own[root] {
				c.names = append(c.names, engine.NameUse{Name: root, Path: text.path})
			}
		}
		for _, name := range st.Quoted {
			root, _, _ := strings.Cut(name, ".")
			if _, declared := c.flow.Variables.Get(root); declared || c.own[root] || strings.HasPrefix(root, "xcom_") || strings.HasPrefix(root, "resp_") {
				c.warn(text.path, "quoted-parameter", "':"+name+"'", "':%s' is a text, and nothing is bound in it: write :%[1]s without quotes", name)
			}
		}
	}
	c.writes = c.writes || !literal && len(list) == 0
	return s
}

// warnOfData warns of data that becomes a part of the SQL's text: what other
// tasks have left, and what whoever starts a run can say.
func (c *compiler) warnOfData(s source) {
	written := outputs(s.text)
	for _, name := range s.tpl.Names() {
		switch {
		case strings.HasPrefix(name, "xcom_"), strings.HasPrefix(name, "resp_"):
			c.warn(s.path, "sql-text", name, "{{ %s }} writes data into the SQL as text, where it can change what the statement does: bind it, as :%s", name, name)
		case slices.Contains(written, name) && c.open(name):
			c.warn(s.path, "sql-text", name, "{{ %s }} writes what a trigger may say into the SQL as text, where it can change what the statement does: bind it, as :%[1]s, or say under [input.%[1]s] what it may be (one_of, pattern)", name)
		}
	}
}

// open reports whether a variable may be given any text when a run is started.
func (c *compiler) open(name string) bool {
	def, ok := c.flow.Variables.Get(name)
	switch def.(type) {
	case int64, float64, bool, *big.Int: // a trigger gives nothing else
		return false
	}
	if !ok {
		return false
	}
	v, _ := c.flow.Input.Get(name)
	in, _ := v.(*value.Map)
	for _, key := range []string{"one_of", "pattern", "value"} {
		if _, bounded := in.Get(key); bounded {
			return false
		}
	}
	kind, _ := in.Get("type")
	return kind != "int" && kind != "float" && kind != "bool"
}

// outputs are the names that a template writes, in {{ }}.
func outputs(text string) (names []string) {
	for {
		_, rest, ok := strings.Cut(text, "{{")
		if !ok {
			return names
		}
		tag, after, _ := strings.Cut(rest, "}}")
		if tpl, err := jinja.Parse("", "{{"+tag+"}}"); err == nil {
			names = append(names, tpl.Names()...)
		}
		text = after
	}
}

// at says where in SQL something is.
func at(file string, line, column int) string {
	if file != "" {
		return fmt.Sprintf("%s:%d:%d", file, line, column)
	}
	return fmt.Sprintf("line %d column %d", line, column)
}

// describe fills what the engine plans by.
func (p *program) describe(c *compiler) {
	n := engine.Needs{Names: c.names, Retry: p.props.retry, OnInterrupted: p.props.onInterrupted, Target: p.target.String()}
	n.Subtype = "none"
	if len(c.verbs) > 0 {
		n.Subtype = c.verbs[len(c.verbs)-1]
		if slices.ContainsFunc(c.verbs, func(v string) bool { return v != n.Subtype }) {
			n.Subtype = "script"
		}
	}
	n.Unrepeatable = c.writes && !p.props.once
	if p.props.onInterrupted != "" && !n.Unrepeatable && len(p.props.sql) > 0 {
		c.Problem("on_interrupted", "unused", "on_interrupted needs exactly_once = false, and a statement that writes")
	}
	if len(p.props.sql) == 0 {
		n.Target = ""
	}
	if p.props.result == resultNone {
		n.NoValue = `result = "none"`
	}
	if mode := p.props.result; len(c.verbs) > 0 && !c.rows && mode != resultAuto && mode != resultNone && p.target.dialect == sqltext.SQLite && p.literal() {
		c.Problem("result", "unused", "result = %q, but the last statement gives no rows", mode)
	}
	for _, id := range p.props.pulls {
		n.Pulls = append(n.Pulls, engine.NameUse{Name: id, Path: c.At("xcom_pull")})
	}
	p.needs = n
}

// literal reports whether all of the SQL is known already.
func (p *program) literal() bool {
	return !slices.ContainsFunc(p.texts, func(s source) bool { return s.fixed == nil })
}

// vars is the template context of an attempt: what the engine gives, with
// xcom_pull_key applied.
type vars struct {
	*engine.TaskInput
	prog *program
	hide bool // something of a sensitive task was read
}

// Lookup implements jinja.Vars.
func (v *vars) Lookup(ctx context.Context, name string) (jinja.Var, bool, error) {
	got, ok, err := v.TaskInput.Lookup(ctx, name)
	v.hide = v.hide || got.Origin.Secret()
	if key := v.prog.props.pullKey; key != "" && ok && err == nil && v.prog.pulls(name) {
		got.Value, err = pulled(name, got.Value, key)
	}
	return got, ok, err
}

// pulls reports whether xcom_pull_key applies to a name.
func (p *program) pulls(name string) bool {
	return p.props.pullKey != "" && slices.ContainsFunc(p.props.pulls, func(id string) bool { return name == "xcom_"+engine.TaskID(id).TemplateName() })
}

// pulled is what xcom_pull_key takes out of a value.
func pulled(name string, v any, key string) (any, error) {
	m, ok := v.(*value.Map)
	if !ok {
		return nil, fmt.Errorf("%s is %s and has no key %q (xcom_pull_key)", name, value.Kind(v), key)
	}
	got, ok := m.Get(key)
	if !ok {
		return nil, fmt.Errorf("%s has no key %q (xcom_pull_key; there are: %s)", name, key, someNames(m.Keys()))
	}
	return got, nil
}

// someNames lists the first of names, for messages.
func someNames(names []string) string {
	if len(names) > 10 {
		return strings.Join(names[:10], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}
