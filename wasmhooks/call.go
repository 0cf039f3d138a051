package wasmhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// instance is one instance of a module. It is used by one call at a time.
type instance struct {
	ctx                        context.Context // in which it is called: functions of the host find it there
	mod                        api.Module
	alloc, validate, transform api.Function
	fuel                       fuel
	steps                      int64 // that the call may take
	memory                     api.Memory
	stderr                     complaint
	environ                    []string
	version                    uint32 // of the interface that it speaks
	stack                      [4]uint64
	ptr, room                  uint32 // the buffer that it has given, and its size
	calls                      int
	size                       int64 // of its memory when it was last counted

	limits  *Limits   // of its lines; nil while it is made
	lines   []LogLine // what it says in a call
	dropped int       // lines that were too many
}

// newInstance makes an instance of a compiled module and asks its version.
func (m *module) newInstance() (*instance, error) {
	in := &instance{environ: wasiEnviron(&m.limits)}
	in.ctx = context.WithValue(context.Background(), instanceKey{}, in)
	mod, err := m.runtime.InstantiateModule(in.ctx, m.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, in.unstarted(err, &m.limits)
	}
	if in.fuel = fuelOf(mod); in.fuel.slice == nil {
		_ = mod.Close(in.ctx)
		return nil, loadError("it was not metered")
	}
	in.mod, in.memory = mod, mod.Memory()
	in.alloc, in.validate, in.transform = mod.ExportedFunction(exportAlloc), mod.ExportedFunction(exportValidate), mod.ExportedFunction(exportTransform)
	if start := mod.ExportedFunction(exportStart); start != nil {
		in.fuel.set(startFuel * m.limits.Fuel)
		if err := start.CallWithStack(in.ctx, in.stack[:]); err != nil {
			_ = mod.Close(in.ctx)
			return nil, in.unstarted(err, &m.limits)
		}
	}
	in.steps = m.limits.Fuel
	in.fuel.set(in.steps)
	if err := mod.ExportedFunction(exportVersion).CallWithStack(in.ctx, in.stack[:]); err != nil {
		_ = mod.Close(in.ctx)
		return nil, loadError("%s: %v", exportVersion, in.broke(err, &m.limits))
	}
	in.version = uint32(in.stack[0])
	if err := checkVersion(in.version); err != nil {
		_ = mod.Close(in.ctx)
		return nil, loadError("%s", err)
	}
	in.size, in.limits = int64(in.memory.Size()), &m.limits
	return in, nil
}

// unstarted says why a module does not start.
func (in *instance) unstarted(err error, l *Limits) *Error {
	if in.fuel.exhausted() || errors.Is(err, errFuel) {
		return loadError("it does not start: it took more than %d steps", startFuel*l.Fuel)
	}
	return loadError("it does not start: %s", in.reason(err, nil))
}

// reason says in a line why a call broke off. l is nil at the start of a module.
func (in *instance) reason(err error, l *Limits) string {
	var exit *sys.ExitError
	var abort *abortError
	text := err.Error()
	switch {
	case errors.As(err, &exit):
		text = fmt.Sprintf("it ended itself with code %d", exit.ExitCode())
	case errors.As(err, &abort):
		text = cut(abort.text, 600)
	default:
		text, _, _ = strings.Cut(text, "\n")
		text, _, _ = strings.Cut(text, " (recovered by wazero)")
		if at := strings.LastIndex(text, "wasm error: "); at >= 0 {
			text = text[at+len("wasm error: "):]
		}
		if text == "unreachable" {
			text = "it trapped (unreachable)"
		}
	}
	if said := in.stderr.line(); said != "" {
		text += ": " + said
	}
	if l != nil && in.memory != nil && uint64(in.memory.Size())+wasmPage > uint64(l.Memory) {
		text += fmt.Sprintf("; its memory is at the limit of %d MiB", l.Memory>>20)
	}
	return text
}

// call makes one call. bad: the instance must not be used again. An answer of
// zero is none.
func (in *instance) call(m *module, export api.Function, meta, body []byte) (out []byte, said, bad bool, err *Error) {
	l := &m.limits
	n := len(meta) + len(body)
	in.calls++
	in.stderr.reset()
	in.lines, in.dropped = nil, 0
	in.steps = l.steps(n)
	in.fuel.set(in.steps)
	if uint32(n) > in.room || in.ptr == 0 {
		if err := in.grow(m, uint32(n)); err != nil {
			return nil, false, true, err
		}
	}
	if !in.memory.Write(in.ptr, meta) || !in.memory.Write(in.ptr+uint32(len(meta)), body) {
		return nil, false, true, errorf(ClassProtocol, "%s gave a buffer outside of its memory", exportAlloc)
	}
	in.stack[0], in.stack[1], in.stack[2] = uint64(in.ptr), uint64(len(meta)), uint64(len(body))
	if err := export.CallWithStack(in.ctx, in.stack[:]); err != nil {
		return nil, false, true, in.broke(err, l)
	}
	r := in.stack[0]
	if r == 0 {
		return nil, false, false, nil
	}
	ptr, size := uint32(r>>32), uint32(r)&math.MaxInt32
	if int(size) > l.Output {
		return nil, false, true, errorf(ClassProtocol, "it gave %d bytes, at most %d are taken", size, l.Output)
	}
	view, ok := in.memory.Read(ptr, size)
	if !ok {
		return nil, false, true, errorf(ClassProtocol, "it gave an answer outside of its memory")
	}
	return append(make([]byte, 0, size), view...), r>>31&1 == 1, false, nil
}

func (in *instance) grow(m *module, n uint32) *Error {
	in.stack[0] = uint64(n)
	if err := in.alloc.CallWithStack(in.ctx, in.stack[:]); err != nil {
		return in.broke(err, &m.limits)
	}
	ptr := uint32(in.stack[0])
	if ptr == 0 {
		return errorf(ClassProtocol, "%s has no room for %d bytes", exportAlloc, n)
	}
	if uint64(ptr)+uint64(n) > uint64(in.memory.Size()) {
		return errorf(ClassProtocol, "%s gave a buffer outside of its memory", exportAlloc)
	}
	in.ptr, in.room = ptr, n
	return nil
}

// broke tells a call that broke off from one that took too long.
func (in *instance) broke(err error, l *Limits) *Error {
	if in.fuel.exhausted() {
		return errorf(ClassTimeout, "it took more than %d steps", in.steps)
	}
	return errorf(ClassTrap, "%s", in.reason(err, l))
}

// Verdict is what a validate hook says of a response.
type Verdict struct {
	Errors []Violation
	Retry  bool
}

// Violation is one thing that is wrong.
type Violation struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Path    string `json:"path"` // JSON Pointer
}

// String is "path: message".
func (v Violation) String() string {
	text := v.Message
	if text == "" {
		text = v.Code
	}
	if v.Path != "" {
		text = v.Path + ": " + text
	}
	return text
}

// verdict reads the answer of qarion_validate.
func (l *Limits) verdict(answer []byte) (Verdict, *Error) {
	var doc struct {
		OK     *bool           `json:"ok"`
		Errors json.RawMessage `json:"errors"`
		Retry  bool            `json:"retry"`
	}
	if err := strictJSON(answer, &doc); err != nil {
		return Verdict{}, errorf(ClassProtocol, "its verdict is no JSON document: %v", err)
	}
	list, err := firstOf(doc.Errors, l.MaxErrors)
	if err != nil {
		return Verdict{}, errorf(ClassProtocol, "its verdict is no JSON document: %v", err)
	}
	v := Verdict{Retry: doc.Retry}
	if len(list) == 0 {
		if doc.OK == nil || *doc.OK {
			return Verdict{}, nil
		}
		list = []Violation{{Message: "the hook says that it is not valid"}}
	}
	for _, e := range list {
		e.Message, e.Code, e.Path = cut(e.Message, l.MaxMessage), cut(e.Code, 100), cut(e.Path, 200)
		v.Errors = append(v.Errors, e)
	}
	return v, nil
}

// firstOf reads the first elements of a list of violations, which may have very many.
func firstOf(list json.RawMessage, most int) (out []Violation, err error) {
	if len(list) == 0 || string(list) == "null" {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(list))
	if begin, err := d.Token(); err != nil || begin != json.Delim('[') {
		return nil, errors.New("its errors are no list")
	}
	for d.More() && len(out) < most {
		var v Violation
		if err := d.Decode(&v); err != nil {
			return nil, errors.New("one of its errors cannot be read")
		}
		out = append(out, v)
	}
	return out, nil
}

// refusal reads an error document.
func (l *Limits) refusal(answer []byte) *Error {
	var doc struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Retry   bool   `json:"retry"`
	}
	if err := strictJSON(answer, &doc); err != nil {
		return errorf(ClassProtocol, "its error is no JSON document: %v", err)
	}
	text := cut(doc.Message, l.MaxMessage)
	if text == "" {
		text = cut(doc.Code, 100)
	}
	if text == "" {
		text = "it says that it cannot do its work"
	}
	return &Error{Class: ClassError, Message: text, Retry: doc.Retry, Code: cut(doc.Code, 100)}
}

func strictJSON(text []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(to); err != nil {
		return errors.New("it cannot be read")
	}
	if d.More() {
		return errors.New("there is more behind it")
	}
	return nil
}

// cut shortens text that a hook gave to one line of at most n bytes.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s), "\uFFFD")
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return strings.TrimSpace(s)
}
