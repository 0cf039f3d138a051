package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

// valueInfo describes a value that a task left; the value itself is read with
// xcom get.
type valueInfo struct {
	TaskID engine.TaskID `json:"task_id"`
	Type   string        `json:"type"`         // "application/json", "text/plain", or what came with bytes
	Size   int64         `json:"size"`         // bytes, as xcom get --raw writes them
	At     string        `json:"at,omitempty"` // RFC 3339: when the task ended; "" where a rerun kept it of another run
}

func (a *app) xcomList(ctx context.Context, ref string) error {
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	id, err := s.FindRun(ctx, ref)
	if err != nil {
		return refused2(err)
	}
	list, err := s.values(ctx, id)
	if err != nil {
		return refused(err)
	}
	switch {
	case a.json():
		return a.printJSON(list)
	case len(list) == 0:
		fmt.Fprintf(a.ui.err, "no values: the tasks of run %s left none\n", id)
		return nil
	}
	t := newTable("TASK", "TYPE", "SIZE", "AT").alignRight(2).narrow(3, 1)
	for _, v := range list {
		t.add(string(v.TaskID), v.Type, bytesize(v.Size), a.ui.clock(v.At, a.ui.outTerm))
	}
	a.ui.printTable(t)
	return nil
}

// values asks for what the tasks of a run left, in the order of its document.
// The list is empty, not nil, when they left nothing.
func (s *session) values(ctx context.Context, id engine.RunID) ([]valueInfo, error) {
	doc, err := s.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	list := []valueInfo{}
	for i := range doc.Tasks {
		t := &doc.Tasks[i]
		if !t.Status.Final() {
			continue
		}
		content, err := s.XCom(ctx, bus.XComRef{Run: string(id), Task: string(t.TaskID)})
		if errors.Is(err, engine.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		kind := content.ContentType
		if kind == "" {
			kind = "text/plain"
			if content.Bytes {
				kind = "application/octet-stream"
			}
		}
		list = append(list, valueInfo{TaskID: t.TaskID, Type: kind, Size: content.Size, At: t.EndTime})
	}
	return list, nil
}
