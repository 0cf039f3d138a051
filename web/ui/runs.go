package ui

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/qarion/qarion/engine"
)

// pageRuns is how many runs a page lists.
const pageRuns = 100

// runTable is a list of runs, with boxes to choose them where that leads to
// something.
type runTable struct {
	Runs   []*engine.RunDoc
	Choose bool
}

// runsPage is the list of runs and what it is narrowed to.
type runsPage struct {
	List                        runList
	Flow, Status, Since, Before string
	Trigger                     string
	MayChange                   bool            // the runs that are chosen
	Find                        string          // a run id that was looked for
	Statuses                    []engine.Status // to choose from
	Next                        string          // the address of the page after
	Narrowed                    bool
	Wrong                       string // why the list is not the one that was asked for
}

func (s *Site) runs(v *Visit) (*reply, error) {
	q := v.URL.Query()
	p := runsPage{
		Flow: strings.TrimSpace(q.Get("flow")), Status: q.Get("status"), Since: strings.TrimSpace(q.Get("since")),
		Before: q.Get("before"), Find: strings.TrimSpace(q.Get("q")), Statuses: engine.ListStatuses,
		Trigger: strings.TrimSpace(q.Get("trigger")), MayChange: v.may("run.cancel") && v.may("run.rerun"),
	}
	p.Narrowed = p.Flow+p.Status+p.Since+p.Trigger != ""
	if p.Find != "" {
		var doc engine.RunDoc
		err := v.ask("run.get", fields("run_id", p.Find, "brief", true), &doc)
		if err == nil {
			return &reply{goOn: "/runs/" + string(doc.RunID)}, nil
		}
		if !errors.Is(err, engine.ErrNotFound) && !errors.Is(err, engine.ErrInvalid) {
			return nil, err
		}
		p.Wrong = engine.ErrorLine(err)
	}
	var err error
	err = v.ask("run.list", fields("flow", p.Flow, "status", p.Status, "trigger", p.Trigger, "since", p.Since, "before", p.Before, "limit", pageRuns), &p.List)
	if errors.Is(err, engine.ErrInvalid) {
		p.Wrong, err = engine.ErrorLine(err), nil
	}
	if err != nil {
		return nil, err
	}
	if n := len(p.List.Runs); p.List.More && n > 0 {
		p.Next = address("/runs", "flow", p.Flow, "status", p.Status, "trigger", p.Trigger, "since", p.Since, "before", p.List.Runs[n-1].RunID)
	}
	r := &reply{page: &page{name: "runs", Title: "Runs", Nav: "/runs", Live: p.Before == "", Data: p}}
	if p.Wrong != "" {
		r.status = http.StatusBadRequest
	}
	return r, nil
}

// cancel ends a run.
func (s *Site) cancel(v *Visit) (*reply, error) {
	run := v.PathValue("run")
	if err := v.ask("run.cancel", fields("run_id", run, "reason", v.PostForm.Get("reason")), nil); err != nil {
		return nil, err
	}
	return &reply{goOn: "/runs/" + run}, nil
}

// resolve says how an interrupted task ended.
func (s *Site) resolve(v *Visit) (*reply, error) {
	run, as := v.PathValue("run"), v.PostForm.Get("as")
	req := fields("run_id", run, "task_id", v.PostForm.Get("task"), "as", as)
	if item := v.PostForm.Get("item"); item != "" {
		n, err := strconv.Atoi(item)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is no item", engine.ErrInvalid, item)
		}
		req["item"] = n
	}
	if text := strings.TrimSpace(v.PostForm.Get("value")); text != "" && as == "success" {
		value, err := readJSON(text)
		if err != nil {
			return nil, fmt.Errorf("%w: the value is not JSON: %w", engine.ErrInvalid, err)
		}
		req["value"] = value
	}
	if err := v.ask("run.resolve", req, nil); err != nil {
		return nil, err
	}
	return &reply{goOn: "/runs/" + run}, nil
}
