package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

const (
	pageFlows = 50 // flows on a page
	stripRuns = 30 // past runs of a flow that its strip shows
)

// flowRow is a flow in the list, with its last runs, oldest first.
type flowRow struct {
	engine.FlowInfo
	Strip []*engine.RunDoc
}

type flowsPage struct {
	Rows     []flowRow
	Find     string
	Total    int
	Next     int // from which the next page begins; 0: there is none
	Problems problemList
}

func (s *Site) flows(v *Visit) (*reply, error) {
	var all struct {
		Flows []engine.FlowInfo `json:"flows"`
	}
	if err := v.ask("flow.list", nil, &all); err != nil {
		return nil, err
	}
	p := flowsPage{Find: strings.TrimSpace(v.URL.Query().Get("q"))}
	if p.Find != "" {
		all.Flows = slices.DeleteFunc(all.Flows, func(f engine.FlowInfo) bool {
			return !strings.Contains(strings.ToLower(string(f.FlowID)+" "+f.Name), strings.ToLower(p.Find))
		})
	}
	p.Total = len(all.Flows)
	var from int
	_, _ = fmt.Sscan(v.URL.Query().Get("from"), &from)
	from = min(max(from, 0), len(all.Flows))
	shown := all.Flows[from:min(from+pageFlows, len(all.Flows))]
	if from+len(shown) < len(all.Flows) {
		p.Next = from + len(shown)
	}
	for _, f := range shown {
		list, err := v.listRuns(string(f.FlowID), "", "", "", stripRuns)
		if err != nil {
			return nil, err
		}
		slices.Reverse(list.Runs)
		p.Rows = append(p.Rows, flowRow{f, list.Runs})
	}
	if err := v.ask("flow.problems", nil, &p.Problems); err != nil {
		return nil, err
	}
	return &reply{page: &page{name: "flows", Title: "Flows", Nav: "/flows", Live: true, Data: p}}, nil
}

// sourceLine is a line of a flow's file and what is wrong with it.
type sourceLine struct {
	N        int
	Text     string
	Problems []problem
}

type flowPage struct {
	Flow      engine.Flow
	Version   string
	Strip     []*engine.RunDoc
	Last      []*engine.RunDoc // newest first
	Graph     *picture
	Tasks     []engine.Task // that are listed
	MoreTasks int
	Source    []sourceLine
	MoreLines int    // of the source, that are not shown
	Current   bool   // the version that runs is what stands in the file
	NoSource  string // why the file cannot be shown
	Problems  []problem
	Fields    []field
	MayStart  bool
	Wrong     string // why the run was not started
}

// The bounds of what the page of a large flow shows.
const shownLines = 2000

// lastRuns is how many runs the page of a flow lists.
const lastRuns = 10

func (s *Site) flow(v *Visit) (*reply, error) {
	return s.flowWith(v, nil, nil)
}

// flowWith is the page of a flow; with what was wrong with a run that was to be
// started, and what had been typed.
func (s *Site) flowWith(v *Visit, wrong error, typed map[string][]string) (*reply, error) {
	id := v.PathValue("flow")
	p := flowPage{MayStart: v.may("run.start")}
	if err := v.ask("flow.get", fields("flow", id), &p.Flow); err != nil {
		return nil, err
	}
	p.Tasks = p.Flow.Tasks[:min(pageTasks, len(p.Flow.Tasks))]
	p.MoreTasks = len(p.Flow.Tasks) - len(p.Tasks)
	list, err := v.listRuns(id, "", "", "", stripRuns)
	if err != nil {
		return nil, err
	}
	p.Last = slices.Clone(list.Runs[:min(lastRuns, len(list.Runs))])
	slices.Reverse(list.Runs)
	p.Strip = list.Runs
	p.Graph = drawFlow(&p.Flow, nil, "", func(task engine.TaskID) string { return "#task-" + string(task) })
	if err := s.source(v, id, &p); err != nil {
		return nil, err
	}
	p.Fields = formOf(&p.Flow, typed)
	status := 0
	if wrong != nil {
		p.Wrong, status = engine.ErrorLine(wrong), http.StatusBadRequest
	}
	return &reply{status: status, page: &page{name: "flow", Title: id, Nav: "/flows", Live: wrong == nil, Data: p}}, nil
}

// graphFile is the picture of a flow, to be saved.
func (s *Site) graphFile(v *Visit) (*reply, error) {
	var flow engine.Flow
	if err := v.ask("flow.get", fields("flow", v.PathValue("flow")), &flow); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := s.pages["flow"].Render(&out, "svg", drawFlow(&flow, nil, "", func(engine.TaskID) string { return "" })); err != nil {
		return nil, err
	}
	return &reply{file: &file{string(flow.ID) + ".svg", "image/svg+xml", out.Bytes()}}, nil
}

// source reads the flow's file and puts what is wrong beside its lines.
func (s *Site) source(v *Visit, id string, p *flowPage) error {
	var src struct {
		Version  string    `json:"version"`
		Source   string    `json:"source"`
		Current  bool      `json:"current"`
		Problems []problem `json:"problems"`
	}
	err := v.ask("flow.source", fields("flow", id), &src)
	if errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrUnavailable) { // the file is gone, the flow is not
		p.NoSource = engine.ErrorLine(err)
		return nil
	}
	if err != nil {
		return err
	}
	p.Version, p.Current, p.Problems = src.Version, src.Current, src.Problems
	lines := strings.Split(strings.TrimSuffix(src.Source, "\n"), "\n")
	if len(lines) > shownLines {
		p.MoreLines = len(lines) - shownLines
		lines = lines[:shownLines]
	}
	for i, text := range lines {
		line := sourceLine{N: i + 1, Text: text}
		for _, at := range src.Problems {
			if at.Line == line.N {
				line.Problems = append(line.Problems, at)
			}
		}
		p.Source = append(p.Source, line)
	}
	return nil
}

// start begins a run with what was typed.
func (s *Site) start(v *Visit) (*reply, error) {
	id := v.PathValue("flow")
	var flow engine.Flow
	if err := v.ask("flow.get", fields("flow", id), &flow); err != nil {
		return nil, err
	}
	variables, err := readForm(&flow, v.PostForm)
	if err == nil {
		var doc engine.RunDoc
		if err = v.ask("run.start", fields("flow", id, "variables", variables, "trigger_type", "ui"), &doc); err == nil {
			return &reply{goOn: "/runs/" + string(doc.RunID)}, nil
		}
	}
	if errors.Is(err, engine.ErrInvalid) || errors.Is(err, engine.ErrConflict) {
		return s.flowWith(v, err, v.PostForm)
	}
	return nil, err
}

// readJSON checks that a text is JSON.
func readJSON(text string) (json.RawMessage, error) {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, err
	}
	return json.RawMessage(text), nil
}

// setting is a property of a trigger or a task as text.
func setting(m *value.Map, key string) string {
	if v, ok := m.Get(key); ok {
		return fmt.Sprint(v)
	}
	return ""
}
