package wasmhooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"unicode/utf16"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// LogLine is what a hook has said.
type LogLine struct {
	Level slog.Level
	Text  string
}

// hostCall is what a call of a function of the host costs, in steps.
const hostCall = 200

// errFuel ends a module whose fuel a function of the host has used up.
var errFuel = errors.New("its fuel is used up")

// instanceKey finds in a context the instance that is called.
type instanceKey struct{}

// called is the instance that has called a function of the host. It pays for that.
func called(ctx context.Context, mod api.Module) *instance {
	in := ctx.Value(instanceKey{}).(*instance)
	in.charge(mod, hostCall)
	return in
}

// fuel is what a module has left to do.
type fuel struct{ slice, reserve api.MutableGlobal }

// fuelOf finds it in a module; it is zero where that is not metered.
func fuelOf(mod api.Module) fuel {
	s, _ := mod.ExportedGlobal(fuelGlobal).(api.MutableGlobal)
	r, _ := mod.ExportedGlobal(reserveGlobal).(api.MutableGlobal)
	if s == nil || r == nil {
		return fuel{}
	}
	return fuel{s, r}
}

func (f fuel) left() int64 { return int64(f.slice.Get()) + int64(f.reserve.Get()) }

func (f fuel) set(steps int64) {
	first := min(steps, slice)
	f.slice.Set(uint64(first))
	f.reserve.Set(uint64(steps - first))
}

// exhausted reports whether it is used up.
func (f fuel) exhausted() bool { return f.slice != nil && f.left() < 0 }

// charge takes steps from the fuel, before they are made. Where there are none left
// the call ends.
func (in *instance) charge(mod api.Module, steps int64) {
	f := in.fuel
	if f.slice == nil { // it is being made
		if f = fuelOf(mod); f.slice == nil {
			return
		}
	}
	if left := f.left() - steps; left >= 0 {
		f.set(left)
	} else {
		f.slice.Set(math.MaxUint64)
		f.reserve.Set(0)
		panic(errFuel)
	}
}

// addHost gives a runtime what modules may import.
func addHost(ctx context.Context, rt wazero.Runtime) error {
	if err := addWASI(ctx, rt); err != nil {
		return err
	}
	_, err := rt.NewHostModuleBuilder("qarion").NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(hostLog), []api.ValueType{i32, i32, i32}, nil).Export("log").Instantiate(ctx)
	if err != nil {
		return err
	}
	_, err = rt.NewHostModuleBuilder("env").NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(hostAbort), []api.ValueType{i32, i32, i32, i32}, nil).Export("abort").Instantiate(ctx)
	return err
}

// hostLog is qarion.log(level, ptr, len).
func hostLog(ctx context.Context, m api.Module, stack []uint64) {
	in := called(ctx, m)
	if in.limits == nil { // it is being made, and nobody listens
		return
	}
	if len(in.lines) >= in.limits.LogLines {
		in.dropped++
		return
	}
	n := min(uint32(stack[2]), uint32(in.limits.LogLine))
	in.charge(m, int64(n))
	text, ok := m.Memory().Read(uint32(stack[1]), n)
	if !ok {
		return
	}
	level := slog.LevelError
	switch uint32(stack[0]) {
	case 0:
		level = slog.LevelDebug
	case 1:
		level = slog.LevelInfo
	case 2:
		level = slog.LevelWarn
	}
	in.lines = append(in.lines, LogLine{level, strings.ToValidUTF8(string(text), "\uFFFD")})
}

// abortError is env.abort of AssemblyScript: it says where.
type abortError struct{ text string }

func (e *abortError) Error() string { return e.text }

func hostAbort(_ context.Context, m api.Module, stack []uint64) {
	text := fmt.Sprintf("aborted: %s at %s:%d:%d", utf16At(m, uint32(stack[0])), utf16At(m, uint32(stack[1])), uint32(stack[2]), uint32(stack[3]))
	panic(&abortError{text})
}

// utf16At reads a string of AssemblyScript: its length in bytes stands before it.
func utf16At(m api.Module, ptr uint32) string {
	if ptr < 4 {
		return "?"
	}
	n, ok := m.Memory().ReadUint32Le(ptr - 4)
	if !ok {
		return "?"
	}
	b, ok := m.Memory().Read(ptr, min(n, 512)&^1)
	if !ok {
		return "?"
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
	}
	return string(utf16.Decode(units))
}
