package live

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
)

// maxTopics bounds what one stream listens to.
const maxTopics = 64

// topics are what a stream listens to.
type topics struct {
	text            string // as they were asked for
	runs, log, node bool
	run, flow, logs []string
}

// parseTopics reads "run:ID,flow:orders,log,log:orders,runs,node".
// engine.ErrInvalid.
func parseTopics(text string) (t topics, err error) {
	t.text = text
	words := strings.FieldsFunc(text, func(c rune) bool { return c == ',' })
	if len(words) == 0 || len(words) > maxTopics {
		return t, fmt.Errorf("%w: topics names %d topics, want 1 to %d, such as runs or run:ID", engine.ErrInvalid, len(words), maxTopics)
	}
	for _, word := range words {
		kind, id, of := strings.Cut(word, ":")
		switch {
		case kind == "runs" && !of:
			t.runs = true
		case kind == "log" && !of:
			t.log = true
		case kind == "node" && !of:
			t.node = true
		case kind == "run" && id != "":
			t.run = append(t.run, id)
		case kind == "flow" && id != "":
			t.flow = append(t.flow, id)
		case kind == "log" && id != "":
			t.logs = append(t.logs, id)
		default:
			return t, fmt.Errorf("%w: unknown topic %.60q; there are runs, run:ID, flow:ID, log, log:FLOW, node", engine.ErrInvalid, word)
		}
	}
	return t, nil
}

// named reports whether the topics name the event's run.
func (t *topics) named(e *Event) bool { return e.Run != "" && slices.Contains(t.run, e.Run) }

// want reports whether an event belongs to the topics.
func (t *topics) want(e *Event) bool {
	switch {
	case t.named(e):
		return true
	case e.Kind == "attempt":
		return t.log || slices.Contains(t.logs, e.Flow)
	case strings.HasPrefix(e.Kind, "run."):
		return t.runs || slices.Contains(t.flow, e.Flow)
	case strings.HasPrefix(e.Kind, "task."):
		return false
	}
	return t.node
}
