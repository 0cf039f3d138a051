package live

import (
	"context"
	"sort"
	"sync"
	"time"
)

// Event is something that has happened, and to what.
type Event struct {
	Seq             uint64 // its place, rising
	Kind            string // "run.done"; "attempt" for an entry of the operation log
	Flow, Task, Run string // "" where it is of none
}

// Span is which events there are. Another origin has other places.
type Span struct {
	Origin      int64
	First, Last uint64
}

// Source has the events of a node.
type Source interface {
	// EventSpan says which events there are now.
	EventSpan(ctx context.Context) (Span, error)
	// ReadEvents tells of the events after a place, in order and each once: of
	// those that there are, and with follow also of those to come, until ctx
	// ends.
	ReadEvents(ctx context.Context, after uint64, follow bool, tell func(Event)) error
}

// ringSize is how many events are kept for streams that come back or are slow.
const ringSize = 10_000

// retryTime is waited after the reader has failed.
const retryTime = time.Second

// hub keeps the newest events for all streams. It reads while somebody listens,
// and tells what it has read all of them together, five times a second at most:
// streams that listen to the same get the same bytes, made once.
type hub struct {
	mu      sync.Mutex
	streams int
	stop    context.CancelFunc // of the reader; nil: there is none
	origin  int64
	base    uint64  // all events after this place are in ring
	ring    []Event // oldest first
	told    uint64  // up to which streams may tell
	due     bool    // more is told in a moment
	changed chan struct{}
	made    map[madeKey]*made // since told was moved
}

// madeKey names a message.
type madeKey struct {
	topics string
	after  place
}

// made is a message for all streams that stand at one place and listen to the
// same; nil where nothing of it is for them.
type made struct {
	once sync.Once
	text []byte
}

// join counts a stream in, and starts the reader for the first one. leave must
// be called. It returns where the stream begins when it asks for nothing else.
func (h *hub) join(ctx context.Context, from Source) (now place, leave func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop == nil {
		span, err := from.EventSpan(ctx)
		if err != nil {
			return place{}, nil, err
		}
		h.origin, h.base, h.ring, h.told, h.changed, h.made = span.Origin, span.Last, nil, span.Last, make(chan struct{}), map[madeKey]*made{}
		life, stop := context.WithCancel(context.Background())
		h.stop = stop
		go h.read(life, from, span.Last)
	}
	h.streams++
	return place{h.origin, h.last()}, h.leave, nil
}

func (h *hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams--; h.streams == 0 && h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// read fills the ring until life ends.
func (h *hub) read(life context.Context, from Source, after uint64) {
	for life.Err() == nil {
		_ = from.ReadEvents(life, after, true, func(e Event) {
			after = e.Seq
			h.add(life, e)
		})
		select {
		case <-life.Done():
		case <-time.After(retryTime):
			after = h.again(life, from, after)
		}
	}
}

// again says after which place a reader that has failed goes on: the same, or,
// in a stream that was made anew, its end.
func (h *hub) again(life context.Context, from Source, after uint64) uint64 {
	span, err := from.EventSpan(life)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || life.Err() != nil || span.Origin == h.origin {
		return after
	}
	h.origin, h.base, h.ring = span.Origin, span.Last, nil
	h.move()
	return span.Last
}

func (h *hub) add(life context.Context, e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if life.Err() != nil { // another reader may be at work by now
		return
	}
	if len(h.ring) >= 2*ringSize {
		h.base = h.ring[ringSize-1].Seq
		h.ring = append(make([]Event, 0, 2*ringSize), h.ring[ringSize:]...) // the old one may be being read
	}
	h.ring = append(h.ring, e)
	if !h.due {
		h.due = true
		time.AfterFunc(flushTime, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.due = false
			h.move()
		})
	}
}

// move lets streams tell all that there is; the caller holds mu.
func (h *hub) move() {
	h.told = h.last()
	clear(h.made)
	close(h.changed)
	h.changed = make(chan struct{})
}

// last is the newest place; the caller holds mu.
func (h *hub) last() uint64 {
	if n := len(h.ring); n > 0 {
		return h.ring[n-1].Seq
	}
	return h.base
}

// oldest is the place after which the ring has everything.
func (h *hub) oldest() place {
	h.mu.Lock()
	defer h.mu.Unlock()
	return place{h.origin, h.base}
}

// after is the message with what has happened after a place that some topics
// want, and the place where it ends. found is false when the ring begins later.
// changed is closed once there is more.
func (h *hub) after(at place, listens *topics) (text []byte, to place, changed <-chan struct{}, found bool) {
	h.mu.Lock()
	if at.origin != h.origin || at.seq < h.base {
		h.mu.Unlock()
		return nil, at, nil, false
	}
	if changed, to = h.changed, at; at.seq >= h.told {
		h.mu.Unlock()
		return nil, to, changed, true
	}
	to.seq = h.told
	key := madeKey{listens.text, at}
	m := h.made[key]
	if m == nil {
		m = new(made)
		h.made[key] = m
	}
	from := sort.Search(len(h.ring), func(i int) bool { return h.ring[i].Seq > at.seq })
	events := h.ring[from : from+sort.Search(len(h.ring)-from, func(i int) bool { return h.ring[from+i].Seq > to.seq })]
	h.mu.Unlock()
	m.once.Do(func() { m.text = messageOf(events, listens, to) })
	return m.text, to, changed, true
}

// now is the newest place.
func (h *hub) now() place {
	h.mu.Lock()
	defer h.mu.Unlock()
	return place{h.origin, h.last()}
}
