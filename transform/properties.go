package transform

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/property"
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
	property.Reader
	task *engine.Task
}

func newReader(task *engine.Task) *reader {
	return &reader{task: task, Reader: property.Reader{
		Task: task.ID, From: task.Properties, Path: []string{"properties"},
		Elsewhere: func(key string) (any, []string, bool) {
			v, ok := task.Config.Get(key)
			if !ok && key == "database" && task.Database != "" {
				return nil, []string{key}, true // told of where the task names it
			}
			return v, []string{"config", key}, ok
		},
	}}
}

func (r *reader) warn(path []string, code, text, format string, args ...any) {
	r.Problems = append(r.Problems, engine.Problem{Task: r.task.ID, Path: path, Code: code, Value: text, Warning: true, Message: fmt.Sprintf(format, args...)})
}

// readProperties reads and checks everything that a task says but for its SQL.
func readProperties(flow *engine.Flow, task *engine.Task) (*props, *reader) {
	r := newReader(task)
	r.unknown()
	p := &props{
		database: r.Text("database", ""), result: r.Word("result", resultAuto, resultAuto, resultRow, resultRows, resultValue, resultNone),
		maxRows: r.Whole("max_rows", DefaultMaxRows, 1, 100_000_000), maxBytes: r.Whole("max_bytes", DefaultMaxBytes, 1, 1<<30),
		timeout: r.Span("timeout", DefaultTimeout, time.Millisecond), once: r.Flag("exactly_once", true),
		pulls: r.Names("xcom_pull"), pullKey: r.Text("xcom_pull_key", ""),
	}
	switch {
	case p.database != "" && task.Database != "" && p.database != task.Database:
		r.Problem("database", "unused", "database is given twice, as %s and %s", value.Quoted(task.Database), value.Quoted(p.database))
	case p.database == "":
		p.database = task.Database
	}
	for _, def := range []string{flow.Database, DefaultDatabase} {
		if p.database == "" {
			p.database = def
		}
	}
	if on := r.Word("on_interrupted", "auto", "auto", "retry", "fail"); on != "auto" {
		p.onInterrupted = on
	}
	r.readRetry(p)
	r.readSQL(p)
	if v, ok := r.Get("params"); ok {
		m, isMap := v.(*value.Map)
		if !isMap {
			r.WrongType("params", v, "a table")
		}
		p.params = m
	}
	if p.pullKey != "" && len(p.pulls) == 0 {
		r.Problem("xcom_pull_key", "unused", "xcom_pull_key needs xcom_pull")
	}
	return p, r
}

func (r *reader) readRetry(p *props) {
	backoff := DefaultRetryBackoff
	if v, ok := r.Get("retry_backoff"); ok {
		f, isNumber := value.Float(v)
		if switchable := isNumber && f >= 1 && !math.IsInf(f, 0); switchable {
			backoff = f
		} else {
			r.Problem("retry_backoff", "wrong-type", "retry_backoff is %s, want a number of at least 1", value.Short(v))
		}
	}
	jitter := "none"
	if backoff > 1 {
		jitter = "equal"
	}
	p.retry = engine.RetryPolicy{
		Count: int(r.Whole("retry_count", 0, 0, 1000)), Delay: r.Span("retry_delay", DefaultRetryDelay, 0), Backoff: backoff,
		MaxDelay: r.Span("retry_max_delay", DefaultRetryMaxDelay, 0), Jitter: engine.Jitter(r.Word("retry_jitter", jitter, "none", "equal", "full")),
	}
}

// readSQL reads sql, or the file that sql_file names.
func (r *reader) readSQL(p *props) {
	file := r.Text("sql_file", "")
	v, given := r.Get("sql")
	switch {
	case given && file != "":
		r.Problem("sql_file", "unused", "there are sql and sql_file: one of them is enough")
	case file != "":
		if text, ok := r.task.Files[file]; ok {
			p.sql = []sqlText{{text, r.At("sql_file"), file}}
		}
		return
	}
	path := r.At("sql")
	switch v := v.(type) {
	case nil:
	case string:
		p.sql = []sqlText{{text: v, path: path}}
	case []any:
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				r.WrongType("sql", e, "a list of strings")
				return
			}
			p.sql = append(p.sql, sqlText{text: s, path: append(slices.Clone(path), fmt.Sprint(i))})
		}
	default:
		r.WrongType("sql", v, "a string or a list of strings")
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
					r.Problems = append(r.Problems, engine.Problem{Task: r.task.ID, Path: []string{"properties", key}, Code: "unused", Message: key + " stands under config and under properties"})
				}
			case slices.Contains(elsewhere, key):
				idle = append(idle, key)
			default:
				r.Problems = append(r.Problems, engine.Problem{
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
