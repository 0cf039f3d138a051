package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/qarion/qarion/engine"
)

// runTasks answers a part of a run's tasks: of an open run as they are now, of
// others as its document or the tables have them.
func (s *Service) runTasks(ctx context.Context, data []byte) (any, error) {
	var in ListTasks
	if w := words(data); len(w) == 1 {
		in.Run = w[0]
	} else if err := decode(data, &in); err != nil {
		return nil, err
	}
	f := engine.TaskFilter{Status: engine.Status(in.Status), Limit: in.Limit}
	if err := f.Check(); err != nil {
		return nil, err
	}
	if in.After != "" {
		var err error
		if f.After, err = engine.ParseTaskID(in.After); err != nil {
			return nil, err
		}
	}
	id, err := engine.FindRun(ctx, s.runs, in.Run)
	if err != nil {
		return nil, err
	}
	page, err := s.tasks(ctx, id, f)
	if err != nil {
		return nil, err
	}
	return encodeTasks(page)
}

func (s *Service) tasks(ctx context.Context, id engine.RunID, f engine.TaskFilter) (*engine.TaskPage, error) {
	page, err := s.cfg.Runner.Tasks(ctx, id, f)
	if err == nil || !errors.Is(err, engine.ErrNotFound) {
		return page, err
	}
	doc, missing := s.runs.Get(ctx, id)
	switch {
	case missing != nil:
		return nil, missing
	case !doc.Final: // an open run, but no such task
		return nil, err
	case doc.ListsAll():
		return doc.Page(f)
	}
	if s.cfg.Tasks != nil {
		if page, err = s.cfg.Tasks(ctx, id, f); !errors.Is(err, engine.ErrUnavailable) {
			return page, err
		}
	}
	if page, err = doc.Page(f); err == nil {
		page.Partial = true
	}
	return page, err
}

// encodeTasks writes a page, cut where it does not fit into an answer: the
// caller goes on after its last task.
func encodeTasks(page *engine.TaskPage) (json.RawMessage, error) {
	out := append(make([]byte, 0, 512*(1+len(page.Tasks))), `{"tasks":[`...)
	for i := range page.Tasks {
		text, err := json.Marshal(&page.Tasks[i])
		if err != nil {
			return nil, fmt.Errorf("encode task %s: %w", page.Tasks[i].TaskID, err)
		}
		if len(out)+len(text) > maxAnswer-100 && i > 0 {
			page.More = true
			break
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, text...)
	}
	out = strconv.AppendBool(append(out, `],"more":`...), page.More)
	if page.Partial {
		out = append(out, `,"partial":true`...)
	}
	return append(out, '}'), nil
}
