package node

import (
	"errors"
	"log/slog"
	"slices"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/steps"
	"github.com/qarion/qarion/transform"
)

// TypeConfig is what the task types work with.
type TypeConfig struct {
	Calls apicall.Config
	SQL   transform.Config
	Log   *slog.Logger // of tasks that write lines; nil: nowhere
}

// TaskTypes are the task types that flows may have.
type TaskTypes struct {
	list   []engine.TaskType
	closes []func()
}

// OpenTypes opens the task types, for a node or for looking at flows: a new
// type is a line here.
func OpenTypes(cfg TypeConfig) (*TaskTypes, error) {
	t := &TaskTypes{}
	err := errors.Join(
		openType(t, apicall.New, cfg.Calls),
		openType(t, transform.New, cfg.SQL),
	)
	if err != nil {
		t.Close()
		return nil, err
	}
	t.list = append(t.list, steps.NewSet(), steps.NewLog(cfg.Log), steps.NewWait(nil), steps.NewApproval(nil), steps.NewFlow(), steps.NewSwitch())
	return t, nil
}

// openedType is a task type that holds something.
type openedType interface {
	engine.TaskType
	Close()
}

func openType[C any, T openedType](t *TaskTypes, open func(C) (T, error), cfg C) error {
	kind, err := open(cfg)
	if err != nil {
		return err
	}
	t.list, t.closes = append(t.list, kind), append(t.closes, kind.Close)
	return nil
}

// ByName are the types by the names that flow files have for them.
func (t *TaskTypes) ByName() flowfile.Types {
	types := flowfile.Types{}
	for _, kind := range t.list {
		types[kind.Name()] = kind
	}
	return types
}

// Close frees what the types hold, the last one first.
func (t *TaskTypes) Close() {
	for _, closes := range slices.Backward(t.closes) {
		closes()
	}
	t.closes = nil
}
