package fold

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/qarion/qarion/engine"
)

// rerun is what a run knows of the one that it repeats.
type rerun struct {
	Of    engine.RunID `cbor:"1,keyasint"`
	Root  engine.RunID `cbor:"2,keyasint"`
	Floor uint64       `cbor:"3,keyasint,omitempty"` // the first entry that it may read; 0: none before its own

	Items []engine.RunID `cbor:"4,keyasint,omitempty"` // those whose items it may read
}

// origin is where a task of a rerun comes from.
type origin struct {
	Run    engine.RunID `cbor:"1,keyasint,omitempty"` // it was done there and is kept
	KeyRun engine.RunID `cbor:"2,keyasint,omitempty"` // whose idempotency keys it sends
}

// seedsOf reads what a submission keeps of another run; nil: nothing.
func seedsOf(rec *engine.SubmitRecord, g *Graph) (*engine.Seeds, error) {
	if rec.Rerun == nil || rec.Rerun.Seeds == nil {
		return nil, nil
	}
	seeds, err := engine.DecodeSeeds(rec.Rerun.Seeds)
	if err == nil && len(seeds.Tasks) != len(g.Flow.Tasks) {
		err = fmt.Errorf("%d tasks are kept of a run, the flow has %d", len(seeds.Tasks), len(g.Flow.Tasks))
	}
	return seeds, err
}

// sow gives a fresh run what it keeps of another one: what is done counts as it
// did there, and what was in the middle of its turns goes on with the next.
func (r *Run) sow(rec *engine.Rerun, seeds *engine.Seeds) {
	r.rerun = &rerun{Of: rec.Of, Root: rec.Root}
	if seeds == nil {
		return
	}
	r.rerun.Floor, r.jars = seeds.Floor(), seeds.Jars
	for i := range seeds.Tasks {
		s, t := &seeds.Tasks[i], &r.Tasks[i]
		if t.sowItems(s); s.ItemsAt.Seq != 0 {
			r.rerun.Items = seeds.Runs
		}
		switch s.Kind {
		case engine.SeedSuccess:
			t.Status, t.at, t.hasValue, t.attempt, t.code = engine.Success, s.At, s.Value, max(1, s.Attempts), s.Code
		case engine.SeedSkipped, engine.SeedNotChosen:
			t.Status, t.byCondition, t.reason = engine.Skipped, true, "skipped in the run that this one repeats"
			t.notChosen = s.Kind == engine.SeedNotChosen
		default:
			if t.fan == nil {
				t.turn, t.carryAt, t.prev = s.Turn, s.CarryAt, s.Prev
			}
			if s.KeyRun > 0 {
				t.origin = &origin{KeyRun: seeds.Runs[s.KeyRun-1]}
			}
			continue
		}
		t.origin = &origin{Run: seeds.Runs[s.Run]}
		r.open--
		r.forget(i)
	}
	for i := range r.Tasks {
		for _, p := range r.Graph.parents[i] {
			if r.Tasks[p].Status.Final() {
				r.count(p, &r.Tasks[i].ends)
			}
		}
	}
}

// sowItems gives a task the items that a seed has of it: those that are done need
// not be done again.
func (t *TaskState) sowItems(s *engine.Seed) {
	if s.ItemsAt.Seq == 0 {
		return
	}
	places, err := engine.DecodeItemPlaces(s.Items)
	if err != nil {
		return // never: the seeds were read
	}
	f := newFan(s.ItemsAt, len(places))
	f.take(places)
	for _, p := range places {
		switch p.How {
		case engine.ItemSuccess:
			f.success++
		case engine.ItemSkipped:
			f.skipped++
		case engine.ItemFailed, engine.ItemUnknown:
			if s.Kind == engine.SeedSuccess { // else it is done again
				f.failed++
			}
		}
	}
	f.joining = s.Kind == engine.SeedSuccess
	t.fan, t.turn = f, 1
}

// showKept tells what a run keeps of others.
func (s *step) showKept(r *Run) {
	if r.rerun == nil {
		return
	}
	for i := range r.Tasks {
		if t := &r.Tasks[i]; t.origin != nil && t.origin.Run != "" {
			s.show(&engine.Change{
				Kind: engine.TaskKept, Run: r.ID, Flow: r.Graph.Flow.ID, Task: r.Graph.Flow.Tasks[i].ID, BatchID: r.Batch,
				Status: t.Status, Reason: "kept from run " + string(t.origin.Run),
			})
		}
	}
}

// deciding is the task that has decided a task's rule: one that did not succeed.
func (r *Run) deciding(i int) int {
	for _, p := range r.Graph.parents[i] {
		if r.Tasks[p].Status != engine.Success {
			return p
		}
	}
	return i
}

// seeds is what the run leaves for another one to go on with, written into s and
// encoded; nil: its document says as much.
func (r *Run) seeds(status engine.Status, s *engine.Seeds) []byte {
	if len(r.Tasks) == 1 && status == engine.Success && r.variablesAt.Seq == 0 && r.Tasks[0].fan == nil {
		return nil
	}
	*s = engine.Seeds{
		Begun: r.Floor(), Defined: r.defined, VariablesAt: r.variablesAt,
		Runs: append(s.Runs[:0], r.ID), Jars: r.jars, Tasks: s.Tasks[:0],
	}
	known := func(id engine.RunID) int {
		i := slices.Index(s.Runs, id)
		if i < 0 {
			i, s.Runs = len(s.Runs), append(s.Runs, id)
		}
		return i
	}
	if r.rerun != nil {
		for _, id := range r.rerun.Items {
			known(id)
		}
	}
	room := engine.MaxItemPlacesBytes
	for i := range r.Tasks {
		t := &r.Tasks[i]
		seed := engine.Seed{Value: t.hasValue, At: t.at, Attempts: t.attempt, Code: t.code}
		switch {
		case t.Status == engine.Success:
			seed.Kind = engine.SeedSuccess
		case t.Status == engine.Skipped && t.notChosen:
			seed.Kind = engine.SeedNotChosen
		case t.Status == engine.Skipped && t.byCondition:
			seed.Kind = engine.SeedSkipped
		default:
			seed.Value, seed.Turn, seed.CarryAt, seed.Prev, seed.KeyRun = false, t.turn, t.carryAt, t.prev, 1
			if t.turn > 0 && t.carryAt.Seq == 0 { // written before places of carries were kept
				seed.Turn, seed.Prev = 0, engine.Pos{}
			}
		}
		if t.origin != nil && t.origin.KeyRun != "" && seed.KeyRun > 0 {
			seed.KeyRun = 1 + known(t.origin.KeyRun)
		} else if t.origin != nil && t.origin.Run != "" {
			seed.Run = known(t.origin.Run)
		}
		if t.fan != nil {
			seed.Turn, seed.CarryAt, seed.Prev = 0, engine.Pos{}, engine.Pos{} // its last turn begins anew
			if places := engine.EncodeItemPlaces(t.fan.places()); len(places) <= room {
				room -= len(places)
				seed.ItemsAt, seed.Items = t.fan.at, places
			}
		}
		s.Tasks = append(s.Tasks, seed)
	}
	return s.Encode()
}

// Sources adds the runs whose values this one keeps.
func (r *Run) Sources(to map[engine.RunID]bool) {
	if r.rerun == nil {
		return
	}
	for _, id := range r.rerun.Items {
		to[id] = true
	}
	for i := range r.Tasks {
		if o := r.Tasks[i].origin; o != nil && o.Run != "" {
			to[o.Run] = true
		}
	}
}

// Floor is the first entry of the ledger that the run may still read.
func (r *Run) Floor() uint64 {
	floor := cmp.Or(r.since, r.Seq)
	if r.rerun != nil && r.rerun.Floor != 0 {
		floor = min(floor, r.rerun.Floor)
	}
	return floor
}
