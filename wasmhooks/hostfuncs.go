package wasmhooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// charge takes steps from the fuel, before they are made. Where there are none left
// the call ends.
func (in *instance) charge(mod api.Module, steps int64) {
	fuel := in.fuel
	if fuel == nil { // it is being made
		var metered bool
		if fuel, metered = mod.ExportedGlobal(fuelGlobal).(api.MutableGlobal); !metered {
			return
		}
	}
	left := int64(fuel.Get()) - steps
	fuel.Set(uint64(left))
	if left < 0 {
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
