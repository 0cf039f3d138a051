package transform

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// Defaults of the properties, as docs/transformation.md names them.
const (
	DefaultTimeout       = 300 * time.Second
	DefaultRetryDelay    = time.Second
	DefaultRetryBackoff  = 1.0
	DefaultRetryMaxDelay = 300 * time.Second
	DefaultMaxRows       = 100_000
	DefaultMaxBytes      = engine.MaxTemplateValue
)

// Property is a row of the property table.
type Property struct {
	Name    string
	Type    string // as the documentation names it
	Default string
	Doc     string
}

var properties = []Property{
	{"sql", "string or list", "required", "one statement or more; a list for several"},
	{"sql_file", "string", "", "a file beside the flow's that holds the SQL, in place of sql"},
	{"database", "string", "warehouse", "name of the database, as [databases] in qarion.toml has it; else the flow's"},
	{"params", "dict", "", "more parameters: :name is bound to the value, templates in it keep their type"},
	{"result", "string", "auto", "auto, row, rows, value or none: what the last statement leaves"},
	{"max_rows", "integer", "100000", "of the result"},
	{"max_bytes", "integer", "10485760", "of the result as JSON"},
	{"timeout", "duration", "300", "of the whole transaction"},
	{"exactly_once", "boolean", "true", "a task that writes leaves a mark in the same transaction, and is not executed twice"},
	{"on_interrupted", "string", "auto", "with exactly_once = false: auto, retry or fail when its outcome is unknown"},
	{"retry_count", "integer", "0", "tries after the first"},
	{"retry_delay", "duration", "1.0", "before a retry"},
	{"retry_backoff", "float", "1.0", "factor by which the delay grows with each retry"},
	{"retry_max_delay", "duration", "300", "the longest planned delay"},
	{"retry_jitter", "string", "none", "none, equal or full; equal when retry_backoff is over 1"},
	{"xcom_pull", "list", "", "tasks whose values are read"},
	{"xcom_pull_key", "string", "", "the key to take from the pulled value"},
}

// Table returns the property table, for documentation.
func Table() []Property { return slices.Clone(properties) }

func propertyNames() []string {
	names := make([]string, len(properties))
	for i, p := range properties {
		names[i] = p.Name
	}
	return names
}

// elsewhere are properties of the same task type in other engines: a flow that
// has them is accepted, and told once that they mean nothing here.
var elsewhere = []string{
	"source_dataset_id", "target_dataset_id", "source_dataset", "target_dataset", "source_table", "target_table", "source_tables", "processing_type",
	"transformation_type", "transformation_id", "engine", "sql_dialect", "dialect", "write_mode", "load_mode", "mode", "materialization", "materialized", "schema", "columns", "schedule", "quality_checks",
	"incremental_column", "merge_keys", "primary_key", "partition_by", "cluster_by", "tags", "owner", "dependencies", "description", "name", "enabled", "batch_size", "xcom_push", "xcom_key", "store_xcom",
}

// propertyWords are the words of other tools for what is a property here.
var propertyWords = map[string]string{
	"query": "sql", "statement": "sql", "statements": "sql", "queries": "sql", "sql_query": "sql", "script": "sql", "transformation_sql": "sql", "code": "sql",
	"file": "sql_file", "path": "sql_file", "sql_path": "sql_file", "template": "sql_file", "query_file": "sql_file", "filename": "sql_file",
	"connection": "database", "conn_id": "database", "connection_id": "database", "db": "database", "url": "database", "credential_id": "database",
	"parameters": "params", "args": "params", "variables": "params", "bindings": "params", "query_parameters": "params", "query_params": "params", "replacements": "params",
	"retries": "retry_count", "max_retries": "retry_count", "execution_timeout": "timeout", "statement_timeout": "timeout", "limit": "max_rows",
	"fetch_type": "result", "fetch": "result", "output": "result", "do_xcom_push": "result", "return_last": "result", "store": "result", "handler": "result",
	"idempotent": "exactly_once", "idempotency_key": "exactly_once", "max_size": "max_bytes",
}

// props are the properties of one task, read and checked.
type props struct {
	sql           []sqlText
	database      string
	params        *value.Map
	result        string
	maxRows       int64
	maxBytes      int64
	timeout       time.Duration
	once          bool
	onInterrupted string
	retry         engine.RetryPolicy
	pulls         []string
	pullKey       string
}

// sqlText is SQL as it stands in the flow's file or beside it.
type sqlText struct {
	text string
	path []string // keys below the task
	file string   // "" for the flow's own
}

// reader reads the properties of a task, which stand in [tasks.config] or in
// [tasks.properties].
type reader struct {
	task     *engine.Task
	problems []engine.Problem
}

func (r *reader) problem(key, code, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if len(message) > 300 {
		message = strings.ToValidUTF8(message[:300], "") + "..."
	}
	r.problems = append(r.problems, engine.Problem{Task: r.task.ID, Path: r.path(key), Code: code, Message: message})
}

func (r *reader) warn(path []string, code, text, format string, args ...any) {
	r.problems = append(r.problems, engine.Problem{Task: r.task.ID, Path: path, Code: code, Value: text, Warning: true, Message: fmt.Sprintf(format, args...)})
}

// path is where a property stands.
func (r *reader) path(key string) []string {
	if _, ok := r.task.Config.Get(key); ok {
		return []string{"config", key}
	}
	if key == "database" && r.task.Database != "" {
		return []string{key}
	}
	return []string{"properties", key}
}

// get returns a property's value; an explicit null is as if it were not there.
func (r *reader) get(key string) (any, bool) {
	if v, ok := r.task.Config.Get(key); ok && v != nil {
		return v, true
	}
	v, ok := r.task.Properties.Get(key)
	return v, ok && v != nil
}

func (r *reader) wrong(key string, v any, want string) {
	r.problem(key, "wrong-type", "%s is %s, want %s", key, value.Kind(v), want)
}

func (r *reader) text(key, def string) string {
	v, ok := r.get(key)
	if !ok {
		return def
	}
	s, ok := v.(string)
	if !ok {
		r.wrong(key, v, "a string")
		return def
	}
	return s
}

func (r *reader) flag(key string, def bool) bool {
	v, ok := r.get(key)
	if !ok {
		return def
	}
	b, ok := v.(bool)
	if !ok {
		r.wrong(key, v, "true or false")
		return def
	}
	return b
}

func (r *reader) word(key, def string, words ...string) string {
	s := strings.ToLower(r.text(key, def))
	if !slices.Contains(words, s) {
		r.problems = append(r.problems, engine.Problem{
			Task: r.task.ID, Path: r.path(key), Code: "unknown-word", Value: s, Suggestion: engine.Nearest(s, words),
			Message: fmt.Sprintf("%s is %s, want one of %s", key, value.Quoted(s), strings.Join(words, ", ")),
		})
		return def
	}
	return s
}

func (r *reader) whole(key string, def, low, high int64) int64 {
	v, ok := r.get(key)
	if !ok {
		return def
	}
	n, ok := v.(int64)
	switch {
	case !ok:
		r.wrong(key, v, "an integer")
	case n < low || n > high:
		r.problem(key, "out-of-range", "%s is %d, want %d to %d", key, n, low, high)
	default:
		return n
	}
	return def
}

func (r *reader) span(key string, def, low time.Duration) time.Duration {
	v, ok := r.get(key)
	if !ok {
		return def
	}
	d, err := engine.ParseSpan(v)
	switch {
	case err != nil:
		r.problem(key, "wrong-type", "%s: %v", key, err)
	case d < low || d > 365*24*time.Hour:
		r.problem(key, "out-of-range", "%s is %s, want %s to a year", key, d, low)
	default:
		return d
	}
	return def
}

func (r *reader) names(key string) []string {
	v, ok := r.get(key)
	if !ok {
		return nil
	}
	if s, ok := v.(string); ok {
		return []string{s}
	}
	list, ok := v.([]any)
	var out []string
	for _, e := range list {
		s, isText := e.(string)
		ok = ok && isText
		out = append(out, s)
	}
	if !ok {
		r.wrong(key, v, "a list of strings")
		return nil
	}
	return out
}

// readProperties reads and checks everything that a task says but for its SQL.
func readProperties(flow *engine.Flow, task *engine.Task) (*props, *reader) {
	r := &reader{task: task}
	r.unknown()
	p := &props{
		database: r.text("database", ""), result: r.word("result", resultAuto, resultAuto, resultRow, resultRows, resultValue, resultNone),
		maxRows: r.whole("max_rows", DefaultMaxRows, 1, 100_000_000), maxBytes: r.whole("max_bytes", DefaultMaxBytes, 1, 1<<30),
		timeout: r.span("timeout", DefaultTimeout, time.Millisecond), once: r.flag("exactly_once", true),
		pulls: r.names("xcom_pull"), pullKey: r.text("xcom_pull_key", ""),
	}
	switch {
	case p.database != "" && task.Database != "" && p.database != task.Database:
		r.problem("database", "unused", "database is given twice, as %s and %s", value.Quoted(task.Database), value.Quoted(p.database))
	case p.database == "":
		p.database = task.Database
	}
	for _, def := range []string{flow.Database, DefaultDatabase} {
		if p.database == "" {
			p.database = def
		}
	}
	if on := r.word("on_interrupted", "auto", "auto", "retry", "fail"); on != "auto" {
		p.onInterrupted = on
	}
	r.readRetry(p)
	r.readSQL(p)
	if v, ok := r.get("params"); ok {
		m, isMap := v.(*value.Map)
		if !isMap {
			r.wrong("params", v, "a table")
		}
		p.params = m
	}
	if p.pullKey != "" && len(p.pulls) == 0 {
		r.problem("xcom_pull_key", "unused", "xcom_pull_key needs xcom_pull")
	}
	return p, r
}

func (r *reader) readRetry(p *props) {
	backoff := DefaultRetryBackoff
	if v, ok := r.get("retry_backoff"); ok {
		f, isNumber := value.Float(v)
		if switchable := isNumber && f >= 1 && !math.IsInf(f, 0); switchable {
			backoff = f
		} else {
			r.problem("retry_backoff", "wrong-type", "retry_backoff is %s, want a number of at least 1", value.Short(v))
		}
	}
	jitter := "none"
	if backoff > 1 {
		jitter = "equal"
	}
	p.retry = engine.RetryPolicy{
		Count: int(r.whole("retry_count", 0, 0, 1000)), Delay: r.span("retry_delay", DefaultRetryDelay, 0), Backoff: backoff,
		MaxDelay: r.span("retry_max_delay", DefaultRetryMaxDelay, 0), Jitter: engine.Jitter(r.word("retry_jitter", jitter, "none", "equal", "full")),
	}
}

// readSQL reads sql, or the file that sql_file names.
func (r *reader) readSQL(p *props) {
	file := r.text("sql_file", "")
	v, given := r.get("sql")
	switch {
	case given && file != "":
		r.problem("sql_file", "unused", "there are sql and sql_file: one of them is enough")
	case file != "":
		if text, ok := r.task.Files[file]; ok {
			p.sql = []sqlText{{text, r.path("sql_file"), file}}
		}
		return
	}
	path := r.path("sql")
	switch v := v.(type) {
	case nil:
	case string:
		p.sql = []sqlText{{text: v, path: path}}
	case []any:
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				r.wrong("sql", e, "a list of strings")
				return
			}
			p.sql = append(p.sql, sqlText{text: s, path: append(slices.Clone(path), fmt.Sprint(i))})
		}
	default:
		r.wrong("sql", v, "a string or a list of strings")
	}
}

// unknown reports the keys that mean nothing here.
func (r *reader) unknown() {
	for _, table := range []struct {
		name string
		keys *value.Map
	}{{"properties", r.task.Properties}, {"config", r.task.Config}} {
		var idle []string
		for key := range table.keys.All() {
			switch {
			case slices.Contains(propertyNames(), key):
				if _, twice := r.task.Config.Get(key); twice && table.name == "properties" {
					r.problems = append(r.problems, engine.Problem{Task: r.task.ID, Path: []string{"properties", key}, Code: "unused", Message: key + " stands under config and under properties"})
				}
			case slices.Contains(elsewhere, key):
				idle = append(idle, key)
			default:
				r.problems = append(r.problems, engine.Problem{
					Task: r.task.ID, Path: []string{table.name, key}, Code: "unknown-property",
					Message: "unknown property " + value.Quoted(key), Suggestion: engine.Meant(key, propertyNames(), propertyWords),
				})
			}
		}
		if len(idle) > 0 {
			r.warn([]string{table.name, idle[0]}, "idle-property", "", "%s: accepted, and without meaning here", strings.Join(idle, ", "))
		}
	}
}
