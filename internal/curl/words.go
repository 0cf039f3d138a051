package curl

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxLine is the longest command line that is read, in bytes.
const maxLine = 1 << 20

// Variable is what a shell variable in a word is read as: its value is not known.
// The name stands between two bytes that no text has.
func Variable(name string) string { return "\x00" + name + "\x00" }

// split takes a command line apart as the shells do into which browsers and
// manuals copy it: bash with its quotes, and cmd.exe with its carets.
func split(line string) ([]string, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("the command has %d bytes, at most %d are read", len(line), maxLine)
	}
	if strings.Contains(line, "\x00") {
		return nil, errors.New("the command has a NUL in it")
	}
	if carets(line) {
		line = unescapeCarets(line)
	}
	s := &scanner{rest: line}
	return s.words()
}

// carets reports whether a line was escaped for cmd.exe: a line ends in ^, or a
// quote has one before it.
func carets(line string) bool {
	return strings.Contains(line, `^"`) || strings.Contains(line, "^\n") || strings.Contains(line, "^\r\n")
}

// unescapeCarets takes the first layer away that cmd.exe takes away: ^x is x, ^
// at the end of a line goes on with the next one. What is left has the quotes of
// the C runtime, in which \" is a quote, and so has bash.
func unescapeCarets(line string) string {
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		if line[i] != '^' || i+1 == len(line) {
			b.WriteByte(line[i])
			continue
		}
		i++
		switch {
		case line[i] == '\r' && i+1 < len(line) && line[i+1] == '\n':
			i++
		case line[i] == '\n' && i+1 < len(line) && (line[i+1] == '\n' || line[i+1] == '^'): // a line break that is meant
			b.WriteByte('\n')
			for i+1 < len(line) && line[i+1] == '\n' {
				i++
			}
		case line[i] == '\n':
		default:
			if line[i] == '$' || line[i] == '`' { // which mean nothing there
				b.WriteByte('\\')
			}
			b.WriteByte(line[i])
		}
	}
	return b.String()
}

// scanner reads words (POSIX 2.2; the quotes $'...' are those of bash).
type scanner struct {
	rest string
	word strings.Builder
	open bool // there is a word, be it empty
}

func (s *scanner) words() (out []string, err error) {
	end := func() {
		if s.open {
			out = append(out, s.word.String())
		}
		s.word.Reset()
		s.open = false
	}
	for s.rest != "" {
		switch c := s.rest[0]; {
		case c == ' ' || c == '\t' || c == '\r':
			s.rest = s.rest[1:]
			end()
		case c == '\n' || c == ';' || c == '|' || c == '&' || c == '>' || c == '<':
			end()
			if strings.TrimSpace(s.rest[1:]) != "" || c != '\n' && c != ';' {
				if c == '\n' && len(out) == 0 {
					s.rest = s.rest[1:]
					continue
				}
				return out, fmt.Errorf("after the curl command there is more: %q", string(c))
			}
			return out, nil
		case c == '#' && !s.open:
			line, after, _ := strings.Cut(s.rest, "\n")
			_ = line
			s.rest = after
		default:
			if err := s.part(); err != nil {
				return nil, err
			}
		}
	}
	end()
	return out, nil
}

// part reads a piece of a word.
func (s *scanner) part() error {
	switch {
	case strings.HasPrefix(s.rest, "\\\r\n"):
		s.rest = s.rest[3:]
		return nil
	case strings.HasPrefix(s.rest, "\\\n"):
		s.rest = s.rest[2:]
		return nil
	case strings.HasPrefix(s.rest, "$'"):
		s.open = true
		return s.ansi()
	case s.rest[0] == '\'':
		s.open = true
		text, after, ok := strings.Cut(s.rest[1:], "'")
		if !ok {
			return errors.New("a quote ' is not closed")
		}
		s.word.WriteString(text)
		s.rest = after
		return nil
	case s.rest[0] == '"':
		s.open = true
		return s.double()
	case s.rest[0] == '$':
		s.open = true
		return s.variable()
	case s.rest[0] == '`':
		return errors.New("the command has a command of its own in it: `...`")
	}
	s.open = true
	if s.rest[0] == '\\' {
		s.rest = s.rest[1:]
		if s.rest == "" {
			return nil
		}
	}
	_, n := utf8.DecodeRuneInString(s.rest)
	s.word.WriteString(s.rest[:n])
	s.rest = s.rest[n:]
	return nil
}

func (s *scanner) double() error {
	s.rest = s.rest[1:]
	for s.rest != "" {
		switch c := s.rest[0]; {
		case c == '"':
			s.rest = s.rest[1:]
			return nil
		case c == '$':
			if err := s.variable(); err != nil {
				return err
			}
			continue
		case c == '`':
			return errors.New("the command has a command of its own in it: `...`")
		case c == '\\' && len(s.rest) > 1 && strings.IndexByte("\\\"$`\n", s.rest[1]) >= 0:
			if s.rest[1] != '\n' {
				s.word.WriteByte(s.rest[1])
			}
			s.rest = s.rest[2:]
			continue
		default:
			s.word.WriteByte(c)
		}
		s.rest = s.rest[1:]
	}
	return errors.New("a quote \" is not closed")
}

// variable reads $NAME or ${NAME}; a dollar before anything else is one.
func (s *scanner) variable() error {
	s.rest = s.rest[1:]
	if strings.HasPrefix(s.rest, "(") {
		return errors.New("the command has a command of its own in it: $(...)")
	}
	name, braces := s.rest, strings.HasPrefix(s.rest, "{")
	if braces {
		name = s.rest[1:]
	}
	n := 0
	for n < len(name) && (name[n] == '_' || 'a' <= name[n]|0x20 && name[n]|0x20 <= 'z' || n > 0 && '0' <= name[n] && name[n] <= '9') {
		n++
	}
	switch {
	case n == 0 && !braces:
		s.word.WriteByte('$')
		return nil
	case braces && (n == 0 || n == len(name) || name[n] != '}'):
		return errors.New("the command has a ${...} that is more than the name of a variable")
	}
	s.word.WriteString(Variable(name[:n]))
	if s.rest = name[n:]; braces {
		s.rest = s.rest[1:]
	}
	return nil
}

// ansi reads $'...'.
func (s *scanner) ansi() error {
	text := s.rest[2:]
	simple := map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 'a': 7, 'b': 8, 'e': 27, 'E': 27, 'f': 12, 'v': 11, '\\': '\\', '\'': '\'', '"': '"', '?': '?'}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\'':
			s.rest = text[i+1:]
			return nil
		case c != '\\' || i+1 == len(text):
			s.word.WriteByte(c)
		default:
			i++
			if plain, ok := simple[text[i]]; ok {
				s.word.WriteByte(plain)
				continue
			}
			n, code, err := escape(text[i:])
			if err != nil {
				return err
			}
			if text[i] == 'u' || text[i] == 'U' {
				if rest := text[i+n:]; utf16.IsSurrogate(rune(code)) && strings.HasPrefix(rest, `\u`) { // browsers write both halves
					if m, low, err := escape(rest[1:]); err == nil {
						code, n = int(utf16.DecodeRune(rune(code), rune(low))), n+1+m
					}
				}
				s.word.WriteRune(rune(code))
			} else {
				s.word.WriteByte(byte(code))
			}
			i += n - 1
		}
	}
	return errors.New("a quote $' is not closed")
}

// escape reads \xHH, \uHHHH, \UHHHHHHHH and \NNN.
func escape(s string) (n, code int, err error) {
	digits, base := 3, 8
	start := 0
	switch s[0] {
	case 'x':
		digits, base, start = 2, 16, 1
	case 'u':
		digits, base, start = 4, 16, 1
	case 'U':
		digits, base, start = 8, 16, 1
	}
	n = start
	for n < len(s) && n < start+digits {
		d := strings.IndexByte("0123456789abcdef", s[n]|0x20)
		if '0' <= s[n] && s[n] <= '9' {
			d = int(s[n] - '0')
		}
		if d < 0 || d >= base {
			break
		}
		code = code*base + d
		n++
	}
	if n == start || code > utf8.MaxRune {
		return 0, 0, fmt.Errorf("\\%c is no escape of $'...'", s[0])
	}
	return n, code, nil
}
