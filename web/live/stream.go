package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/qarion/qarion/engine"
)

// The bounds. Those of Streams can be lowered by tests.
const (
	maxStreams   = 200 // at a time
	maxCatchUps  = 8   // that read what the ring has no more, at a time
	flushTime    = 200 * time.Millisecond
	commentTime  = 15 * time.Second // a comment shows that the stream lives
	browserRetry = 1000             // milliseconds until a browser connects again
	maxLines     = 200              // of a message, before lines share one
)

// place is where a stream stands: its id in the browser's eyes.
type place struct {
	origin int64
	seq    uint64
}

func (p place) String() string {
	return strconv.FormatInt(p.origin, 36) + "-" + strconv.FormatUint(p.seq, 10)
}

func parsePlace(text string) (p place, err error) {
	origin, seq, _ := strings.Cut(text, "-")
	if p.origin, err = strconv.ParseInt(origin, 36, 64); err == nil {
		p.seq, err = strconv.ParseUint(seq, 10, 64)
	}
	if err != nil {
		return p, fmt.Errorf("%w: %.60q is not the id of an event", engine.ErrInvalid, text)
	}
	return p, nil
}

// Streams are the open streams of a door.
type Streams struct {
	hub     hub
	places  chan struct{}
	catchUp chan struct{}
	closed  chan struct{}
	closing sync.Once
}

// New makes the place where streams are served.
func New() *Streams {
	return &Streams{places: make(chan struct{}, maxStreams), catchUp: make(chan struct{}, maxCatchUps), closed: make(chan struct{})}
}

// Close ends all streams: browsers try again and find out what is next.
func (s *Streams) Close() { s.closing.Do(func() { close(s.closed) }) }

// Count is how many streams are open.
func (s *Streams) Count() int { return len(s.places) }

// Serve answers a request for a stream until its caller is gone: of ?topics=,
// after the place in Last-Event-ID or ?after=, or from now on. With an error
// nothing was written yet. engine.ErrInvalid, engine.ErrUnavailable: there are
// too many streams.
func (s *Streams) Serve(w http.ResponseWriter, r *http.Request, from Source) error {
	query := r.URL.Query()
	listens, err := parseTopics(query.Get("topics"))
	if err != nil {
		return err
	}
	asked := r.Header.Get("Last-Event-ID")
	if asked == "" {
		asked = query.Get("after")
	}
	var at place
	if asked != "" {
		if at, err = parsePlace(asked); err != nil {
			return err
		}
	}
	select {
	case s.places <- struct{}{}:
	default:
		return fmt.Errorf("%w: %d event streams are open already", engine.ErrUnavailable, cap(s.places))
	}
	defer func() { <-s.places }()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	now, leave, err := s.hub.join(ctx, from)
	if err != nil {
		return err
	}
	defer leave()
	st := &stream{Streams: s, w: w, control: http.NewResponseController(w), from: from, topics: listens, at: now}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // of proxies
	w.WriteHeader(http.StatusOK)
	st.printf("retry: %d\n\n", browserRetry)
	switch {
	case asked == "":
		st.printf("event: hello\nid: %s\ndata: {}\n\n", now)
	case !st.reachable(ctx, at):
		st.reset()
	default:
		st.at = at
	}
	st.run(ctx)
	return nil
}

// stream is one stream being served.
type stream struct {
	*Streams
	w       io.Writer
	control *http.ResponseController
	from    Source
	topics  topics
	at      place // all up to here was told
	failed  error // of writing
}

func (st *stream) printf(format string, args ...any) { st.send(fmt.Appendf(nil, format, args...)) }

// send writes and flushes.
func (st *stream) send(text []byte) {
	if st.failed != nil {
		return
	}
	if _, st.failed = st.w.Write(text); st.failed == nil {
		st.failed = st.control.Flush()
	}
}

// reachable reports whether everything after a place can still be told.
func (st *stream) reachable(ctx context.Context, at place) bool {
	span, err := st.from.EventSpan(ctx)
	return err == nil && span.Origin == at.origin && span.Origin == st.hub.oldest().origin && at.seq <= span.Last && at.seq+1 >= span.First
}

// reset tells the browser that it has missed something, and to load anew.
func (st *stream) reset() {
	now := st.hub.now()
	st.printf("event: reset\nid: %s\ndata: {}\n\n", now)
	st.at = now
}

// run tells what happens, when the hub says so.
func (st *stream) run(ctx context.Context) {
	comment := time.NewTicker(commentTime)
	defer comment.Stop()
	for st.failed == nil {
		text, to, changed, found := st.hub.after(st.at, &st.topics)
		if !found {
			if err := st.missed(ctx); err != nil {
				return
			}
			continue
		}
		if text != nil {
			st.send(text)
		}
		if to != st.at {
			st.at = to
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-st.closed:
			return
		case <-comment.C:
			st.printf(": id %s\n\n", st.at)
		case <-changed:
		}
	}
}

// missed tells what the ring has no more from the stream itself.
func (st *stream) missed(ctx context.Context) error {
	if !st.reachable(ctx, st.at) {
		st.reset()
		return nil
	}
	select {
	case st.catchUp <- struct{}{}:
		defer func() { <-st.catchUp }()
	case <-ctx.Done():
		return ctx.Err()
	case <-st.closed:
		return errors.New("closed")
	}
	until := st.hub.oldest()
	var part []Event
	tell := func() {
		st.at.seq = part[len(part)-1].Seq
		if text := messageOf(part, &st.topics, st.at); text != nil {
			st.send(text)
		}
		part = part[:0]
	}
	err := st.from.ReadEvents(ctx, st.at.seq, false, func(e Event) {
		if part = append(part, e); len(part) == 1000 && st.failed == nil {
			tell()
		}
	})
	if err != nil {
		return err
	}
	if len(part) > 0 {
		tell()
	}
	st.at.seq = max(st.at.seq, until.seq)
	return st.failed
}

// line is what is told of an event, or of several.
type line struct {
	Kind string `json:"kind"`
	Flow string `json:"flow,omitempty"`
	Task string `json:"task,omitempty"`
	Run  string `json:"run,omitempty"`
	N    int    `json:"n,omitempty"` // events that the line stands for, where there are several
}

// messageOf is what streams tell of events, up to a place; nil where none is
// wanted. It is one message, which arrives whole or not at all, so that a stream
// that goes on after its id tells nothing twice. Events that are alike share a
// line, and where there are many, those of a flow's runs that nobody named do.
func messageOf(events []Event, listens *topics, to place) []byte {
	lines := linesOf(events, listens, true)
	if len(lines) > maxLines {
		lines = linesOf(events, listens, false)
	}
	if len(lines) == 0 {
		return nil
	}
	data, err := json.Marshal(lines)
	if err != nil {
		panic(err) // texts and numbers only
	}
	return fmt.Appendf(nil, "event: changes\nid: %s\ndata: %s\n\n", to, data)
}

// linesOf are the lines of events; each names its run, or only those do whose run
// the topics name.
func linesOf(events []Event, listens *topics, each bool) (lines []line) {
	known := map[line]int{}
	for i := range events {
		e := &events[i]
		if !listens.want(e) {
			continue
		}
		l := line{Kind: e.Kind, Flow: e.Flow, Task: e.Task, Run: e.Run}
		if !each && !listens.named(e) {
			l.Run = ""
		}
		if at, twice := known[l]; twice {
			lines[at].N = max(lines[at].N, 1) + 1
			continue
		}
		if known[l] = len(lines); each && len(lines) > maxLines {
			return append(lines, l) // more than are told so
		}
		lines = append(lines, l)
	}
	return lines
}
