package wasmhooks

import (
	"path"
	"strings"
)

// complaint keeps what a module writes to its standard error during a call: the
// begin, where Go says why it panics and where, and the end, for modules that have
// written much before.
type complaint struct{ head, tail []byte }

const complaintSize = 4 << 10 // of each part

// Write implements io.Writer.
func (c *complaint) Write(p []byte) (int, error) {
	n := len(p)
	if room := complaintSize - len(c.head); room > 0 {
		c.head = append(c.head, p[:min(room, n)]...)
		p = p[min(room, n):]
	}
	c.tail = append(c.tail, p[max(0, len(p)-complaintSize):]...)
	if over := len(c.tail) - complaintSize; over > 0 {
		c.tail = append(c.tail[:0], c.tail[over:]...)
	}
	return n, nil
}

func (c *complaint) reset() { c.head, c.tail = c.head[:0], c.tail[:0] }

// reasons are how lines begin that say why a module ends itself: those of Go, and
// of Rust with WASI.
var reasons = []string{"panic: ", "fatal error: ", "runtime: out of memory", "thread '"}

// line is the line that says most: why the module ended itself, if it says so, with
// the place in its own source; otherwise the first one.
func (c *complaint) line() string {
	text := strings.ToValidUTF8(string(c.head)+string(c.tail), "\uFFFD")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	said := lines[0]
	for i, l := range lines {
		if hasReason(l) {
			said = l + place(lines[i:])
			break
		}
	}
	return cut(said, 300)
}

func hasReason(line string) bool {
	for _, r := range reasons {
		if strings.HasPrefix(line, r) {
			return true
		}
	}
	return false
}

// place finds the first function of the user in a trace of Go: a line with its
// name, and one with the file.
func place(trace []string) string {
	for i, l := range trace {
		if !strings.HasPrefix(l, "main.") || i+1 == len(trace) {
			continue
		}
		file, _, _ := strings.Cut(strings.TrimSpace(trace[i+1]), " ")
		if strings.Contains(file, ".go:") {
			return " (" + path.Base(file) + ")"
		}
	}
	return ""
}
