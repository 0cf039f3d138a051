package ui

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"github.com/qarion/qarion/engine"
)

// The views of a run.
const (
	viewTasks    = "tasks"
	viewGraph    = "graph"
	viewTimeline = "timeline"
	viewLog      = "log"
)

var runViews = []entry{{Name: "Tasks", Path: viewTasks}, {Name: "Graph", Path: viewGraph}, {Name: "Time line", Path: viewTimeline}, {Name: "Log", Path: viewLog}}

// pageTasks is how many tasks a list shows at once.
const pageTasks = 200

// unknown is a call of which a person has to say what became of it.
type unknown struct {
	TaskID engine.TaskID
	Item   int // of a task with for_each; 0: it has none
	Reason string
}

type runPage struct {
	Doc   *engine.RunDoc
	Views []entry
	View  string

	Needs   []engine.TaskDoc // what did not simply succeed: failed first
	More    int              // of those, not listed
	Done    []engine.TaskDoc // what succeeded, as far as it is listed
	DoneN   int
	Only    string // one status alone, in pages
	After   string
	Page    engine.TaskPage
	Next    string
	Counts  []count
	Percent int

	Failure     *operation // the last attempt of what failed first
	Interrupted []unknown
	Approvals   []approval // that tasks wait for
	Variables   string
	MayCancel   bool
	MayResolve  bool
	Rerun       *rerunForm // of a run that has ended
	Elapsed     float64

	Task   string // whose attempts are shown
	Chose  *engine.TaskDoc
	Ops    operations
	Op     *operation
	Behind string // why attempts that were made may be missing
	Log    operations
	Older  string
	Graph  *picture
	NoFlow string // why there is no graph
	Other  bool   // the graph is of another version
	Line   *timeline
}

// count is how many tasks are in a state.
type count struct {
	Status engine.Status
	N      int
}

// ranks order tasks by how much they want to be looked at.
var ranks = []engine.Status{
	engine.Failed, engine.Interrupted, engine.Running, engine.Waiting, engine.Ready, engine.Pending, engine.Skipped, engine.Cancelled, engine.Success,
}

func (s *Site) run(v *Visit) (*reply, error) {
	q := v.URL.Query()
	p := runPage{
		Views: runViews, View: q.Get("view"), Only: q.Get("only"), After: q.Get("after"), Task: q.Get("task"),
		MayCancel: v.may("run.cancel"), MayResolve: v.may("run.resolve"),
	}
	if !slices.ContainsFunc(runViews, func(e entry) bool { return e.Path == p.View }) {
		p.View = viewTasks
	}
	if err := v.ask("run.get", fields("run_id", v.PathValue("run")), &p.Doc); err != nil {
		return nil, err
	}
	if string(p.Doc.RunID) != v.PathValue("run") { // "last", or an ending
		return &reply{goOn: (address("/runs/"+string(p.Doc.RunID), "view", q.Get("view"), "task", p.Task))}, nil
	}
	if err := p.complete(v); err != nil {
		return nil, err
	}
	p.sort()
	p.approvals(v)
	if p.Doc.Final && v.may("run.rerun") {
		p.Rerun = rerunOf(p.Doc, p.Task)
	}
	p.Elapsed = elapsed(p.Doc.StartTime, p.Doc.EndTime, s.now())
	if p.Doc.Variables != nil && p.Doc.Variables.Len() > 0 {
		p.Variables = pretty(p.Doc.Variables)
	}
	if e := p.Doc.Error; e != nil && len(e.Details) > 0 {
		p.Failure = new(operation)
		_ = json.Unmarshal(e.Details, &p.Failure.Details)
	}
	if err := p.choose(v, q.Get("attempt"), q.Get("turn")); err != nil {
		return nil, err
	}
	if err := s.view(v, &p); err != nil {
		return nil, err
	}
	title := string(p.Doc.FlowID) + " " + string(p.Doc.Status)
	return &reply{page: &page{name: "run", Title: title, Nav: "/runs", Live: !p.Doc.Final, Topics: "run:" + string(p.Doc.RunID), Data: &p}}, nil
}

// complete adds some of the tasks that the document of a large run does not
// list, which are those that succeeded, so that no view of it is empty.
func (p *runPage) complete(v *Visit) error {
	if p.Doc.ListsAll() || p.Only != "" || p.View != viewTasks && p.View != viewTimeline {
		return nil
	}
	var some engine.TaskPage
	err := v.ask("run.tasks", fields("run_id", string(p.Doc.RunID), "status", string(engine.Success), "limit", pageTasks), &some)
	if errors.Is(err, engine.ErrUnavailable) { // the tables do not tell of them now
		return nil
	}
	for _, t := range some.Tasks {
		if !slices.ContainsFunc(p.Doc.Tasks, func(other engine.TaskDoc) bool { return other.TaskID == t.TaskID }) {
			p.Doc.Tasks = append(p.Doc.Tasks, t)
		}
	}
	return err
}

// sort puts what wants to be looked at first, and counts.
func (p *runPage) sort() {
	all := 0
	for _, status := range ranks {
		if n := p.Doc.Counts[status]; n > 0 {
			p.Counts = append(p.Counts, count{status, n})
			all += n
			if status.Final() {
				p.Percent += n
			}
		}
	}
	if all > 0 {
		p.Percent = p.Percent * 100 / all
	}
	p.DoneN = p.Doc.Counts[engine.Success]
	for _, t := range p.Doc.Tasks {
		if t.Items != nil {
			for _, f := range t.Items.Failures {
				if f.Interrupted {
					p.Interrupted = append(p.Interrupted, unknown{t.TaskID, f.Item, f.Message})
				}
			}
		} else if t.Status == engine.Interrupted {
			p.Interrupted = append(p.Interrupted, unknown{t.TaskID, 0, t.Reason})
		}
		if t.Status == engine.Success {
			if len(p.Done) < pageTasks {
				p.Done = append(p.Done, t)
			}
			continue
		}
		p.Needs = append(p.Needs, t)
	}
	slices.SortStableFunc(p.Needs, func(a, b engine.TaskDoc) int {
		return slices.Index(ranks, a.Status) - slices.Index(ranks, b.Status)
	})
	if len(p.Needs) > pageTasks {
		p.More = len(p.Needs) - pageTasks
		p.Needs = p.Needs[:pageTasks]
	}
}

// all is how many tasks the run has.
func (p *runPage) all() (n int) {
	for _, c := range p.Counts {
		n += c.N
	}
	return n
}

// choose reads the attempts of the chosen task.
func (p *runPage) choose(v *Visit, attempt, turn string) (err error) {
	if p.Task == "" {
		return nil
	}
	if i := slices.IndexFunc(p.Doc.Tasks, func(t engine.TaskDoc) bool { return string(t.TaskID) == p.Task }); i >= 0 {
		p.Chose = &p.Doc.Tasks[i]
	}
	p.Ops, err = v.operations(logFilter{Run: string(p.Doc.RunID), Task: p.Task, Oldest: true, Limit: pageOperations})
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return nil // it has made none yet
	case errors.Is(err, engine.ErrUnavailable):
		p.Behind = engine.ErrorLine(err)
		return nil
	case err != nil:
		return err
	}
	wanted, _ := strconv.Atoi(attempt)
	onTurn, _ := strconv.Atoi(turn)
	for i := range p.Ops.List {
		op := &p.Ops.List[i]
		if wanted == 0 || op.Attempt == wanted && op.Turn == onTurn {
			p.Op = op // the last that fits
		}
	}
	if n := len(p.Ops.List); p.Op == nil && n > 0 { // an address that was changed, or is of another run
		p.Op = &p.Ops.List[n-1]
	}
	return nil
}

// view reads what the chosen view shows.
func (s *Site) view(v *Visit, p *runPage) (err error) {
	run := string(p.Doc.RunID)
	switch p.View {
	case viewTasks:
		if p.Only == "" {
			return nil
		}
		if err = v.ask("run.tasks", fields("run_id", run, "status", p.Only, "after", p.After, "limit", pageTasks), &p.Page); err != nil {
			return err
		}
		if n := len(p.Page.Tasks); p.Page.More && n > 0 {
			p.Next = address("/runs/"+run, "only", p.Only, "after", p.Page.Tasks[n-1].TaskID)
		}
	case viewGraph:
		var flow engine.Flow
		err = v.ask("flow.get", fields("flow", string(p.Doc.FlowID)), &flow)
		if errors.Is(err, engine.ErrNotFound) { // its file was taken away since: the rest of the run is here
			p.NoFlow = engine.ErrorLine(err)
			return nil
		}
		if err != nil {
			return err
		}
		if _, hash, err := flow.Encode(); err == nil {
			p.Other = hash != p.Doc.FlowVersion
		}
		p.Graph = drawFlow(&flow, p.Doc, engine.TaskID(p.Task), func(task engine.TaskID) string {
			return address("/runs/"+run, "view", viewGraph, "task", task)
		})
	case viewTimeline:
		p.Line = drawTimeline(p.Doc, s.now(), func(task engine.TaskID) string {
			return address("/runs/"+run, "view", viewTimeline, "task", task)
		})
		if all := p.all(); len(p.Line.Bars) > 0 && all > len(p.Doc.Tasks) {
			p.Line.LeftOut += all - len(p.Doc.Tasks)
		}
	case viewLog:
		before := v.URL.Query().Get("before")
		if p.Log, err = v.operations(logFilter{Run: run, Before: before, Limit: pageOperations}); err != nil {
			return err
		}
		if p.Log.More {
			p.Older = address("/runs/"+run, "view", viewLog, "before", p.Log.First)
		}
	}
	return nil
}

// table is a list of tasks with what it needs of the page.
func (p *runPage) table(tasks []engine.TaskDoc) taskTable { return taskTable{p, tasks} }

type taskTable struct {
	Page  *runPage
	Tasks []engine.TaskDoc
}

// row is a task with what its row needs of the page.
func (p *runPage) row(t engine.TaskDoc) taskRow {
	return taskRow{
		TaskDoc: t, Chosen: string(t.TaskID) == p.Task,
		Link: address("/runs/"+string(p.Doc.RunID), "view", p.View, "only", p.Only, "after", p.After, "task", t.TaskID),
	}
}

// taskRow is a task in a list.
type taskRow struct {
	engine.TaskDoc
	Link   string
	Chosen bool
}

// viewLink is the address of another view, with the same task chosen.
func (p *runPage) viewLink(view string) string {
	return address("/runs/"+string(p.Doc.RunID), "view", view, "task", p.Task)
}

// attemptLink is the address of another attempt of the chosen task.
func (p *runPage) attemptLink(op operation) string {
	return address("/runs/"+string(p.Doc.RunID), "view", p.View, "task", p.Task, "turn", op.Turn, "attempt", op.Attempt)
}

// The bounds of a value that a page shows.
const maxShownValue = 64 << 10

type xcomPage struct {
	Run, Task string
	Sealed    string // why nobody sees it
	Tree      *branch
	Text      string
	Cut       bool
	Object    *engine.BlobRef // it lies in the object store
	Bytes     int
	Read      string // how a template reads it
}

// xcom shows the value that a task has left, or sends it to be saved.
func (s *Site) xcom(v *Visit) (*reply, error) {
	p := xcomPage{Run: v.PathValue("run"), Task: v.PathValue("task")}
	p.Read = "{{ xcom_" + engine.TaskID(p.Task).TemplateName() + " }}"
	answer, err := v.call("xcom.get", fields("run_id", p.Run, "task_id", p.Task))
	if errors.Is(err, engine.ErrDenied) && v.may("xcom.get") {
		p.Sealed = engine.ErrorLine(err)
		return &reply{page: &page{name: "xcom", Title: p.Task + " of " + p.Run, Nav: "/runs", Data: p}}, nil
	}
	if err != nil {
		return nil, err
	}
	if p.Object = answer.Object; p.Object == nil {
		p.Tree = treeOf(engine.TaskID(p.Task), answer.JSON)
		p.Text = pretty(json.RawMessage(answer.JSON))
		p.Bytes = len(answer.JSON)
		if len(p.Text) > maxShownValue {
			p.Text, p.Cut = validPrefix(p.Text, maxShownValue), true
		}
	}
	return &reply{page: &page{name: "xcom", Title: p.Task + " of " + p.Run, Nav: "/runs", Data: p}}, nil
}

// validPrefix cuts a text without cutting a character.
func validPrefix(text string, n int) string {
	for n > 0 && n < len(text) && text[n]&0xC0 == 0x80 {
		n--
	}
	return text[:n]
}
