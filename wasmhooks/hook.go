package wasmhooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/qarion/qarion/engine"
)

// Ref names a module as a flow does.
type Ref struct {
	File   string // below the folder of hooks
	Object string // a name under which one was pushed
	SHA256 string // of its content; with neither of the others, all that is known
}

// Prepare finds, loads and checks a module, keeps it where every node finds it, and
// returns the hash of its content: what a run is pinned to. kind is what it will be
// asked. Errors are *Error.
func (h *Host) Prepare(ctx context.Context, ref Ref, kind Kind) (hash string, err error) {
	content, hash, err := h.find(ctx, ref)
	if err != nil {
		return hash, err
	}
	m, bad := h.load(ctx, hash, func() ([]byte, error) {
		if content == nil { // it was loaded a moment ago, and has been let go of since
			content, _, err = h.read(ctx, ref)
		}
		return content, err
	})
	if bad != nil {
		return hash, bad
	}
	if !m.exports[kind] {
		return hash, loadError("it does not export %s", kind.export())
	}
	if h.cfg.Store != nil && content != nil {
		if err := h.cfg.Store.Keep(ctx, hash, content); err != nil && h.copies.get(hash, time.Now()) == nil {
			return hash, &Error{Class: ClassLoad, Message: "keep the module: " + err.Error(), Retry: true}
		}
		h.copy(hash, content)
	}
	return hash, nil
}

// copy keeps a copy of a module on the node's own disk, if it can.
func (h *Host) copy(hash string, content []byte) {
	if err := h.copies.put(hash, content, time.Now()); err != nil {
		h.log.Warn("no copy of a hook can be kept", "folder", h.cfg.Copies, engine.LogErr, err)
	}
}

// find reads a module, unless it is loaded already: content is nil then.
func (h *Host) find(ctx context.Context, ref Ref) (content []byte, hash string, err error) {
	if ref.SHA256 != "" {
		if m, bad := h.loaded(ref.SHA256); m != nil || bad != nil {
			return nil, ref.SHA256, nil
		}
	}
	return h.read(ctx, ref)
}

// read is find for a module that is not loaded.
func (h *Host) read(ctx context.Context, ref Ref) (content []byte, hash string, err error) {
	if ref.SHA256 != "" {
		if content, err := h.kept(ctx, ref.SHA256); err == nil {
			return content, ref.SHA256, nil
		}
	}
	switch {
	case ref.File != "":
		content, err = h.File(ref.File)
	case ref.Object != "" && h.cfg.Store == nil:
		return nil, "", loadError("hooks that were pushed are known to a node alone")
	case ref.Object != "":
		if hash, err = h.cfg.Store.Resolve(ctx, ref.Object); err == nil {
			content, err = h.kept(ctx, hash)
		}
		if errors.Is(err, engine.ErrNotFound) {
			err = fmt.Errorf("no hook was pushed under the name %s: qarion hooks push FILE --name %s", ref.Object, ref.Object)
		}
	default:
		err = fmt.Errorf("the module %.12s is not there", ref.SHA256)
	}
	if err != nil {
		return nil, "", &Error{Class: ClassLoad, Message: err.Error(), Retry: errors.Is(err, engine.ErrUnavailable)}
	}
	hash = Hash(content)
	if ref.SHA256 != "" && ref.SHA256 != hash {
		return nil, hash, loadError("its sha256 is %s, the flow wants %s", hash, ref.SHA256)
	}
	return content, hash, nil
}

// kept reads a module that is known by its hash: its copy, or from the store.
func (h *Host) kept(ctx context.Context, hash string) ([]byte, error) {
	if h.cfg.Store == nil {
		return nil, engine.ErrNotFound
	}
	if content := h.copies.get(hash, time.Now()); content != nil {
		return content, nil
	}
	content, err := h.cfg.Store.Module(ctx, hash)
	if err == nil && Hash(content) != hash {
		err = fmt.Errorf("%w: what is stored as the module %.12s is something else", engine.ErrDamaged, hash)
	}
	if err == nil {
		h.copy(hash, content)
	}
	return content, err
}

// Answer is what a call gave.
type Answer struct {
	Changed bool // of a transform: Body is the new body
	Body    []byte
	Verdict Verdict       // of a validate
	Lines   []LogLine     // what the hook has said
	Dropped int           // lines that were too many
	Took    time.Duration // in the module, waiting for an instance included
	Err     *Error
}

// Call asks a module that was prepared. meta is JSON, and both it and body are only
// read. Whatever the module does ends within its limits.
func (h *Host) Call(ctx context.Context, hash string, kind Kind, meta, body []byte) (a Answer) {
	began := time.Now()
	m, in, probe, bad := h.admit(ctx, began, hash, meta, body)
	if bad == nil {
		var broken bool
		bad, broken = a.ask(m, in, kind, meta, body)
		m.put(in, broken)
		a.Took = time.Since(began)
		m.breaker.learn(began.Add(a.Took), broken, probe)
	} else {
		a.Took = time.Since(began)
	}
	a.Err = bad
	return a
}

// ask makes the call on an instance. broken: it must not be used again.
func (a *Answer) ask(m *module, in *instance, kind Kind, meta, body []byte) (bad *Error, broken bool) {
	export := in.transform
	if kind == Validate {
		export = in.validate
	}
	if export == nil {
		return loadError("it does not export %s", kind.export()), false
	}
	out, said, broken, bad := in.call(m, export, meta, body)
	a.Lines, a.Dropped = in.lines, in.dropped
	if bad == nil {
		bad = a.read(&m.limits, kind, out, said)
		broken = bad != nil && bad.Class == ClassProtocol
	}
	return bad, broken
}

// admit finds a module and an instance of it for a call. probe: the module is held back,
// and the call finds out whether it works again.
func (h *Host) admit(ctx context.Context, now time.Time, hash string, meta, body []byte) (m *module, in *instance, probe bool, bad *Error) {
	for {
		if m, bad = h.load(ctx, hash, func() ([]byte, error) { return h.kept(ctx, hash) }); bad != nil {
			return nil, nil, false, bad
		}
		l := &m.limits
		switch {
		case len(body) > l.Input:
			return nil, nil, false, errorf(ClassProtocol, "the body has %d bytes, at most %d go to a hook", len(body), l.Input)
		case len(meta) > l.Meta:
			return nil, nil, false, errorf(ClassProtocol, "what the hook is told beside the body has %d bytes, at most %d go to a hook", len(meta), l.Meta)
		}
		var goes bool
		if goes, probe = m.breaker.admits(now); !goes {
			return nil, nil, false, &Error{Class: ClassBusy, Message: "it has failed again and again and is held back for a while", Retry: true}
		}
		in, bad = m.take(ctx, now)
		switch {
		case bad == nil:
			return m, in, probe, nil
		case bad == errClosed: // nobody had called it for long; it is loaded anew
			continue
		case bad.Class == ClassLoad: // no instance of it starts
			m.breaker.learn(time.Now(), true, probe)
		default:
			m.breaker.unasked(probe)
		}
		return nil, nil, false, bad
	}
}

// read makes of a module's answer what it means. An answer that cannot be read
// counts as a fault of the module.
func (a *Answer) read(l *Limits, kind Kind, out []byte, said bool) *Error {
	switch {
	case said:
		return l.refusal(out)
	case kind == Transform:
		a.Changed, a.Body = out != nil, out
		return nil
	case out == nil:
		return nil
	}
	v, bad := l.verdict(out)
	a.Verdict = v
	return bad
}
