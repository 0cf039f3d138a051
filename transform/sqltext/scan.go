package sqltext

import (
	"fmt"
	"strings"
)

// Dialect is a kind of database, as far as its SQL is read differently.
type Dialect uint8

// The dialects.
const (
	SQLite Dialect = iota
	PostgreSQL
)

// String names the kind as operation logs do.
func (d Dialect) String() string {
	if d == PostgreSQL {
		return "postgresql"
	}
	return "sqlite"
}

// kind is what a token is.
type kind uint8

const (
	word      kind = iota // a keyword or a plain name
	text                  // a string, a quoted name
	parameter             // :name, :name.key
	semicolon
	opening // (
	closing // )
	other
)

// token is a piece of SQL; space and comments are none.
type token struct {
	kind       kind
	start, end int
}

// Error is SQL that cannot be used, and where.
type Error struct {
	At      int // offset in the text, in bytes
	Message string
	Refusal bool // of a statement that was read: it stands in a template too
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// scanner reads tokens.
type scanner struct {
	sql      string
	dialect  Dialect
	at       int
	brackets int // open ones, in PostgreSQL: an array or a slice of one
}

// next returns the next token; ok is false at the end.
func (s *scanner) next() (t token, ok bool, err error) {
	for s.at < len(s.sql) {
		start := s.at
		kind, err := s.read()
		if err != nil {
			return token{}, false, err
		}
		if kind != space {
			return token{kind, start, s.at}, true, nil
		}
	}
	return token{}, false, nil
}

// space is what stands between tokens.
const space kind = 255

func (s *scanner) read() (kind, error) {
	c := s.sql[s.at]
	switch {
	case c <= ' ' || c == 0x7f:
		s.at++
		return space, nil
	case c == '-' && s.ahead(1) == '-':
		if n := strings.IndexByte(s.sql[s.at:], '\n'); n >= 0 {
			s.at += n + 1
		} else {
			s.at = len(s.sql)
		}
		return space, nil
	case c == '/' && s.ahead(1) == '*':
		return space, s.comment()
	case c == '\'':
		return text, s.quoted('\'', false)
	case c == '"', c == '`' && s.dialect == SQLite:
		return text, s.quoted(c, false)
	case c == '[' && s.dialect == SQLite:
		return text, s.until(']', "[")
	case c == '[':
		s.brackets++
		s.at++
		return other, nil
	case c == ']':
		s.brackets = max(0, s.brackets-1)
		s.at++
		return other, nil
	case c == '$' && s.dialect == PostgreSQL:
		return s.dollar()
	case c == ':':
		return s.colon()
	case c == '?' && s.dialect == SQLite, c == '@' && s.dialect == SQLite && isName(s.ahead(1)), c == '$' && isName(s.ahead(1)):
		return other, &Error{At: s.at, Message: fmt.Sprintf("a parameter is written :name, not %s", s.sql[s.at:s.nameEnd(s.at+1)])}
	case isName(c):
		return s.word()
	}
	s.at++
	switch c {
	case ';':
		return semicolon, nil
	case '(':
		return opening, nil
	case ')':
		return closing, nil
	}
	return other, nil
}

// ahead is the byte n places further on; 0 past the end.
func (s *scanner) ahead(n int) byte {
	if s.at+n < len(s.sql) {
		return s.sql[s.at+n]
	}
	return 0
}

func isName(c byte) bool { return isStart(c) || '0' <= c && c <= '9' }

func isStart(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c >= 0x80 }

// IsName reports whether a parameter can be called so: :name.
func IsName(name string) bool {
	for i := range len(name) {
		if !isName(name[i]) {
			return false
		}
	}
	return name != "" && isStart(name[0])
}

func (s *scanner) nameEnd(at int) int {
	for at < len(s.sql) && isName(s.sql[at]) {
		at++
	}
	return at
}

// word reads a name, and the string that belongs to it in E'...'.
func (s *scanner) word() (kind, error) {
	start := s.at
	for s.at < len(s.sql) && (isName(s.sql[s.at]) || s.sql[s.at] == '$') {
		s.at++
	}
	if s.dialect == PostgreSQL && s.at-start == 1 && s.ahead(0) == '\'' && s.sql[start]|0x20 == 'e' {
		return text, s.quoted('\'', true)
	}
	return word, nil
}

// quoted reads to the closing quote; a doubled one is none. escapes is for
// PostgreSQL's E'...', where a backslash makes a quote text.
func (s *scanner) quoted(quote byte, escapes bool) error {
	start := s.at
	for s.at++; s.at < len(s.sql); s.at++ {
		switch c := s.sql[s.at]; {
		case c == '\\' && escapes:
			s.at++
		case c == quote && s.ahead(1) == quote:
			s.at++
		case c == quote:
			s.at++
			return nil
		}
	}
	s.at = len(s.sql)
	return &Error{At: start, Message: fmt.Sprintf("%c has no end", quote)}
}

func (s *scanner) until(end byte, what string) error {
	n := strings.IndexByte(s.sql[s.at:], end)
	if n < 0 {
		return &Error{At: s.at, Message: what + " has no end"}
	}
	s.at += n + 1
	return nil
}

// comment reads /* ... */, which nests in PostgreSQL. One without an end is a
// mistake, though SQLite takes the end of the text for it.
func (s *scanner) comment() error {
	start, depth := s.at, 0
	for s.at < len(s.sql) {
		switch {
		case s.sql[s.at] == '/' && s.ahead(1) == '*' && (depth == 0 || s.dialect == PostgreSQL):
			depth++
			s.at += 2
		case s.sql[s.at] == '*' && s.ahead(1) == '/':
			depth--
			s.at += 2
			if depth == 0 {
				return nil
			}
		default:
			s.at++
		}
	}
	return &Error{At: start, Message: "/* has no end"}
}

// dollar reads a dollar-quoted string of PostgreSQL: $$...$$ or $tag$...$tag$.
func (s *scanner) dollar() (kind, error) {
	if c := s.ahead(1); '0' <= c && c <= '9' {
		return other, &Error{At: s.at, Message: fmt.Sprintf("a parameter is written :name, not %s", s.sql[s.at:s.nameEnd(s.at+1)])}
	}
	end := s.nameEnd(s.at + 1)
	if end >= len(s.sql) || s.sql[end] != '$' {
		s.at++
		return other, nil
	}
	tag := s.sql[s.at : end+1]
	n := strings.Index(s.sql[end+1:], tag)
	if n < 0 {
		return other, &Error{At: s.at, Message: tag + " has no end"}
	}
	s.at = end + 1 + n + len(tag)
	return text, nil
}

// colon reads a parameter, or what else begins with a colon: a cast, an
// assignment, the bounds of a slice.
func (s *scanner) colon() (kind, error) {
	next := s.ahead(1)
	if next == ':' || next == '=' {
		s.at += 2
		return other, nil
	}
	slice := s.dialect == PostgreSQL && s.brackets > 0 && s.at > 0 && (isName(s.sql[s.at-1]) || strings.IndexByte(`)]"'`, s.sql[s.at-1]) >= 0)
	if !isStart(next) || slice {
		s.at++
		return other, nil
	}
	s.at = s.nameEnd(s.at + 1)
	for s.ahead(0) == '.' && isName(s.ahead(1)) {
		s.at = s.nameEnd(s.at + 1)
	}
	return parameter, nil
}
