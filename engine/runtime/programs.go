package runtime

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/ratelimit"
)

// programs holds the prepared tasks of every flow version in use. A task is
// prepared when it is first run and then shared by all attempts.
type programs struct {
	types map[string]engine.TaskType

	mu       sync.RWMutex
	versions map[string]*programSet
}

type programSet struct {
	graph *fold.Graph
	tasks []preparedTask
}

type preparedTask struct {
	once sync.Once
	prog *taskProgram
	err  error
}

// taskProgram is a prepared task with its place.
type taskProgram struct {
	engine.Program
	Retry engine.RetryPolicy
	when  *jinja.Template // nil: it always runs
	each  *jinja.Template // for_each; nil: it is done once
	limit ratelimit.Call  // as far as the flow file tells
	flow  *engine.Flow
	task  *engine.Task
}

func newPrograms(types []engine.TaskType) *programs {
	p := &programs{types: map[string]engine.TaskType{}, versions: map[string]*programSet{}}
	for _, t := range types {
		p.types[t.Name()] = t
	}
	return p
}

func (p *programs) add(g *fold.Graph) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.versions[g.Hash] == nil {
		p.versions[g.Hash] = &programSet{graph: g, tasks: make([]preparedTask, len(g.Flow.Tasks))}
	}
}

// flow is a flow version in use; nil when there is none of that hash.
func (p *programs) flow(hash string) *engine.Flow {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if set := p.versions[hash]; set != nil {
		return set.graph.Flow
	}
	return nil
}

// count is the number of versions that are held.
func (p *programs) count() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.versions)
}

// hashes are those versions.
func (p *programs) hashes() []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.AppendSeq(make([]string, 0, len(p.versions)), maps.Keys(p.versions))
}

// drop forgets versions that are no longer in use.
func (p *programs) drop(hashes []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, hash := range hashes {
		delete(p.versions, hash)
	}
}

// get returns the program of a task. ErrInvalid: this node cannot run it (an
// unknown task type, or rules that have become stricter).
func (p *programs) get(hash string, id engine.TaskID) (*taskProgram, error) {
	p.mu.RLock()
	set := p.versions[hash]
	p.mu.RUnlock()
	if set == nil {
		return nil, fmt.Errorf("%w: flow version %s", engine.ErrNotFound, hash)
	}
	i, ok := set.graph.Index[id]
	if !ok {
		return nil, fmt.Errorf("%w: task %s in flow version %s", engine.ErrNotFound, id, hash)
	}
	t := &set.tasks[i]
	t.once.Do(func() { t.prog, t.err = p.prepare(set.graph.Flow, i) })
	return t.prog, t.err
}

func (p *programs) prepare(f *engine.Flow, i int) (*taskProgram, error) {
	task := &f.Tasks[i]
	kind := p.types[task.Type]
	if kind == nil {
		return nil, fmt.Errorf("%w: unknown task type %q", engine.ErrInvalid, task.Type)
	}
	prog, problems := kind.Prepare(f, task)
	if wrong := engine.Refused(problems); wrong != nil {
		return nil, fmt.Errorf("%w: %s", engine.ErrInvalid, wrong.Message)
	}
	needs := prog.Needs()
	out := &taskProgram{Program: prog, Retry: needs.Retry, limit: needs.Limit, flow: f, task: task}
	if task.When != "" {
		var err error
		if out.when, err = jinja.Parse("when", task.When); err != nil {
			return nil, fmt.Errorf("%w: %w", engine.ErrInvalid, err)
		}
	}
	if task.ForEach != "" {
		var err error
		if out.each, err = jinja.Parse("for_each", task.ForEach); err != nil {
			return nil, fmt.Errorf("%w: %w", engine.ErrInvalid, err)
		}
	}
	return out, nil
}
