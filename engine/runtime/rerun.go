package runtime

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/value"
)

// Rerun starts a new run that repeats a closed one and keeps what that has done,
// as far as it need not be done again. Neither the closed run nor what it has
// left is changed. ErrNotFound: there is no such run or task; ErrConflict: the
// run has not ended, nothing of it failed, or what it has left is gone.
func (e *Engine) Rerun(ctx context.Context, req engine.RerunRequest) (*engine.Rerunning, error) {
	if e.cfg.Seeds == nil || e.cfg.Runs == nil {
		return nil, fmt.Errorf("%w: this node keeps nothing of closed runs", engine.ErrUnavailable)
	}
	p := &rerunPlan{engine: e, req: req, out: &engine.Rerunning{RerunOf: req.Run, Tasks: []engine.TaskID{}}}
	if p.req.From == "" {
		p.req.From = engine.RerunFailed
	}
	err := p.find(ctx)
	if err == nil {
		err = p.choose()
	}
	if err == nil {
		err = p.check(ctx)
	}
	if err != nil || req.DryRun {
		return p.out, err
	}
	p.out.Run, err = e.startRerun(ctx, p)
	return p.out, err
}

// rerunPlan works out what a rerun does again and what it keeps.
type rerunPlan struct {
	engine *Engine
	req    engine.RerunRequest
	out    *engine.Rerunning

	doc       *engine.RunDoc // of the run that is repeated
	variables []byte
	seeds     *engine.Seeds         // of it, by the tasks of its own version; nil: it has left nothing
	before    *engine.Flow          // its version; nil when that is gone
	old       map[engine.TaskID]int // in seeds
	flow      *engine.Flow          // the version of the rerun
	left      *engine.Seeds         // what the rerun begins with; nil: nothing
}

// find reads the run that is repeated, and the version of the flow.
func (p *rerunPlan) find(ctx context.Context) (err error) {
	e, id := p.engine, p.req.Run
	if open, err := e.Get(ctx, id); err == nil {
		return fmt.Errorf("%w: run %s is %s: cancel it first, or wait for its end", engine.ErrConflict, id, open.Status)
	}
	if err := e.Shown(ctx, engine.RunsView); err != nil {
		return err
	}
	if p.doc, err = e.cfg.Runs.Get(ctx, id); err != nil {
		return err
	}
	data, err := e.cfg.Seeds.Seeds(ctx, id)
	if err != nil {
		return err
	}
	var place engine.Pos
	if data != nil {
		if p.seeds, err = engine.DecodeSeeds(data); err != nil {
			return err
		}
		place = p.seeds.Defined
	}
	var newest *fold.Graph
	var missing error
	err = e.sched.ask(ctx, func() {
		s := e.sched.state
		if g := s.Version(p.doc.FlowVersion); g != nil {
			p.before = g.Flow
		}
		if newest = s.Newest(p.doc.FlowID); newest == nil {
			missing = s.UnknownFlow(p.doc.FlowID)
		}
	})
	if err != nil {
		return err
	}
	if p.before == nil && place.Seq != 0 {
		p.before = e.versionAt(ctx, place, p.doc.FlowVersion)
	}
	switch {
	case p.req.Newest && newest == nil:
		return missing
	case p.req.Newest:
		p.flow, p.out.Version = newest.Flow, newest.Hash
	case p.before == nil:
		return fmt.Errorf("%w: version %.12s of flow %s, which run %s had, is not kept any more: run the newest one (--version newest)", engine.ErrConflict, p.doc.FlowVersion, p.doc.FlowID, id)
	default:
		p.flow, p.out.Version = p.before, p.doc.FlowVersion
		if newest != nil && newest.Hash != p.out.Version {
			p.out.Newer = newest.Hash
		}
	}
	p.out.Flow = p.flow.ID
	return p.readVariables(ctx)
}

// versionAt is the flow version in a record; nil when that is gone.
func (e *Engine) versionAt(ctx context.Context, at engine.Pos, hash string) *engine.Flow {
	rec, err := e.cfg.Ledger.Read(ctx, at)
	if err != nil {
		return nil
	}
	def, ok := rec.(*engine.FlowRecord)
	if !ok || def.Hash != hash {
		return nil
	}
	f, err := engine.DecodeFlow(def.Definition)
	if err != nil {
		return nil
	}
	return f
}

func (p *rerunPlan) readVariables(ctx context.Context) (err error) {
	switch {
	case p.doc.Variables.Len() > 0:
		p.variables, err = value.JSON(p.doc.Variables)
	case p.seeds != nil && p.seeds.VariablesAt.Seq != 0:
		if p.variables, err = p.engine.worker.loadVariables(ctx, p.seeds.VariablesAt); errors.Is(err, engine.ErrNotFound) {
			return p.gone()
		}
	}
	if err != nil {
		return err
	}
	p.variables, err = engine.WithVariables(p.variables, p.req.Variables)
	return err
}

func (p *rerunPlan) gone() error {
	return fmt.Errorf("%w: run %s is older than what is kept (retention %s): what it has left is gone; do all of it again (--from all)", engine.ErrConflict, p.req.Run, p.engine.cfg.Retention)
}

// choose says of each task whether it is kept. Done again is what did not
// succeed, the task that was named, and all that follows from them.
func (p *rerunPlan) choose() error {
	n := len(p.flow.Tasks)
	index := make(map[engine.TaskID]int, n)
	for i := range p.flow.Tasks {
		index[p.flow.Tasks[i].ID] = i
	}
	named := -1
	if p.req.From != engine.RerunAll && p.req.From != engine.RerunFailed {
		at, ok := index[engine.TaskID(p.req.From)]
		if !ok {
			return p.unknownTask()
		}
		if stage := p.flow.Tasks[at].Stage; stage > engine.StageTasks {
			return fmt.Errorf("%w: task %s is one of %s: it runs at the end of every run", engine.ErrInvalid, p.req.From, engine.StageName(stage))
		}
		named = at
	}
	if p.req.From == engine.RerunAll || p.seeds == nil {
		return p.nothingKept(named)
	}
	if err := p.mapTasks(); err != nil {
		return err
	}
	again, failed := make([]bool, n), 0
	for i := range p.flow.Tasks {
		s := p.seedOf(i)
		if again[i] = i == named || s.Kind == engine.SeedNone; again[i] && p.flow.Tasks[i].Stage == engine.StageTasks {
			failed++
		}
		again[i] = again[i] || p.flow.Tasks[i].Stage > engine.StageTasks
	}
	if failed == 0 {
		return p.nothingFailed()
	}
	p.spread(again, index)
	p.keep(again)
	return nil
}

func (p *rerunPlan) unknownTask() error {
	var ids []string
	for i := range p.flow.Tasks {
		ids = append(ids, string(p.flow.Tasks[i].ID))
	}
	near := engine.Nearest(p.req.From, append(ids, engine.RerunFailed, engine.RerunAll))
	if near != "" {
		near = fmt.Sprintf(" (did you mean %q?)", near)
	}
	return fmt.Errorf("%w: no task %s in version %.12s of flow %s%s", engine.ErrNotFound, value.Quoted(p.req.From), p.out.Version, p.flow.ID, near)
}

// nothingKept is a rerun from the beginning: it was asked for, or the run has
// left nothing.
func (p *rerunPlan) nothingKept(named int) error {
	if p.req.From != engine.RerunAll {
		switch {
		case p.doc.Status == engine.Success && named < 0:
			return p.nothingFailed()
		case named < 0 || len(p.flow.Tasks) > 1: // a run of one task that succeeded leaves nothing, and needs nothing
			return fmt.Errorf("%w: run %s has left nothing that a rerun could go on with: do all of it again (--from all)", engine.ErrConflict, p.req.Run)
		}
	}
	for i := range p.flow.Tasks {
		p.out.Tasks = appendTask(p.out.Tasks, p.flow.Tasks[i].ID)
	}
	return nil
}

func (p *rerunPlan) nothingFailed() error {
	return fmt.Errorf("%w: nothing has failed in run %s: name the task to begin with (--from TASK), or do all of it again (--from all)", engine.ErrConflict, p.req.Run)
}

// mapTasks finds the tasks of the run among its seeds.
func (p *rerunPlan) mapTasks() error {
	p.old = make(map[engine.TaskID]int, len(p.seeds.Tasks))
	switch {
	case p.before != nil && len(p.before.Tasks) == len(p.seeds.Tasks):
		for i := range p.before.Tasks {
			p.old[p.before.Tasks[i].ID] = i
		}
	case len(p.doc.Tasks) == len(p.seeds.Tasks):
		for i := range p.doc.Tasks {
			p.old[p.doc.Tasks[i].TaskID] = i
		}
	default:
		return p.gone()
	}
	return nil
}

// seedOf is what the run has left of a task of the rerun.
func (p *rerunPlan) seedOf(i int) engine.Seed {
	if at, ok := p.old[p.flow.Tasks[i].ID]; ok {
		return p.seeds.Tasks[at]
	}
	return engine.Seed{}
}

// spread adds all that depends on what is done again.
func (p *rerunPlan) spread(again []bool, index map[engine.TaskID]int) {
	children := make([][]int, len(again))
	for i := range p.flow.Tasks {
		for _, dep := range p.flow.Tasks[i].Dependencies {
			if at, ok := index[dep]; ok {
				children[at] = append(children[at], i)
			}
		}
	}
	var todo []int
	for i, yes := range again {
		if yes {
			todo = append(todo, i)
		}
	}
	for ; len(todo) > 0; todo = todo[1:] {
		for _, c := range children[todo[0]] {
			if passed := p.seedOf(c).Kind == engine.SeedNotChosen && !p.flow.Tasks[todo[0]].Chooses; !again[c] && !passed {
				again[c] = true
				todo = append(todo, c)
			}
		}
	}
}

// keep makes the seeds of the rerun.
func (p *rerunPlan) keep(again []bool) {
	p.left = &engine.Seeds{Begun: p.seeds.Begun, Runs: p.seeds.Runs, Jars: p.seeds.Jars, Tasks: make([]engine.Seed, len(again))}
	for i := range p.flow.Tasks {
		task, s := &p.flow.Tasks[i], p.seedOf(i)
		changed := p.changed(task)
		if !again[i] {
			p.out.Kept++
			if p.left.Tasks[i] = s; changed {
				p.out.Changed = appendTask(p.out.Changed, task.ID)
			}
			continue
		}
		p.out.Tasks = appendTask(p.out.Tasks, task.ID)
		if s.Kind != engine.SeedNone || s.Attempts == 0 && s.ItemsAt.Seq == 0 || task.Stage > engine.StageTasks {
			continue // done again on purpose, or never begun
		}
		goesOn := (s.Turn > 0 && s.CarryAt.Seq != 0 || s.ItemsAt.Seq != 0) && !changed && p.req.From == engine.RerunFailed && len(p.req.Variables) == 0 && p.allKept(task, again)
		if goesOn {
			p.left.Tasks[i] = engine.Seed{Turn: s.Turn, CarryAt: s.CarryAt, Prev: s.Prev, ItemsAt: s.ItemsAt, Items: s.Items}
			p.out.GoOn = appendTask(p.out.GoOn, task.ID)
		}
		if !p.req.NewKeys && (s.Code == 0 || s.Code >= 500) { // nobody knows what became of it
			p.left.Tasks[i].KeyRun = s.KeyRun
			p.out.SameKey = appendTask(p.out.SameKey, task.ID)
		}
	}
}

// allKept reports whether a task finds the same values again.
func (p *rerunPlan) allKept(task *engine.Task, again []bool) bool {
	for i := range p.flow.Tasks {
		if again[i] && slices.Contains(task.Dependencies, p.flow.Tasks[i].ID) {
			return false
		}
	}
	return true
}

// changed reports whether a task stands in the flow otherwise than it did.
func (p *rerunPlan) changed(task *engine.Task) bool {
	if p.flow == p.before || p.before == nil {
		return false
	}
	was := p.before.Task(task.ID)
	return was == nil || written(was) != written(task)
}

// written is a task as it stands in its flow, wherever that is.
func written(t *engine.Task) string {
	with := *t
	with.Line = 0
	text, err := json.Marshal(&with)
	if err != nil {
		return err.Error() // never: it was decoded from JSON
	}
	return string(text)
}

func appendTask(list []engine.TaskID, id engine.TaskID) []engine.TaskID {
	if len(list) < engine.MaxRunDocTasks {
		list = append(list, id)
	}
	return list
}

// check makes sure that what is kept is there.
func (p *rerunPlan) check(ctx context.Context) error {
	if p.left == nil {
		return nil
	}
	purged, err := p.engine.cfg.Ledger.Purged(ctx)
	if err != nil {
		return err
	}
	if floor := p.left.Floor(); floor != 0 && floor < purged {
		return p.gone()
	}
	from := map[int]bool{}
	for i := range p.left.Tasks {
		if p.left.Tasks[i].Value {
			from[p.left.Tasks[i].Run] = true
		}
		if p.left.Tasks[i].ItemsAt.Seq != 0 { // its items may be of any of them
			for run := range p.left.Runs {
				from[run] = true
			}
		}
	}
	for i := range from { // large values live as long as the document of their run
		if _, err := p.engine.cfg.Runs.Get(ctx, p.left.Runs[i]); errors.Is(err, engine.ErrNotFound) {
			return p.gone()
		} else if err != nil {
			return err
		}
	}
	return nil
}

// startRerun stores the rerun, and the flow version that it needs: it may be no
// longer in use.
func (e *Engine) startRerun(ctx context.Context, p *rerunPlan) (*engine.RunDoc, error) {
	rerun := &engine.Rerun{Of: p.req.Run, Root: cmp.Or(p.doc.Root, p.req.Run)}
	if p.left != nil {
		rerun.Seeds = p.left.Encode()
	}
	batch := p.doc.BatchID
	when, err := time.Parse(time.RFC3339Nano, p.doc.ExecutionDate)
	if err != nil {
		return nil, fmt.Errorf("read the execution date of run %s: %w", p.req.Run, err)
	}
	return e.Start(ctx, engine.StartRequest{
		Flow: p.flow.ID, AdHoc: p.flow, Variables: p.variables, BatchID: &batch, ExecutionDate: when,
		TriggerType: "rerun", TriggerID: string(p.req.Run), Rerun: rerun, Trace: p.req.Trace, End: p.req.End,
	})
}

// Sources are the open runs, and those whose values they keep.
func (e *Engine) Sources(ctx context.Context) (map[engine.RunID]bool, error) {
	out := map[engine.RunID]bool{}
	err := e.sched.ask(ctx, func() {
		for r := range e.sched.state.Runs() {
			out[r.ID] = true
			r.Sources(out)
		}
	})
	return out, err
}
