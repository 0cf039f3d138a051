package hookguest

import "strconv"

// maxDepth bounds how deep arrays and objects may lie in one another.
const maxDepth = 1000

// SyntaxError says where a text stops being JSON.
type SyntaxError struct {
	Offset int // bytes before the place
	Reason string
}

func (e *SyntaxError) Error() string {
	return "not JSON: " + e.Reason + " at byte " + strconv.Itoa(e.Offset)
}

// scanner checks a document (RFC 8259). The first error stays.
type scanner struct {
	b   []byte
	i   int
	err *SyntaxError

	open [maxDepth]byte // the closing bracket of everything that is open
}

// checkDocument returns the bounds of the one value that b holds.
func checkDocument(b []byte) (start, end int, err *SyntaxError) {
	s := scanner{b: b}
	s.space()
	start = s.i
	s.value()
	end = s.i
	s.space()
	if s.err == nil && s.i < len(b) {
		s.fail("more text after the value")
	}
	return start, end, s.err
}

func (s *scanner) fail(reason string) {
	if s.err == nil {
		if s.i >= len(s.b) {
			reason = "the text ends early"
		}
		s.err = &SyntaxError{Offset: min(s.i, len(s.b)), Reason: reason}
	}
	s.i = len(s.b)
}

// peek is the byte at hand, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) space() {
	for s.i < len(s.b) && isSpace(s.b[s.i]) {
		s.i++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// value steps over one value and all that it holds. It is a loop, not a
// recursion, because the stack of a module is short: one of wazero's engines
// ends at 2000 calls.
func (s *scanner) value() {
	for depth := 0; s.err == nil; {
		if s.begin(&depth) {
			continue // with the first thing inside
		}
		for ; depth > 0 && s.next(s.open[depth-1]); depth-- {
		}
		if depth == 0 {
			return
		}
		if s.open[depth-1] == '}' {
			s.name()
		}
	}
}

// begin steps over a simple value or an empty list, or into a list that is not
// empty; of an object up to the first value.
func (s *scanner) begin(depth *int) (inside bool) {
	s.space()
	switch c := s.peek(); c {
	case '{', '[':
		if *depth == maxDepth {
			s.fail("nested too deep")
			return false
		}
		closing := c + 2 // as ASCII has it, for both kinds
		s.i++
		s.space()
		if s.peek() == closing {
			s.i++
			return false
		}
		s.open[*depth] = closing
		*depth++
		if closing == '}' {
			s.name()
		}
		return true
	case '"':
		s.str()
	case 't':
		s.word("true")
	case 'f':
		s.word("false")
	case 'n':
		s.word("null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		s.number()
	default:
		s.fail("no value")
	}
	return false
}

// name steps over the name of a member and its colon.
func (s *scanner) name() {
	s.space()
	if s.peek() != '"' {
		s.fail("no name of a member")
		return
	}
	s.str()
	s.space()
	if s.peek() != ':' {
		s.fail("no colon after a name")
		return
	}
	s.i++
}

// next steps over a comma, or over the closing bracket, which ends a list.
func (s *scanner) next(closing byte) (ended bool) {
	s.space()
	switch s.peek() {
	case ',':
		s.i++
		return false
	case closing:
		s.i++
		return true
	}
	s.fail("no comma and no closing bracket")
	return false
}

func (s *scanner) str() {
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return
		case c == '\\':
			if !s.escape() {
				return
			}
		case c < 0x20:
			s.fail("a control character in a string")
			return
		}
	}
	s.fail("a string without end")
}

// escape steps to the last byte of an escape sequence.
func (s *scanner) escape() bool {
	s.i++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		if _, ok := hex4(s.b, s.i+1); ok {
			s.i += 4
			return true
		}
	}
	s.fail("an unknown escape")
	return false
}

func (s *scanner) number() {
	if s.peek() == '-' {
		s.i++
	}
	if s.peek() == '0' {
		s.i++
	} else if !s.digits() {
		return
	}
	if s.peek() == '.' {
		s.i++
		if !s.digits() {
			return
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c = s.peek(); c == '+' || c == '-' {
			s.i++
		}
		s.digits()
	}
}

func (s *scanner) digits() bool {
	if !isDigit(s.peek()) {
		s.fail("a digit is missing")
		return false
	}
	for isDigit(s.peek()) {
		s.i++
	}
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (s *scanner) word(w string) {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		s.fail("an unknown word")
		return
	}
	s.i += len(w)
}

// skip returns the end of the value that starts at i, in a document that was
// checked. It stays within b whatever b holds.
func skip(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				i = skipString(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return len(b)
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && !isSpace(b[i]) {
		i++
	}
	return i
}

func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(b)
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}
