package jq

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/itchyny/gojq"
)

// What passes between node and worker: first the worker says hello; then
// requests (length of the expression, length of the document, both) and
// answers (status, length, text) alternate.
const (
	hello = "qarion jq worker 1\n"

	statusResult byte = iota
	statusError       // the text may quote data
	statusPlain       // it does not
	statusMemory
	statusTime
)

// maxDocument is the longest document that a worker takes, in bytes.
const maxDocument = 1 << 30

// watchEvery is how often a worker looks at its memory.
const watchEvery = 2 * time.Millisecond

// Serve is a worker: it answers requests until in ends. The exit code of the
// process is returned; a worker that goes too far ends the process itself.
func Serve(in io.Reader, out io.Writer) int {
	signal.Ignore(os.Interrupt, syscall.SIGTERM) // it ends with its node, not before
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	w := &worker{in: bufio.NewReaderSize(in, 64<<10), out: out}
	if _, err := io.WriteString(out, hello); err != nil {
		return 1
	}
	go w.watch()
	for {
		if err := w.answer(); err != nil {
			if errors.Is(err, io.EOF) {
				return 0
			}
			return 1
		}
	}
}

// worker makes one evaluation at a time.
type worker struct {
	in   *bufio.Reader
	out  io.Writer
	code struct { // of the last expression: one task is often evaluated many times
		source string
		*gojq.Code
	}
	limit atomic.Int64 // bytes of heap; 0 while nothing is evaluated
	ends  atomic.Int64 // when the evaluation must have ended, in nanoseconds
}

func (w *worker) answer() error {
	var head [8]byte
	if _, err := io.ReadFull(w.in, head[:]); err != nil {
		return err
	}
	source, doc := binary.BigEndian.Uint32(head[:4]), binary.BigEndian.Uint32(head[4:])
	if source > MaxSource || doc > maxDocument {
		return errors.New("a request is too long")
	}
	data := make([]byte, int(source)+int(doc))
	if _, err := io.ReadFull(w.in, data); err != nil {
		return err
	}
	w.begin(memoryFor(int(doc)), MaxTime+readTime(int(doc)))
	status, text := w.evaluate(string(data[:source]), data[source:])
	if w.limit.Swap(0) == 0 {
		select {} // the watch is about to end the process
	}
	if err := reply(w.out, status, text); err != nil {
		return err
	}
	if doc > 1<<20 {
		data, text = nil, nil
		debug.FreeOSMemory() // workers wait for a while
	}
	return nil
}

func reply(out io.Writer, status byte, text []byte) error {
	head := [5]byte{status}
	binary.BigEndian.PutUint32(head[1:], uint32(len(text)))
	if _, err := out.Write(append(head[:], text...)); err != nil {
		return err
	}
	return nil
}

// begin starts the watch over an evaluation. What the process may take in all
// is bounded by the system too, where it can be: one step may ask for more
// than there is before anybody looks.
func (w *worker) begin(limit int64, span time.Duration) {
	bound(limit)
	debug.SetMemoryLimit(limit) // the collector works harder before it is reached
	w.ends.Store(time.Now().Add(span).UnixNano())
	w.limit.Store(limit)
}

// watch ends the process when an evaluation takes too much memory, or when it
// does not look at its context.
func (w *worker) watch() {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	for range time.Tick(watchEvery) {
		limit := w.limit.Load()
		if limit == 0 {
			continue
		}
		metrics.Read(heap)
		status := statusResult
		switch used := heap[0].Value.Uint64() + heap[1].Value.Uint64(); {
		case used > uint64(limit):
			status = statusMemory
		case time.Now().UnixNano() > w.ends.Load():
			status = statusTime
		}
		if status != statusResult && w.limit.Swap(0) != 0 {
			_ = reply(w.out, status, nil)
			os.Exit(0)
		}
	}
}

func (w *worker) evaluate(source string, doc []byte) (status byte, text []byte) {
	out, err := w.apply(source, doc)
	var known *Error
	switch {
	case err == nil:
		return statusResult, out
	case err == errTime:
		return statusTime, nil
	case errors.As(err, &known) && !known.quotes:
		return statusPlain, []byte(known.text)
	}
	return statusError, []byte(err.Error())
}

func (w *worker) apply(source string, doc []byte) ([]byte, error) {
	if w.code.Code == nil || w.code.source != source {
		code, err := compile(source)
		if err != nil {
			return nil, &Error{text: err.Error()}
		}
		w.code.source, w.code.Code = source, code
	}
	return apply(context.Background(), w.code.Code, doc)
}
