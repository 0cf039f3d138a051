package engine

import "log/slog"

// Keys of the operator's log, the same in every package.
const (
	LogFlow    = "flow"
	LogRun     = "run"
	LogTask    = "task"
	LogAttempt = "attempt"
	LogOp      = "op"
	LogErr     = "err"
)

// Logger returns l, or a logger that discards everything when l is nil.
func Logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
