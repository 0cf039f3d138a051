package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/metadata"
	"github.com/qarion/qarion/node"
)

// operations hands what the log has to fn, oldest first; with a limit the
// newest of them alone. The SQL tables have an index for it; where there are
// none, or they are behind, the events are read.
func (s *session) operations(ctx context.Context, f bus.LogFilter, limit int, fn func(raw []byte, op *engine.Operation) error) error {
	err := s.logPages(ctx, f, limit, fn)
	if !errors.Is(err, engine.ErrUnavailable) {
		return err
	}
	if f.Run != "" && f.Since.Before(f.Run.Time()) {
		f.Since = f.Run.Time().Add(-clockSlack)
	}
	if limit == 0 {
		return s.Logs(ctx, f, fn)
	}
	type line struct {
		raw []byte
		op  *engine.Operation
	}
	var newest []line
	err = s.Logs(ctx, f, func(raw []byte, op *engine.Operation) error {
		if newest = append(newest, line{bytes.Clone(raw), op}); len(newest) > limit {
			newest = newest[1:]
		}
		return nil
	})
	for i := 0; err == nil && i < len(newest); i++ {
		err = fn(newest[i].raw, newest[i].op)
	}
	return err
}

// clockSlack is how far the clocks behind run ids and events may disagree.
const clockSlack = 2 * time.Second

// logList is an answer of log.list, with the operations as they came, too.
type logList struct {
	Operations []json.RawMessage `json:"operations"`
	First      string            `json:"first"`
	Last       string            `json:"last"`
	More       bool              `json:"more"`
}

// logPages reads the log from the tables, page by page. ErrUnavailable, before
// anything was handed on: the tables cannot be asked now.
func (s *session) logPages(ctx context.Context, f bus.LogFilter, limit int, fn func(raw []byte, op *engine.Operation) error) error {
	in := node.ListLog{Flow: f.Flow, Task: f.Task, Run: string(f.Run), Status: f.Status, Oldest: limit == 0, Limit: metadata.MaxOperationLimit}
	if !f.Since.IsZero() {
		in.Since = f.Since.UTC().Format(time.RFC3339Nano)
	}
	var newest []json.RawMessage // what a limit asks for comes from behind
	for more, first := true, true; more; first = false {
		if limit > 0 {
			in.Limit = min(limit-len(newest), metadata.MaxOperationLimit)
		}
		var page logList
		if err := s.Call(ctx, "log.list", in, &page); err != nil {
			if !first && errors.Is(err, engine.ErrUnavailable) {
				return errors.New(err.Error()) // not from the beginning again
			}
			return err
		}
		more = page.More && len(page.Operations) > 0
		if limit > 0 {
			newest = append(slices.Clone(page.Operations), newest...)
			in.Before, more = page.First, more && len(newest) < limit
			continue
		}
		in.After, in.Oldest = page.Last, false
		if err := eachOperation(page.Operations, fn); err != nil {
			return err
		}
	}
	return eachOperation(newest, fn)
}

func eachOperation(list []json.RawMessage, fn func(raw []byte, op *engine.Operation) error) error {
	for _, raw := range list {
		op := new(engine.Operation)
		if err := json.Unmarshal(raw, op); err != nil {
			return fmt.Errorf("read an operation: %w", err)
		}
		if err := fn(raw, op); err != nil {
			return err
		}
	}
	return nil
}
