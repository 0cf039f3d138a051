package transform

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// statement is one statement, ready for the database.
type statement struct {
	text   string // as it is written
	source string // as the flow has it, where it was rendered from that
	start  int    // where that stands in the whole text
	query  string // with the database's own parameters
	params []string
	spots  []spot // of the parameters, in order

	verb    string // in lower case: "select", "insert"
	rows    bool   // it gives rows
	writes  bool   // it may change data
	session bool   // it may leave something in the session: a setting, a table
}

// spot is where a parameter stands.
type spot struct {
	text, query       int // offsets of its beginning
	textLen, queryLen int
}

// split scans SQL and splits it into its statements. Empty ones are left out.
func split(sql string, d dialect) ([]statement, error) {
	s := &scanner{sql: sql, dialect: d}
	var out []statement
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
func newStatement(sql string, tokens []token, d dialect) (statement, error) {
	start, end := tokens[0].start, tokens[len(tokens)-1].end
	st := statement{text: sql[start:end], start: start}
	st.substitute(sql, tokens, d)
	st.classify(sql, tokens)
	if why := refused(sql, tokens, d); why != "" {
		return st, &scanError{start, why, true}
	}
	return st, nil
}

// substitute writes the query with the database's parameters. In SQLite all
// places of a name are one parameter; in PostgreSQL each is one of its own, so
// that each can have the type that its place wants.
func (st *statement) substitute(sql string, tokens []token, d dialect) {
	var b strings.Builder
	at := st.start
	for _, t := range tokens {
		if t.kind != parameter {
			continue
		}
		b.WriteString(sql[at:t.start])
		name := sql[t.start+1 : t.end]
		n := slices.Index(st.params, name) + 1
		if n == 0 || d == postgres {
			st.params = append(st.params, name)
			n = len(st.params)
		}
		own := "?" + strconv.Itoa(n)
		if d == postgres {
			own = "$" + strconv.Itoa(n)
		}
		st.spots = append(st.spots, spot{t.start - st.start, b.Len(), t.end - t.start, len(own)})
		b.WriteString(own)
		at = t.end
	}
	b.WriteString(sql[at : st.start+len(st.text)])
	st.query = b.String()
}

// offset turns a place in the query into one in the text as written.
func (st *statement) offset(query int) int {
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
	return min(query+shift, len(st.text))
}

// The words by which statements are told apart.
var (
	verbs    = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "VALUES", "TABLE"}
	giving   = []string{"select", "values", "table", "show", "explain", "pragma", "fetch"}
	writing  = []string{"INSERT", "UPDATE", "DELETE", "MERGE", "INTO", "TRUNCATE", "CREATE", "DROP", "ALTER", "CALL"}
	settings = []string{"TEMP", "TEMPORARY", "SET", "RESET", "LISTEN", "PREPARE", "DECLARE", "DISCARD", "LOAD", "SET_CONFIG", "PG_ADVISORY_LOCK", "PG_ADVISORY_LOCK_SHARED"}
)

// classify says what the statement does, as far as its words tell.
func (st *statement) classify(sql string, tokens []token) {
	depth, with := 0, false
	for i, t := range tokens {
		switch t.kind {
		case opening:
			depth++
		case closing:
			depth--
		case word:
			w := upper(sql, t)
			st.session = st.session || slices.Contains(settings, w) && (i == 0 || w != "SET")
			st.writes = st.writes || slices.Contains(writing, w)
			if w == "RETURNING" && depth == 0 {
				st.rows = true
			}
			switch {
			case st.verb == "" && w == "WITH" && depth == 0:
				with = true
			case st.verb == "" && (!with || depth == 0 && slices.Contains(verbs, w)):
				st.verb = strings.ToLower(w)
			}
		}
	}
	if st.verb == "" {
		st.verb = "sql"
	}
	st.rows = st.rows || slices.Contains(giving, st.verb)
	st.writes = st.writes || !slices.Contains(giving, st.verb)
	if st.verb == "explain" || st.verb == "pragma" {
		st.writes = false
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

// refused says why a statement cannot be run; "" when it can.
func refused(sql string, tokens []token, d dialect) string {
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
	if first == "PRAGMA" && d == sqlite {
		name := second
		if len(tokens) > 3 && sql[tokens[2].start:tokens[2].end] == "." {
			name = upper(sql, tokens[3])
		}
		if !slices.Contains(pragmas, name) {
			return fmt.Sprintf("PRAGMA %s: it would stay set for other tasks", strings.ToLower(name))
		}
		if slices.Contains([]string{"SCHEMA_VERSION", "ENCODING", "PAGE_SIZE"}, name) && strings.Contains(sql[tokens[0].start:tokens[len(tokens)-1].end], "=") {
			return fmt.Sprintf("PRAGMA %s: it can only be read", strings.ToLower(name))
		}
	}
	return ""
}

// place is a line and column, both from 1, of an offset; columns are characters.
func place(text string, at int) (line, column int) {
	at = min(max(at, 0), len(text))
	before := text[:at]
	line = strings.Count(before, "\n") + 1
	return line, len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
}
