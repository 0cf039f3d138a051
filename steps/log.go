package steps

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// maxLine bounds a line of the log, in bytes.
const maxLine = 4 << 10

// NewLog makes the type log: a line in the node's log, and in what is shown of
// the task. log is where it goes; nil: nowhere.
func NewLog(log *slog.Logger) *TaskType {
	return &TaskType{
		name: "log",
		properties: []Property{
			{"message", "string", "required", "the line"},
			{"level", "string", "info", "debug, info, warn or error"},
		},
		words:   map[string]string{"msg": "message", "text": "message", "line": "message", "severity": "level"},
		prepare: func(r *reader) attempt { return prepareLog(r, engine.Logger(log)) },
	}
}

var levels = []string{"debug", "info", "warn", "error"}

func prepareLog(r *reader, log *slog.Logger) attempt {
	r.needs.NoValue = "it writes a line"
	level := "info"
	if v, ok := r.get("level"); ok {
		word, _ := v.(string)
		if level = strings.ToLower(word); !slices.Contains(levels, level) {
			r.problems = append(r.problems, engine.Problem{Task: r.task.ID, Path: []string{"properties", "level"}, Code: "unknown-word", Value: word,
				Suggestion: engine.Nearest(level, levels), Message: "level is " + value.Quoted(word) + ", want one of " + strings.Join(levels, ", ")})
		}
	}
	if _, ok := r.get("message"); !ok {
		r.problem("", "missing", "log: message is missing")
		return nil
	}
	message := r.text("message")
	at := map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[level]
	return func(ctx context.Context, in *engine.TaskInput) (out engine.TaskOutput, err error) {
		got, err := message.Text(ctx, in)
		if err != nil {
			return out, err
		}
		if got.Origin.Secret() {
			return out, &stepError{"secret", "message: there is a secret in it, and many read a log"}
		}
		text, _ := got.Value.(string)
		if len(text) > maxLine {
			text = strings.ToValidUTF8(text[:maxLine], "") + "... (cut)"
		}
		log.Log(ctx, at, text, engine.LogFlow, in.Flow.ID, engine.LogRun, in.Key.Run, engine.LogTask, in.Key.Task)
		out.Details.Note = text
		return out, nil
	}
}
