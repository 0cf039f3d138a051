package wasmhooks

import (
	"runtime"
	"time"
)

// Limits bound what modules may use. A zero field means its default.
type Limits struct {
	Memory     uint32        // bytes of an instance
	Fuel       int64         // steps of a call
	PerByte    int64         // further steps of a call for each byte that it is given
	Input      int           // bytes of a body
	Output     int           // bytes of an answer
	Meta       int           // bytes of what a hook is told beside the body
	Module     int           // bytes of a module
	Instances  int           // of a module
	Total      int64         // bytes of all instances of the node
	Wait       time.Duration // for an instance
	RecycleAt  int           // calls, then an instance is made anew
	Idle       time.Duration // then an instance that nobody uses goes
	LogLines   int           // of a call
	LogLine    int           // bytes of a line
	MaxErrors  int           // of a verdict
	MaxMessage int           // bytes of one
}

// DefaultLimits are the limits that docs/hooks.md names.
func DefaultLimits() Limits {
	return Limits{
		Memory: 32 << 20, Fuel: 400_000_000, PerByte: 2_000, Input: 1 << 20, Output: 4 << 20, Meta: 256 << 10, Module: 8 << 20,
		Instances: max(2, 2*runtime.GOMAXPROCS(0)), Total: 512 << 20, Wait: time.Second, RecycleAt: 100_000, Idle: 5 * time.Minute,
		LogLines: 16, LogLine: 1 << 10, MaxErrors: 32, MaxMessage: 1 << 10,
	}
}

// steps are what a call may take that is given n bytes.
func (l *Limits) steps(n int) int64 { return l.Fuel + l.PerByte*int64(n) }

// filled has the defaults in place of what is zero.
func (l Limits) filled() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ to, def *int }{
		{&l.Input, &d.Input}, {&l.Output, &d.Output}, {&l.Meta, &d.Meta}, {&l.Module, &d.Module}, {&l.Instances, &d.Instances},
		{&l.RecycleAt, &d.RecycleAt}, {&l.LogLines, &d.LogLines}, {&l.LogLine, &d.LogLine}, {&l.MaxErrors, &d.MaxErrors}, {&l.MaxMessage, &d.MaxMessage},
	} {
		if *f.to == 0 {
			*f.to = *f.def
		}
	}
	if l.Memory == 0 {
		l.Memory = d.Memory
	}
	if l.Fuel == 0 {
		l.Fuel = d.Fuel
	}
	if l.PerByte == 0 {
		l.PerByte = d.PerByte
	}
	if l.Total == 0 {
		l.Total = d.Total
	}
	if l.Wait == 0 {
		l.Wait = d.Wait
	}
	if l.Idle == 0 {
		l.Idle = d.Idle
	}
	return l
}
