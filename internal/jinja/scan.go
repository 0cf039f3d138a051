package jinja

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// lexConfig is gonja's default syntax: {{ }}, {% %}, {# #}.
var lexConfig = func() *config.Config {
	c := config.New()
	c.KeepTrailingNewline = true // the scan takes one off already
	return c
}()

// scan prepares a source for gonja's lexer and runs it. The lexer leaves
// newlines and characters that it does not know at the front of the next
// token, and stumbles over backslashes in texts. So whitespace inside tags
// becomes blanks, unknown characters are refused here, and the content of
// texts is masked by letters of the same length: the parser takes it from the
// source, at the token's position.
func scan(source string) (clean string, toks []*tokens.Token, err error) {
	clean = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	clean = strings.TrimSuffix(clean, "\n")
	if !utf8.ValidString(clean) {
		return "", nil, fmt.Errorf("the template is not UTF-8")
	}
	masked, err := mask(clean)
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if p := recover(); p != nil { // gonja's lexer panics on some inputs
			err = fmt.Errorf("the template cannot be read")
		}
	}()
	for stream := tokens.LexAll(masked, lexConfig); ; stream.Next() {
		t := stream.Current()
		if t.Type == tokens.Error {
			return "", nil, fmt.Errorf("%s", lexProblem(t.Val))
		}
		toks = append(toks, t)
		if t.Type == tokens.EOF {
			return clean, toks, nil
		}
	}
}

// lexProblem is the lexer's error without what it quotes of the source.
func lexProblem(s string) string {
	if strings.HasPrefix(s, "Un") { // unbalanced, unexpected
		return strings.ToLower(s[:1]) + s[1:]
	}
	return "a text or a number is not complete"
}

// mask masks the texts in the tags of a source.
func mask(source string) (string, error) {
	out := []byte(source)
	for i := 0; i < len(source); {
		next := strings.IndexByte(source[i:], '{')
		if next < 0 || i+next+1 >= len(source) {
			break
		}
		i += next
		var err error
		switch source[i+1] {
		case '#':
			end := strings.Index(source[i+2:], "#}")
			if end < 0 {
				return "", mistake(source, i, "a comment {# is not closed by #}")
			}
			i += 2 + end + 2
		case '{', '%':
			i, err = maskTag(source, out, i)
		default:
			i++
		}
		if err != nil {
			return "", err
		}
	}
	return string(out), nil
}

// place names the line of an offset, in sources of more than one.
func place(source string, at int) string {
	if !strings.Contains(source, "\n") {
		return ""
	}
	return fmt.Sprintf("line %d: ", 1+strings.Count(source[:at], "\n"))
}

// placed is a mistake in a template, and the text at which it is.
type placed struct {
	text, piece string
}

func (e *placed) Error() string { return e.text }

// mistake is one at an offset of a source.
func mistake(source string, at int, format string, args ...any) error {
	return &placed{place(source, at) + fmt.Sprintf(format, args...), piece(source[at:])}
}

// maxPiece bounds the text by which a mistake is found in a file, in bytes.
const maxPiece = 40

// piece is the beginning of a text, as far as it stands so in a file, whatever
// quotes are around it.
func piece(text string) string {
	if len(text) > maxPiece {
		text = strings.ToValidUTF8(text[:maxPiece], "")
	}
	if end := strings.IndexAny(text, "\"'\\\r\n\t"); end >= 0 {
		text = text[:end]
	}
	return strings.TrimSpace(text)
}

// maskTag masks one tag that starts at an offset, and returns where it ends.
func maskTag(source string, out []byte, start int) (end int, err error) {
	closing, open := "}}", "{{"
	if source[start+1] == '%' {
		closing, open = "%}", "{%"
	}
	depth := 0
	for i := start + 2; i < len(source); {
		c, width := utf8.DecodeRuneInString(source[i:])
		switch {
		case depth == 0 && strings.HasPrefix(source[i:], closing):
			return afterRaw(source, start, i+2)
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' || c == ']' || c == '}':
			depth = max(0, depth-1)
		case c == '\'' || c == '"':
			n := textLen(source[i:])
			if n == 0 {
				return 0, mistake(source, i, "a text is not closed by %c", c)
			}
			for j := i + 1; j < i+n-1; j++ {
				out[j] = 'x'
			}
			i += n
			continue
		case unicode.IsSpace(c):
			for j := range width {
				out[i+j] = ' '
			}
		case c == '.' && numberBefore(source[start+2:i]) && i+1 < len(source) && source[i+1] >= utf8.RuneSelf, // the lexer would never end
			c == '!' && !strings.HasPrefix(source[i:], "!="):
			return 0, mistake(source, i, "unexpected %q in an expression", c)
		case c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c) && c < utf8.RuneSelf || strings.ContainsRune("+-*/%~<>=!.,:|", c):
		default:
			return 0, mistake(source, i, "unexpected %q in an expression", c)
		}
		i += width
	}
	return 0, mistake(source, start, "%s is not closed by %s", open, closing)
}

// numberBefore reports whether a source ends with a number.
func numberBefore(s string) bool {
	word := s[strings.LastIndexFunc(s, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })+1:]
	return word != "" && word[0] >= '0' && word[0] <= '9'
}

// textLen is the length of the text literal at the start of s, with its
// quotes; 0 when it does not end.
func textLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		}
	}
	return 0
}

// afterRaw skips the content of a raw block whose tag has just ended.
func afterRaw(source string, start, end int) (int, error) {
	if strings.Trim(source[start+2:end-2], "+- \t\n") != "raw" {
		return end, nil
	}
	for i := end; ; {
		next := strings.Index(source[i:], "{%")
		if next < 0 {
			return 0, mistake(source, start, "the tag \"raw\" is not ended by \"endraw\"")
		}
		i += next
		if strings.HasPrefix(strings.TrimLeft(strings.TrimLeft(source[i+2:], "+-"), " \t\n"), "endraw") {
			return i, nil
		}
		i += 2
	}
}
