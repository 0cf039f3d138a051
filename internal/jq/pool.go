package jq

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// Config is how workers are started. A zero field means its default.
type Config struct {
	Command []string      // default: this program, with Argument
	Workers int           // at a time; default: one for each processor, at least 2
	Idle    time.Duration // after which a worker that is not used ends; default a minute
}

const (
	defaultIdle = time.Minute
	startTime   = 20 * time.Second // for a worker to say hello, on a busy machine
	slack       = 3 * time.Second  // over MaxTime, before a worker that says nothing is ended
)

// Pool applies expressions in workers, which it starts when they are needed.
// It is safe for concurrent use.
type Pool struct {
	cfg    Config
	places chan struct{} // one for each worker there may be

	mu     sync.Mutex
	free   []*process
	all    map[*process]bool
	closed bool
	wg     sync.WaitGroup // of the processes
}

// Open prepares a pool. Nothing is started yet.
func Open(cfg Config) *Pool {
	if len(cfg.Command) == 0 {
		cfg.Command = []string{self(), Argument}
	}
	if cfg.Workers <= 0 {
		cfg.Workers = max(2, runtime.GOMAXPROCS(0))
	}
	if cfg.Idle <= 0 {
		cfg.Idle = defaultIdle
	}
	return &Pool{cfg: cfg, places: make(chan struct{}, cfg.Workers), all: map[*process]bool{}}
}

// self is this program, also after its file was replaced by another version.
func self() string {
	const link = "/proc/self/exe"
	if _, err := os.Stat(link); err == nil {
		return link
	}
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

// Close ends the workers, also those that are at work, and waits for them.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	for w := range p.all {
		w.kill()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// errClosed is what an evaluation hears that comes too late.
var errClosed = errors.New("the jq workers have ended")

// Apply runs an expression over a document, JSON text, and returns the one
// result as JSON text. An *Error says what is wrong with expression or
// document; any other error that there was no worker, or ctx has ended.
func (p *Pool) Apply(ctx context.Context, source string, doc []byte) ([]byte, error) {
	if len(doc) > maxDocument {
		return nil, &Error{text: fmt.Sprintf("the response has %d bytes, at most %d are taken", len(doc), maxDocument)}
	}
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-p.places }()
	w, err := p.take()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, w.kill)
	status, text, err := w.ask(source, doc)
	if stop() && err == nil && status != statusMemory && status != statusTime {
		p.give(w)
	} else {
		w.end()
	}
	switch {
	case err == nil:
		return answer(status, text, len(doc))
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return nil, p.died(w, len(doc), err)
}

// answer is what a worker's status means.
func answer(status byte, text []byte, doc int) ([]byte, error) {
	switch status {
	case statusResult:
		return text, nil
	case statusPlain:
		return nil, &Error{text: string(text)}
	case statusMemory:
		return nil, errMemory(memoryFor(doc))
	case statusTime:
		return nil, errTime
	}
	return nil, &Error{text: string(text), quotes: true}
}

// take returns a worker that is free, or a new one.
func (p *Pool) take() (*process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	for n := len(p.free); n > 0; n = len(p.free) {
		w := p.free[n-1]
		p.free = p.free[:n-1]
		if w.idle.Stop() && p.all[w] { // not ended, by us or by somebody else
			return w, nil
		}
	}
	return p.start()
}

// give keeps a worker for the next one, for a while.
func (p *Pool) give(w *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.idle = time.AfterFunc(p.cfg.Idle, w.end)
	p.free = append(p.free, w)
}

// process is a worker, seen from the node.
type process struct {
	cmd   *exec.Cmd
	in    *os.File
	out   *os.File
	hello bool
	idle  *time.Timer
	once  sync.Once
	ended chan struct{}
}

// start starts a worker. The caller holds mu.
func (p *Pool) start() (*process, error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start a jq worker: %w", err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		theirIn.Close()
		in.Close()
		return nil, fmt.Errorf("start a jq worker: %w", err)
	}
	w := &process{in: in, out: out, ended: make(chan struct{})}
	w.cmd = exec.Command(p.cfg.Command[0], p.cfg.Command[1:]...)
	w.cmd.Stdin, w.cmd.Stdout = theirIn, theirOut // a runtime that gives up is not heard
	w.cmd.Env = []string{}                        // nothing of the node's is theirs
	err = w.cmd.Start()
	theirIn.Close()
	theirOut.Close()
	if err != nil {
		in.Close()
		out.Close()
		return nil, fmt.Errorf("start a jq worker: %w", err)
	}
	p.all[w] = true
	p.wg.Go(func() {
		_ = w.cmd.Wait()
		p.mu.Lock()
		delete(p.all, w)
		p.mu.Unlock()
		close(w.ended)
	})
	return w, nil
}

// ask makes one request. An error means that the worker is of no more use.
func (w *process) ask(source string, doc []byte) (status byte, text []byte, err error) {
	if !w.hello {
		_ = w.out.SetReadDeadline(time.Now().Add(startTime))
		said := make([]byte, len(hello))
		if _, err := io.ReadFull(w.out, said); err != nil || string(said) != hello {
			return 0, nil, fmt.Errorf("no jq worker: %w", errors.Join(err, errors.New(w.cmd.Path+" did not say hello")))
		}
		w.hello = true
	}
	_ = w.out.SetReadDeadline(time.Now().Add(MaxTime + readTime(len(doc)) + slack))
	sent := make(chan error, 1)
	go func() { // a worker that ends early takes not all of it
		head := make([]byte, 8, 8+len(source))
		binary.BigEndian.PutUint32(head, uint32(len(source)))
		binary.BigEndian.PutUint32(head[4:], uint32(len(doc)))
		_, err := w.in.Write(append(head, source...))
		if err == nil {
			_, err = w.in.Write(doc)
		}
		sent <- err
	}()
	status, text, err = w.read()
	if err != nil {
		w.kill() // or it would never take the rest
	}
	if failed := <-sent; err == nil {
		err = failed
	}
	return status, text, err
}

func (w *process) read() (status byte, text []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(w.out, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxResult+1<<20 {
		return 0, nil, errors.New("the answer is too long")
	}
	text = make([]byte, n)
	_, err = io.ReadFull(w.out, text)
	return head[0], text, err
}

// died says why a worker gave no answer. It did not answer in time, or memory
// was refused to it: the Go runtime then ends in one way or another. Nothing
// else ends it.
func (p *Pool) died(w *process, doc int, err error) error {
	<-w.ended
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return errClosed
	case !w.hello:
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errTime
	}
	return errMemory(memoryFor(doc))
}

func (w *process) kill() { _ = w.cmd.Process.Kill() }

// end ends a worker and waits for it.
func (w *process) end() {
	w.once.Do(func() {
		w.in.Close()
		w.kill()
		<-w.ended
		w.out.Close()
	})
}
