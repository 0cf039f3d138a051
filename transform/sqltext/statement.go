package sqltext

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Statement is one statement, ready for the database.
type Statement struct {
	Text   string   // as it is written
	Source string   // as a flow has it, where it was rendered from that; left to the caller
	Start  int      // where Text stands in the whole text, in bytes
	Query  string   // Text with the database's own parameters: ?1, $1
	Params []string // what they stand for, in order: "xcom_fetch.total"
	Quoted []string // names in quotes, ':city': a text that was perhaps meant as a parameter

	Verb    string // in lower case: "select", "insert"
	Rows    bool   // it gives rows
	Writes  bool   // it may change data
	Session bool   // it may leave something in the session: a setting, a table

	spots []spot // of the parameters, in order
}

// spot is where a parameter stands.
type spot struct {
	text, query       int // offsets of its beginning
	textLen, queryLen int
	param             int // which of Params stands there
}

// Split scans SQL and splits it into its statements; empty ones are left out.
// Where it cannot, the error is an *Error, and the statements before it are
// returned.
func Split(sql string, d Dialect) ([]Statement, error) {
	s := &scanner{sql: sql, dialect: d}
	var out []Statement
	var tokens []token
	body := bodyOf{sql: sql}
	for {
		t, ok, err := s.next()
		if err != nil {
			return out, err
		}
		if ok && (t.kind != semicolon || body.inside(tokens)) {
			tokens = append(tokens, t)
			body.take(tokens)
			continue
		}
		if len(tokens) > 0 {
			st, err := newStatement(sql, tokens, d)
			if err != nil {
				return out, err
			}
			out = append(out, st)
		}
		if !ok {
			return out, nil
		}
		tokens, body, s.brackets = nil, bodyOf{sql: sql}, 0
	}
}

// bodyOf follows the body of a trigger or function, in which semicolons do not
// end the statement.
type bodyOf struct {
	sql     string
	trigger bool // CREATE TRIGGER: it ends with "; END ;"
	depth   int  // of BEGIN ATOMIC and CASE: each ends with END
}

func (b *bodyOf) take(tokens []token) {
	last := tokens[len(tokens)-1]
	if last.kind != word {
		return
	}
	switch w := upper(b.sql, last); {
	case w == "TRIGGER" && len(tokens) <= 3 && upper(b.sql, tokens[0]) == "CREATE":
		b.trigger = true
	case w == "ATOMIC" && len(tokens) > 1 && upper(b.sql, tokens[len(tokens)-2]) == "BEGIN":
		b.trigger, b.depth = false, 1
	case w == "CASE" && b.depth > 0:
		b.depth++
	case w == "END" && b.depth > 0:
		b.depth--
	}
}

// inside reports whether a semicolon after these tokens is a part of the body.
func (b *bodyOf) inside(tokens []token) bool {
	if b.depth > 0 {
		return true
	}
	if !b.trigger {
		return false
	}
	begun := slices.ContainsFunc(tokens, func(t token) bool { return t.kind == word && upper(b.sql, t) == "BEGIN" })
	n := len(tokens)
	ended := n > 1 && tokens[n-2].kind == semicolon && tokens[n-1].kind == word && upper(b.sql, tokens[n-1]) == "END"
	return begun && !ended
}

func upper(sql string, t token) string { return strings.ToUpper(sql[t.start:t.end]) }

// newStatement makes a statement of its tokens.
func newStatement(sql string, tokens []token, d Dialect) (Statement, error) {
	start, end := tokens[0].start, tokens[len(tokens)-1].end
	st := Statement{Text: sql[start:end], Start: start}
	st.substitute(sql, tokens, d)
	st.classify(sql, tokens)
	if why := refused(sql, tokens, d); why != "" {
		return st, &Error{At: start, Message: why, Refusal: true}
	}
	return st, nil
}

// substitute writes the query with the database's parameters. In SQLite all
// places of a name are one parameter; in PostgreSQL each is one of its own, so
// that each can have the type that its place wants.
func (st *Statement) substitute(sql string, tokens []token, d Dialect) {
	var b strings.Builder
	at := st.Start
	for _, t := range tokens {
		if t.kind == text {
			if name, ok := strings.CutPrefix(sql[t.start:t.end], "':"); ok && IsName(strings.ReplaceAll(strings.TrimSuffix(name, "'"), ".", "_")) {
				st.Quoted = append(st.Quoted, strings.TrimSuffix(name, "'"))
			}
		}
		if t.kind != parameter {
			continue
		}
		b.WriteString(sql[at:t.start])
		name := sql[t.start+1 : t.end]
		n := slices.Index(st.Params, name) + 1
		if n == 0 || d == PostgreSQL {
			st.Params = append(st.Params, name)
			n = len(st.Params)
		}
		own := "?" + strconv.Itoa(n)
		if d == PostgreSQL {
			own = "$" + strconv.Itoa(n)
		}
		st.spots = append(st.spots, spot{t.start - st.Start, b.Len(), t.end - t.start, len(own), n - 1})
		b.WriteString(own)
		at = t.end
	}
	b.WriteString(sql[at : st.Start+len(st.Text)])
	st.Query = b.String()
}

// ParamOffset is where in Text the parameter Params[n] stands for the first
// time, in bytes.
func (st *Statement) ParamOffset(n int) int {
	for _, s := range st.spots {
		if s.param == n {
			return s.text
		}
	}
	return 0
}

// Offset turns a place in Query into one in Text, both in bytes.
func (st *Statement) Offset(query int) int {
	shift := 0
	for _, s := range st.spots {
		if query < s.query {
			break
		}
		if query < s.query+s.queryLen {
			return s.text
		}
		shift = s.text + s.textLen - s.query - s.queryLen
	}
	return min(query+shift, len(st.Text))
}

// The words by which statements are told apart.
var (
	verbs    = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "VALUES", "TABLE"}
	giving   = []string{"select", "values", "table", "show", "explain", "pragma", "fetch"}
	writing  = []string{"INSERT", "UPDATE", "DELETE", "MERGE", "INTO", "TRUNCATE", "CREATE", "DROP", "ALTER", "CALL"}
	settings = []string{"TEMP", "TEMPORARY", "SET", "RESET", "LISTEN", "PREPARE", "DECLARE", "DISCARD", "LOAD", "SET_CONFIG", "PG_ADVISORY_LOCK", "PG_ADVISORY_LOCK_SHARED"}
)

// classify says what the statement does, as far as its words tell.
func (st *Statement) classify(sql string, tokens []token) {
	depth, with, analyzed := 0, false, false
	for i, t := range tokens {
		switch t.kind {
		case opening:
			depth++
		case closing:
			depth--
		case word:
			w := upper(sql, t)
			analyzed = analyzed || w == "ANALYZE"
			st.Session = st.Session || slices.Contains(settings, w) && (i == 0 || w != "SET")
			st.Writes = st.Writes || slices.Contains(writing, w)
			if w == "RETURNING" && depth == 0 {
				st.Rows = true
			}
			switch {
			case st.Verb == "" && w == "WITH" && depth == 0:
				with = true
			case st.Verb == "" && (!with || depth == 0 && slices.Contains(verbs, w)):
				st.Verb = strings.ToLower(w)
			}
		}
	}
	if st.Verb == "" {
		st.Verb = "sql"
	}
	st.Rows = st.Rows || slices.Contains(giving, st.Verb)
	st.Writes = st.Writes || !slices.Contains(giving, st.Verb)
	if st.Verb == "explain" && !analyzed { // EXPLAIN ANALYZE runs what it explains
		st.Writes = false
	}
	if st.Verb == "pragma" {
		name, given := pragma(sql, tokens)
		st.Writes = given && slices.Contains(numbers, name)
	}
}

// refusals are statements that cannot be a part of a task's transaction.
var refusals = map[string]string{
	"BEGIN": "a task is one transaction: leave it out", "START": "a task is one transaction: leave it out", "COMMIT": "a task is one transaction: leave it out",
	"END": "a task is one transaction: leave it out", "ABORT": "a task is one transaction: leave it out", "ROLLBACK": "a task is one transaction, and an error rolls it back: leave it out",
	"VACUUM": "it cannot run within a transaction", "COPY": "it moves files or a stream: write INSERT ... SELECT",
	"ATTACH": "a task works on one database", "DETACH": "a task works on one database",
}

// pragmas are those of SQLite that only tell something, or end with the
// transaction.
var pragmas = []string{
	"TABLE_INFO", "TABLE_XINFO", "TABLE_LIST", "INDEX_INFO", "INDEX_XINFO", "INDEX_LIST", "FOREIGN_KEY_LIST", "FOREIGN_KEY_CHECK", "INTEGRITY_CHECK", "QUICK_CHECK",
	"DATABASE_LIST", "COMPILE_OPTIONS", "FUNCTION_LIST", "COLLATION_LIST", "MODULE_LIST", "PRAGMA_LIST", "PAGE_COUNT", "PAGE_SIZE", "FREELIST_COUNT", "USER_VERSION", "APPLICATION_ID", "DEFER_FOREIGN_KEYS",
	"ENCODING", "DATA_VERSION", "SCHEMA_VERSION",
}

// numbers are pragmas that a file keeps what they are given.
var numbers = []string{"USER_VERSION", "APPLICATION_ID"}

// pragma is the name of one, and whether it is given a value: = value, (value).
func pragma(sql string, tokens []token) (name string, given bool) {
	rest := tokens[1:]
	if len(rest) > 2 && sql[rest[1].start:rest[1].end] == "." { // of a schema
		rest = rest[2:]
	}
	if len(rest) == 0 {
		return "", false
	}
	return upper(sql, rest[0]), len(rest) > 1 && strings.Contains("=(", sql[rest[1].start:rest[1].end])
}

// refused says why a statement cannot be run; "" when it can.
func refused(sql string, tokens []token, d Dialect) string {
	if tokens[0].kind != word {
		return ""
	}
	first, second := upper(sql, tokens[0]), ""
	if len(tokens) > 1 {
		second = upper(sql, tokens[1])
	}
	if first == "ROLLBACK" && slices.ContainsFunc(tokens, func(t token) bool { return upper(sql, t) == "TO" }) {
		return ""
	}
	if why := refusals[first]; why != "" {
		return first + ": " + why
	}
	if first == "PREPARE" && second == "TRANSACTION" {
		return "PREPARE TRANSACTION: a task is one transaction: leave it out"
	}
	if first == "PRAGMA" && d == SQLite {
		name, given := pragma(sql, tokens)
		if !slices.Contains(pragmas, name) {
			return fmt.Sprintf("PRAGMA %s: it would stay set for other tasks", strings.ToLower(name))
		}
		if slices.Contains([]string{"SCHEMA_VERSION", "ENCODING", "PAGE_SIZE"}, name) && given {
			return fmt.Sprintf("PRAGMA %s: it can only be read", strings.ToLower(name))
		}
	}
	return ""
}

// WithoutTexts is SQL with a word in place of each text in it, as in 'word'; names
// in quotes stay. Where it cannot be read, as inside of a template, all that follows
// is left out.
func WithoutTexts(sql, word string) string {
	var out strings.Builder
	s := &scanner{sql: sql, dialect: PostgreSQL} // its texts are written in more ways
	at := 0
	for {
		from := s.at
		t, ok, err := s.next()
		switch {
		case err != nil:
			return out.String() + strings.TrimRight(sql[at:from], " ") + " '" + word + "'"
		case !ok:
			return out.String() + sql[at:]
		case t.kind == text && sql[t.start] != '"':
			out.WriteString(sql[at:t.start] + "'" + word + "'")
			at = t.end
		}
	}
}

// Place is the line and column, both from 1, of an offset; columns are characters.
func Place(text string, at int) (line, column int) {
	at = min(max(at, 0), len(text))
	before := text[:at]
	line = strings.Count(before, "\n") + 1
	return line, len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
}

// Masked is a template's text with spaces where its tags are, so that the SQL
// around them can be read before there is data.
func Masked(text string) string {
	out := []byte(text)
	for i := 0; i+1 < len(out); i++ {
		ends := map[string]string{"{{": "}}", "{%": "%}", "{#": "#}"}[string(out[i:i+2])]
		if ends == "" {
			continue
		}
		end := len(out)
		if n := strings.Index(string(out[i+2:]), ends); n >= 0 {
			end = i + 2 + n + 2
		}
		for ; i < end; i++ {
			if out[i] != '\n' {
				out[i] = ' '
			}
		}
		i--
	}
	return string(out)
}
