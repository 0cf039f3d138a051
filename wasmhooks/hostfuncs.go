package wasmhooks

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// LogLine is what a hook has said.
type LogLine struct {
	Level slog.Level
	Text  string
}

// callState is what host functions know of the call that is being made.
type callState struct {
	lines   []LogLine
	dropped int
	limits  *Limits
}

// stateKey finds the state of a call in its context.
type stateKey struct{}

// addHost gives a runtime what modules may import.
func addHost(ctx context.Context, rt wazero.Runtime) error {
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, rt); err != nil {
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
	s, _ := ctx.Value(stateKey{}).(*callState)
	if s == nil {
		return
	}
	if len(s.lines) >= s.limits.LogLines {
		s.dropped++
		return
	}
	n := min(uint32(stack[2]), uint32(s.limits.LogLine))
	text, ok := m.Memory().Read(uint32(stack[1]), n)
	if !ok {
		return
	}
	level := map[uint32]slog.Level{0: slog.LevelDebug, 1: slog.LevelInfo, 2: slog.LevelWarn}
	l, known := level[uint32(stack[0])]
	if !known {
		l = slog.LevelError
	}
	s.lines = append(s.lines, LogLine{l, strings.ToValidUTF8(string(text), "\uFFFD")})
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

// moduleConfig is what an instance sees of the world: clocks and chance, and
// nothing else. The two variables are read by the runtime of Go. Its collector
// means to run beside the program, and in a module there is nothing beside: a
// cycle that begins within a call ends long after, and memory is used up while
// most of it is garbage. So a cycle is made to end where it begins, and begins in
// time.
func moduleConfig(l *Limits, stderr *complaint) wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithName("").WithStartFunctions(exportStart).WithStderr(stderr).
		WithEnv("GODEBUG", "gcstoptheworld=1").WithEnv("GOMEMLIMIT", strconv.FormatInt(int64(l.Memory)/8*5, 10)).
		WithSysWalltime().WithSysNanotime().WithRandSource(rand.Reader)
}
