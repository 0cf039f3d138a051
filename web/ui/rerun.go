package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
)

// rerunForm is what stands in the form that repeats a run.
type rerunForm struct {
	Run                      engine.RunID
	From, Version, Variables string
	Tasks                    []engine.TaskID // that it can begin at
	Failed                   bool            // something did not succeed
}

// maxRerunTasks bounds the tasks of a run that the form offers; the command takes
// any.
const maxRerunTasks = 200

// rerunOf is the form for a run that has ended.
func rerunOf(doc *engine.RunDoc, chosen string) *rerunForm {
	f := &rerunForm{Run: doc.RunID, From: engine.RerunAll, Version: "same", Failed: doc.Status != engine.Success}
	if f.Failed {
		f.From = engine.RerunFailed
	}
	for i := range doc.Tasks {
		if len(f.Tasks) < maxRerunTasks || string(doc.Tasks[i].TaskID) == chosen {
			f.Tasks = append(f.Tasks, doc.Tasks[i].TaskID)
		}
	}
	if slices.Contains(f.Tasks, engine.TaskID(chosen)) {
		f.From = chosen
	}
	return f
}

// rerunPage says what a rerun would do.
type rerunPage struct {
	Form  *rerunForm
	Does  engine.Rerunning
	Wrong string
}

// rerun repeats a run, or says what that would do.
func (s *Site) rerun(v *Visit) (*reply, error) {
	var doc engine.RunDoc
	if err := v.ask("run.get", fields("run_id", v.PathValue("run")), &doc); err != nil {
		return nil, err
	}
	p := rerunPage{Form: rerunOf(&doc, v.PostForm.Get("from"))}
	p.Form.From, p.Form.Version, p.Form.Variables = v.PostForm.Get("from"), v.PostForm.Get("version"), strings.TrimSpace(v.PostForm.Get("variables"))
	req := fields("run_id", string(doc.RunID), "from", p.Form.From, "version", p.Form.Version)
	tries := v.PostForm.Get("try") != ""
	if tries {
		req["dry_run"] = true
	}
	var err error
	if text := p.Form.Variables; text != "" {
		var vars json.RawMessage
		if vars, err = readJSON(text); err != nil {
			err = fmt.Errorf("%w: the variables are not JSON: %w", engine.ErrInvalid, err)
		}
		req["variables"] = vars
	}
	if err == nil {
		err = v.ask("run.rerun", req, &p.Does)
	}
	status := 0
	switch {
	case errors.Is(err, engine.ErrInvalid), errors.Is(err, engine.ErrConflict): // the form stays as it was typed
		p.Wrong, status = engine.ErrorLine(err), http.StatusBadRequest
	case err != nil:
		return nil, err
	case !tries && p.Does.Run != nil:
		return &reply{goOn: "/runs/" + string(p.Does.Run.RunID)}, nil
	}
	return &reply{status: status, page: &page{name: "rerun", Title: "Run again " + string(doc.FlowID), Nav: "/runs", Data: p}}, nil
}
