package ui

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
)

// pageOperations is how many operations a page of the log lists.
const pageOperations = 200

// operation is an attempt with its details read.
type operation struct {
	engine.Operation
	engine.Details
	Bodies bool // what was sent and what came back was kept
}

// operations are a part of the log.
type operations struct {
	List        []operation
	First, Last string // for the pages before and after
	More        bool
}

// logFilter chooses from the operation log.
type logFilter struct {
	Flow, Task, Run, Status, Since, Before string
	Oldest                                 bool
	Limit                                  int
}

func (v *Visit) operations(f logFilter) (out operations, err error) {
	var answer struct {
		Operations  []engine.Operation `json:"operations"`
		First, Last string
		More        bool
	}
	req := fields("flow", f.Flow, "task", f.Task, "run_id", f.Run, "status", f.Status, "since", f.Since, "before", f.Before, "limit", f.Limit)
	if f.Oldest {
		req["oldest"] = true
	}
	if err := v.ask("log.list", req, &answer); err != nil {
		return out, err
	}
	out.First, out.Last, out.More = answer.First, answer.Last, answer.More
	for _, op := range answer.Operations {
		o := operation{Operation: op}
		_ = json.Unmarshal(op.Details, &o.Details) // what cannot be read is not shown
		o.Bodies = o.ResponseExcerpt != "" || o.RequestHeaders != nil
		out.List = append(out.List, o)
	}
	if !f.Oldest { // what came last is what people look for
		slices.Reverse(out.List)
	}
	return out, nil
}

type logPage struct {
	Ops    operations
	Filter logFilter
	Older  string // the address of the page before
	Wrong  string
}

func (s *Site) log(v *Visit) (*reply, error) {
	q := v.URL.Query()
	trimmed := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	p := logPage{Filter: logFilter{
		Flow: trimmed("flow"), Task: trimmed("task"), Run: trimmed("run"), Status: trimmed("status"), Since: trimmed("since"),
		Before: q.Get("before"), Limit: pageOperations,
	}}
	var err error
	r := &reply{}
	p.Ops, err = v.operations(p.Filter)
	if errors.Is(err, engine.ErrInvalid) || errors.Is(err, engine.ErrNotFound) {
		p.Wrong, err, r.status = engine.ErrorLine(err), nil, http.StatusBadRequest
	}
	if err != nil {
		return nil, err
	}
	if p.Ops.More {
		f := &p.Filter
		p.Older = address("/log", "flow", f.Flow, "task", f.Task, "run", f.Run, "status", f.Status, "since", f.Since, "before", p.Ops.First)
	}
	r.page = &page{name: "log", Title: "Log", Nav: "/log", Live: p.Filter.Before == "", Data: p}
	return r, nil
}
