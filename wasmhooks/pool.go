package wasmhooks

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
)

// module is a module that is loaded: compiled once, with instances that wait for
// calls. One that is not referred to any more is closed when its last call is over.
type module struct {
	hash     string
	size     int    // of its content, in bytes
	version  uint32 // of the interface that it speaks
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	exports  map[Kind]bool
	limits   Limits
	total    *atomic.Int64 // memory of all instances of the node
	reclaim  func()        // closes idle instances, of any module, while there are too many
	breaker  breaker

	mu     sync.Mutex
	free   []*instance // the warmest last
	made   int         // instances that there are, free or in use
	waits  []chan *instance
	closed bool
	used   time.Time
}

// release frees the module when its last instance is closed. The runtime leaves what was
// compiled to the cache that all share, which counts who has it.
func (m *module) release() {
	ctx := context.Background()
	if m.compiled != nil {
		_ = m.compiled.Close(ctx)
		m.compiled = nil
	}
	_ = m.runtime.Close(ctx)
}

// errClosed says that a module was closed since it was looked up.
var errClosed = &Error{Class: ClassLoad, Message: "the module was closed", Retry: true}

// take hands out an instance: a warm one, a new one, or the next that is given
// back. The caller gives it back with put.
func (m *module) take(ctx context.Context, now time.Time) (*instance, *Error) {
	m.mu.Lock()
	m.used = now
	switch n := len(m.free); {
	case m.closed:
		m.mu.Unlock()
		return nil, errClosed
	case n > 0:
		in := m.free[n-1]
		m.free = m.free[:n-1]
		m.mu.Unlock()
		return in, nil
	case m.made < m.limits.Instances:
		m.made++
		m.mu.Unlock()
		return m.make(ctx)
	}
	turn := make(chan *instance, 1)
	m.waits = append(m.waits, turn)
	m.mu.Unlock()
	return m.wait(ctx, turn)
}

// make makes an instance for which there is room.
func (m *module) make(ctx context.Context) (*instance, *Error) {
	need := int64(m.compiled.ExportedMemories()["memory"].Min()) * wasmPage
	if m.total.Add(need) > m.limits.Total {
		m.reclaim()
	}
	if m.total.Load() > m.limits.Total {
		m.total.Add(-need)
		m.lost()
		return nil, &Error{Class: ClassBusy, Message: "the memory for hooks is used up", Retry: true}
	}
	in, err := m.newInstance()
	if err != nil {
		m.total.Add(-need)
		m.lost()
		if e, ok := err.(*Error); ok {
			return nil, e
		}
		return nil, loadError("%v", err)
	}
	m.total.Add(in.size - need)
	return in, nil
}

// lost counts an instance that is not there any more, and lets somebody who waits
// make another.
func (m *module) lost() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.made--
	if len(m.waits) > 0 {
		m.waits[0] <- nil
		m.waits = m.waits[1:]
		m.made++
	}
}

func (m *module) wait(ctx context.Context, turn chan *instance) (*instance, *Error) {
	timer := time.NewTimer(m.limits.Wait)
	defer timer.Stop()
	select {
	case in := <-turn:
		return m.turn(ctx, in)
	case <-timer.C:
	case <-ctx.Done():
	}
	m.mu.Lock()
	for i, w := range m.waits {
		if w == turn {
			m.waits = append(m.waits[:i], m.waits[i+1:]...)
			m.mu.Unlock()
			return nil, &Error{Class: ClassBusy, Message: "no instance was free in time", Retry: true}
		}
	}
	m.mu.Unlock()
	return m.turn(ctx, <-turn) // it came at the same moment
}

// turn takes what was handed over: an instance, or the room for one.
func (m *module) turn(ctx context.Context, in *instance) (*instance, *Error) {
	if in != nil {
		return in, nil
	}
	return m.make(ctx)
}

// put gives an instance back; one that is bad, old or large is closed.
func (m *module) put(in *instance, bad bool) {
	size := int64(in.memory.Size())
	m.total.Add(size - in.size)
	in.size = size
	if bad || in.calls >= m.limits.RecycleAt || size*4 > int64(m.limits.Memory)*3 {
		m.drop(in)
		return
	}
	m.mu.Lock()
	switch {
	case m.closed:
		m.mu.Unlock()
		m.drop(in)
		return
	case len(m.waits) > 0:
		m.waits[0] <- in
		m.waits = m.waits[1:]
	default:
		m.free = append(m.free, in)
	}
	m.mu.Unlock()
}

func (m *module) drop(in *instance) {
	_ = in.mod.Close(context.Background())
	m.total.Add(-in.size)
	m.lost()
}

// dropFree closes an instance that waits for a call, if there is one.
func (m *module) dropFree() bool {
	m.mu.Lock()
	n := len(m.free)
	if n == 0 {
		m.mu.Unlock()
		return false
	}
	in := m.free[0]
	m.free = m.free[1:]
	m.mu.Unlock()
	m.drop(in)
	return true
}

// idle closes what nobody has used for a while, but for one instance.
func (m *module) idle(now time.Time) {
	m.mu.Lock()
	var old []*instance
	if now.Sub(m.used) > m.limits.Idle && len(m.free) > 1 {
		old, m.free = m.free[:len(m.free)-1], m.free[len(m.free)-1:]
	}
	m.mu.Unlock()
	for _, in := range old {
		m.drop(in)
	}
}

// unused reports whether nobody has called the module since, and nobody calls it now.
func (m *module) unused(since time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used.Before(since) && len(m.free) == m.made
}

// close ends the module: free instances at once, those in use when they are given
// back.
func (m *module) close() {
	m.mu.Lock()
	free := m.free
	m.free, m.closed = nil, true
	m.mu.Unlock()
	for _, in := range free {
		m.drop(in)
	}
}

// gone reports whether no instance is left.
func (m *module) gone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed && m.made == 0
}

// breaker holds a module back that fails again and again: when at least five and at
// least half of its last twenty calls failed, within 30 s, for a second, then twice
// as long each time, up to a minute. Then one call goes through. A module that breaks
// off over some bodies and does its work over the others is not held back.
type breaker struct {
	mu     sync.Mutex
	last   [breakerCalls]outcome // a ring
	next   int
	open   time.Duration
	until  time.Time
	probes bool
}

// outcome is how a call ended; the zero one is of no call.
type outcome struct {
	at     time.Time
	failed bool
}

const (
	breakerFailures = 5
	breakerCalls    = 20
	breakerWindow   = 30 * time.Second
	breakerFirst    = time.Second
	breakerLongest  = time.Minute
)

// admits reports whether a call may go through, and whether it is the one that finds
// out how the module is: it ends in learn or in unasked.
func (b *breaker) admits(now time.Time) (goes, probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.until.IsZero():
		return true, false
	case now.Before(b.until) || b.probes:
		return false, false
	}
	b.probes = true
	return true, true
}

// unasked takes that a call did not come to the module.
func (b *breaker) unasked(probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probes = false
	}
}

// learn takes how a call ended. Of a module that is held back only the probe says
// something: the others had begun before.
func (b *breaker) learn(now time.Time, failed, probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !probe && !b.until.IsZero():
		return
	case probe && !failed:
		b.last, b.open, b.until, b.probes = [breakerCalls]outcome{}, 0, time.Time{}, false
		return
	}
	b.last[b.next%breakerCalls] = outcome{now, failed}
	b.next++
	if !failed {
		return
	}
	bad, all := 0, 0
	for _, o := range b.last {
		if now.Sub(o.at) >= breakerWindow {
			continue
		}
		all++
		if o.failed {
			bad++
		}
	}
	if bad >= breakerFailures && 2*bad >= all || probe {
		b.open = min(max(breakerFirst, 2*b.open), breakerLongest)
		b.until, b.probes = now.Add(b.open), false
	}
}
