package live

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
)

// stored is a stream of events as a node has one.
type stored struct {
	mu      sync.Mutex
	origin  int64
	first   uint64
	events  []Event
	changed chan struct{}
	readers int
}

func newStored() *stored { return &stored{origin: 1, first: 1, changed: make(chan struct{})} }

func (s *stored) add(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Seq = uint64(len(s.events) + 1)
	s.events = append(s.events, e)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stored) EventSpan(context.Context) (Span, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Span{s.origin, s.first, uint64(len(s.events))}, nil
}

func (s *stored) ReadEvents(ctx context.Context, after uint64, follow bool, tell func(Event)) error {
	s.mu.Lock()
	s.readers++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.readers--
		s.mu.Unlock()
	}()
	for {
		s.mu.Lock()
		part, changed := s.events[after:], s.changed
		s.mu.Unlock()
		for _, e := range part {
			tell(e)
			after = e.Seq
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// serving is a door with streams alone.
func serving(t *testing.T, from Source) (url string, s *Streams) {
	t.Helper()
	s = New()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.Serve(w, r, from); err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
		}
	}))
	t.Cleanup(func() { s.Close(); h.Close() })
	return h.URL, s
}

// message is a server-sent event.
type message struct {
	event, id string
	lines     []line
}

// listen reads a stream; next returns io.EOF when it ends.
func listen(t *testing.T, ctx context.Context, url, after string) (next func() (message, error)) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		t.Fatalf("%s: %d %s", url, res.StatusCode, text)
	}
	lines := bufio.NewReader(res.Body)
	return func() (m message, err error) {
		for {
			text, err := lines.ReadString('\n')
			if err != nil {
				res.Body.Close()
				return m, err
			}
			name, v, _ := strings.Cut(strings.TrimSuffix(text, "\n"), ": ")
			switch name {
			case "event":
				m.event = v
			case "id":
				m.id = v
			case "data":
				if m.event == "changes" {
					if err := json.Unmarshal([]byte(v), &m.lines); err != nil {
						t.Errorf("data %q: %v", v, err)
					}
				}
			case "":
				if m.event != "" {
					return m, nil
				}
			}
		}
	}
}

// TestStream_NothingLostNothingTwice cuts the connection at random, and goes on
// each time with the id that was heard last.
func TestStream_NothingLostNothingTwice(t *testing.T) {
	from := newStored()
	url, _ := serving(t, from)
	const runs = 25_000 // more than the ring keeps
	go func() {
		for i := range runs {
			from.add(Event{Kind: "run.done", Flow: "a", Run: fmt.Sprint(i)})
		}
	}()
	seen, more := map[string]int{}, 0 // more: that stand for a flow's
	count := func() int {
		if more > 0 {
			return len(seen) - 1 + more
		}
		return len(seen)
	}
	after, cuts := "1-0", 0
	for count() < runs {
		ctx, cut := context.WithCancel(t.Context())
		next := listen(t, ctx, url+"?topics=runs", after)
		for left := 1 + rand.IntN(3); left > 0 && count() < runs; left-- {
			m, err := next()
			if err != nil {
				t.Fatal(err)
			}
			if m.event != "changes" {
				t.Fatalf("after %s: event %s", after, m.event)
			}
			after = m.id
			for _, l := range m.lines {
				if seen[l.Run] += max(1, l.N); l.Run == "" {
					more += l.N
				}
			}
		}
		cut()
		cuts++
	}
	if n := count(); n != runs {
		t.Errorf("%d events were told, want %d", n, runs)
	}
	for run, n := range seen {
		if n != 1 && run != "" {
			t.Errorf("run %s was told %d times", run, n)
		}
	}
	t.Logf("%d connections", cuts)
}

func TestStream_TellsWhatWasAskedFor(t *testing.T) {
	all := []Event{
		{Kind: "run.started", Flow: "a", Run: "1"}, {Kind: "task.ready", Flow: "a", Run: "1"}, {Kind: "attempt", Flow: "a", Task: "x", Run: "1"},
		{Kind: "run.done", Flow: "b", Run: "2"}, {Kind: "attempt", Flow: "b", Task: "y", Run: "2"}, {Kind: "breaker.open"},
	}
	for topics, want := range map[string]string{
		"run:1": "run.started,task.ready,attempt", "runs": "run.started,run.done", "flow:b": "run.done", "log": "attempt,attempt",
		"log:b": "attempt", "node": "breaker.open", "run:2,node": "run.done,attempt,breaker.open",
	} {
		listens, err := parseTopics(topics)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range all {
			if listens.want(&all[i]) {
				got = append(got, all[i].Kind)
			}
		}
		if strings.Join(got, ",") != want {
			t.Errorf("%s: %v, want %s", topics, got, want)
		}
	}
	for _, wrong := range []string{"", "run", "run:", "tasks", "runs:1", strings.Repeat("runs,", maxTopics+1)} {
		if _, err := parseTopics(wrong); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("topics %.40q: %v", wrong, err)
		}
	}
}

// TestStream_ResetsWhoCannotGoOn: what is gone, and what another stream has
// said.
func TestStream_ResetsWhoCannotGoOn(t *testing.T) {
	from := newStored()
	for i := range 10 {
		from.add(Event{Kind: "run.done", Run: fmt.Sprint(i)})
	}
	from.first = 5
	url, _ := serving(t, from)
	for after, want := range map[string]string{"1-2": "reset", "2-7": "reset", "1-11": "reset", "1-4": "changes", "1-9": "changes"} {
		m, err := listen(t, t.Context(), url+"?topics=runs", after)()
		if err != nil || m.event != want {
			t.Errorf("after %s: %s %v, want %s", after, m.event, err, want)
		}
		if want == "reset" && m.id != "1-10" {
			t.Errorf("after %s it goes on at %s", after, m.id)
		}
	}
	res, err := http.Get(url + "?topics=runs&after=yesterday")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusTeapot || !strings.Contains(string(text), "yesterday") {
		t.Errorf("a wrong place: %d %s", res.StatusCode, text)
	}
}

// TestStream_AlikeEventsShareALine: and the line says how many there were.
func TestStream_AlikeEventsShareALine(t *testing.T) {
	from := newStored()
	for range 100 {
		from.add(Event{Kind: "task.ready", Flow: "a", Run: "1"})
	}
	url, _ := serving(t, from)
	m, err := listen(t, t.Context(), url+"?topics=run:1", "1-0")()
	if err != nil || len(m.lines) != 1 || m.lines[0].N != 100 || m.id != "1-100" {
		t.Errorf("%+v %v", m, err)
	}
}

// TestStream_ManyRunsShareALine: what a message says stays small however much
// happens, and tells of the runs that were asked for by name.
func TestStream_ManyRunsShareALine(t *testing.T) {
	from := newStored()
	for i := range 1000 { // as many as are read together
		from.add(Event{Kind: "run.done", Flow: []string{"a", "b"}[i%2], Run: fmt.Sprint(i)})
	}
	url, _ := serving(t, from)
	m, err := listen(t, t.Context(), url+"?topics=runs,run:400", "1-0")()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(m.lines, func(a, b line) int { return b.N - a.N })
	want := []line{{Kind: "run.done", Flow: "b", N: 500}, {Kind: "run.done", Flow: "a", N: 499}, {Kind: "run.done", Flow: "a", Run: "400"}}
	if m.id != "1-1000" || !slices.Equal(m.lines, want) {
		t.Errorf("%s: %+v, want %+v", m.id, m.lines, want)
	}
}

// TestStreams_MakeAMessageOnce: who stands at the same place and listens to the
// same gets the same bytes.
func TestStreams_MakeAMessageOnce(t *testing.T) {
	var h hub
	from := newStored()
	_, leave, err := h.join(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	at := h.now()
	runs, err := parseTopics("runs")
	if err != nil {
		t.Fatal(err)
	}
	_, _, changed, _ := h.after(at, &runs)
	from.add(Event{Kind: "run.done", Flow: "a", Run: "1"})
	<-changed
	one, to, _, _ := h.after(at, &runs)
	other, _, _, _ := h.after(at, &runs)
	if len(one) == 0 || &one[0] != &other[0] {
		t.Errorf("two streams get %q and %q, not the same bytes", one, other)
	}
	log, err := parseTopics("log")
	if err != nil {
		t.Fatal(err)
	}
	if text, end, _, found := h.after(at, &log); text != nil || end != to || !found {
		t.Errorf("who listens to something else gets %q up to %v", text, end)
	}
}

// TestStreams_OneReaderWhileSomebodyListens, and none before and after.
func TestStreams_OneReaderWhileSomebodyListens(t *testing.T) {
	from := newStored()
	url, s := serving(t, from)
	readers := func() int {
		from.mu.Lock()
		defer from.mu.Unlock()
		return from.readers
	}
	if readers() != 0 {
		t.Fatal("it reads before anybody listens")
	}
	ctx, leave := context.WithCancel(t.Context())
	for range 50 {
		if m, err := listen(t, ctx, url+"?topics=runs", "")(); err != nil || m.event != "hello" {
			t.Fatal(m, err)
		}
	}
	from.add(Event{Kind: "run.done"})
	if n := readers(); n != 1 || s.Count() != 50 {
		t.Errorf("%d readers for %d streams", n, s.Count())
	}
	leave()
	gone := time.Now().Add(20 * time.Second)
	for readers() != 0 || s.Count() != 0 {
		if time.Now().After(gone) {
			t.Fatalf("%d readers for %d streams after all have left", readers(), s.Count())
		}
		runtime.Gosched()
	}
}

// TestStreams_OneTooMany hears that it is.
func TestStreams_OneTooMany(t *testing.T) {
	from := newStored()
	url, s := serving(t, from)
	for range maxStreams {
		s.places <- struct{}{}
	}
	res, err := http.Get(url + "?topics=runs")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusTeapot || !strings.Contains(string(text), "200 event streams are open already") {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}
