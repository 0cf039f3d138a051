package fold

import (
	"iter"
	"maps"
	"slices"

	"github.com/qarion/qarion/engine"
)

// Part is a piece of the state as data: a snapshot is a row of parts. Each is
// small, however large the state is. The first ones hold the flow versions in
// use, so that a snapshot can be read without anything else.
type Part struct {
	Format       int            `cbor:"1,keyasint"` // FormatVersion of the writer
	Writer       string         `cbor:"2,keyasint"` // program version, for the message to an older one
	Seq          uint64         `cbor:"3,keyasint"`
	Installation string         `cbor:"4,keyasint"`
	Bad          int            `cbor:"5,keyasint"`
	Flows        []flowSnapshot `cbor:"6,keyasint,omitempty"` // entries of one flow add up
	Versions     [][]byte       `cbor:"7,keyasint,omitempty"` // definitions
	Runs         []runSnapshot  `cbor:"8,keyasint,omitempty"`
	Seen         []keySnapshot  `cbor:"9,keyasint,omitempty"` // oldest first

	Taken    engine.TriggerPlace `cbor:"10,keyasint,omitempty"`
	Rejected uint64              `cbor:"11,keyasint,omitempty"`
	Told     told                `cbor:"12,keyasint,omitempty"`

	Claims []int `cbor:"13,keyasint,omitempty"` // of each version

	Tally []spanCount `cbor:"14,keyasint,omitempty"` // in one part of them

	Places []engine.Pos `cbor:"15,keyasint,omitempty"` // of the record that each version came with

	Limits []limitSnapshot `cbor:"50,keyasint,omitempty"` // in one part of them

	graphs []*Graph // whose definitions Versions will be
}

// partSize is about how many tasks, run ids and keys a part holds. One run, or
// one flow, may go beyond it.
const partSize = 1024

type keySnapshot struct {
	_    struct{} `cbor:",toarray"`
	Hash [16]byte
	Run  engine.RunID
	At   engine.Micros
}

type flowSnapshot struct {
	Flow    engine.FlowID  `cbor:"1,keyasint"`
	Current string         `cbor:"2,keyasint,omitempty"`
	Batch   int64          `cbor:"3,keyasint,omitempty"`
	Active  []engine.RunID `cbor:"4,keyasint,omitempty"`
	Queue   []engine.RunID `cbor:"5,keyasint,omitempty"`
	Early   []early        `cbor:"6,keyasint,omitempty"`
	Removed bool           `cbor:"7,keyasint,omitempty"`
	Ticking []Ticking      `cbor:"50,keyasint,omitempty"`
}

type runSnapshot struct {
	ID          engine.RunID     `cbor:"1,keyasint"`
	Hash        string           `cbor:"2,keyasint"`
	Status      engine.Status    `cbor:"3,keyasint"`
	Batch       int64            `cbor:"4,keyasint"`
	Execution   engine.Micros    `cbor:"5,keyasint"`
	Accepted    engine.Micros    `cbor:"6,keyasint"`
	Deadline    engine.Micros    `cbor:"7,keyasint"`
	TriggerType string           `cbor:"8,keyasint,omitempty"`
	TriggerID   string           `cbor:"9,keyasint,omitempty"`
	Variables   []byte           `cbor:"10,keyasint,omitempty"`
	VariablesAt engine.Pos       `cbor:"11,keyasint,omitempty"`
	Seq         uint64           `cbor:"12,keyasint"`
	Tasks       []taskSnapshot   `cbor:"13,keyasint"`
	Paused      engine.Micros    `cbor:"14,keyasint,omitempty"`
	Calls       int              `cbor:"15,keyasint,omitempty"`
	Ending      engine.Status    `cbor:"16,keyasint,omitempty"`
	EndReason   string           `cbor:"17,keyasint,omitempty"`
	EndClass    string           `cbor:"18,keyasint,omitempty"`
	FirstError  *engine.RunError `cbor:"19,keyasint,omitempty"`

	Jars map[string][]engine.Pos `cbor:"20,keyasint,omitempty"`

	Trace *engine.TraceContext `cbor:"21,keyasint,omitempty"`

	Rows int64 `cbor:"22,keyasint,omitempty"`

	Rerun   *rerun     `cbor:"23,keyasint,omitempty"`
	Defined engine.Pos `cbor:"24,keyasint,omitzero"`

	Stage   int           `cbor:"25,keyasint,omitempty"`
	Settled engine.Status `cbor:"26,keyasint,omitempty"`

	Early     []early `cbor:"40,keyasint,omitempty"`
	Cancelled string  `cbor:"41,keyasint,omitempty"`
	Since     uint64  `cbor:"42,keyasint,omitempty"`

	Parent *engine.Parent `cbor:"43,keyasint,omitempty"`
}

type taskSnapshot struct {
	Status    engine.Status `cbor:"1,keyasint"`
	Waiting   int           `cbor:"2,keyasint,omitempty"` // ends.left
	Gen       int           `cbor:"3,keyasint,omitempty"`
	Attempt   int           `cbor:"4,keyasint,omitempty"`
	Dispatch  int           `cbor:"5,keyasint,omitempty"`
	Started   bool          `cbor:"6,keyasint,omitempty"`
	Again     bool          `cbor:"7,keyasint,omitempty"`
	NotBefore engine.Micros `cbor:"8,keyasint,omitempty"`
	Parked    string        `cbor:"9,keyasint,omitempty"`
	Waited    engine.Micros `cbor:"10,keyasint,omitempty"`
	Begin     engine.Micros `cbor:"11,keyasint,omitempty"`
	End       engine.Micros `cbor:"12,keyasint,omitempty"`
	LastStart engine.Micros `cbor:"13,keyasint,omitempty"`
	Code      int           `cbor:"14,keyasint,omitempty"`
	Value     []byte        `cbor:"15,keyasint,omitempty"`
	Response  []byte        `cbor:"16,keyasint,omitempty"`
	At        engine.Pos    `cbor:"17,keyasint,omitempty"`
	HasValue  bool          `cbor:"18,keyasint,omitempty"`
	Reading   int           `cbor:"19,keyasint,omitempty"`
	Reason    string        `cbor:"20,keyasint,omitempty"`
	History   []attemptNote `cbor:"21,keyasint,omitempty"`
	Sent      engine.Micros `cbor:"22,keyasint,omitempty"`
	What      []byte        `cbor:"23,keyasint,omitempty"` // of what was about to be sent
	Failed    int           `cbor:"28,keyasint,omitempty"` // of ends; those that are not named have succeeded
	Skipped   int           `cbor:"29,keyasint,omitempty"`
	Condition bool          `cbor:"30,keyasint,omitempty"`
	Turn      int           `cbor:"24,keyasint,omitempty"`
	Carry     []byte        `cbor:"25,keyasint,omitempty"`
	CarryAt   engine.Pos    `cbor:"26,keyasint,omitzero"`
	Prev      engine.Pos    `cbor:"27,keyasint,omitzero"`
	Origin    *origin       `cbor:"31,keyasint,omitempty"`
	NotChosen bool          `cbor:"32,keyasint,omitempty"`
	Fan       *fanSnapshot  `cbor:"33,keyasint,omitempty"`
	Held      bool          `cbor:"34,keyasint,omitempty"`
	Await     string        `cbor:"40,keyasint,omitempty"`
	Wake      *engine.Wake  `cbor:"41,keyasint,omitempty"`
}

// Snapshot is a snapshot that is being taken: of the state as it was when it
// began, whatever is applied meanwhile. What is about to change is copied
// before, the rest when its turn comes; so no step takes long, and neither does
// the beginning: the maps are read while they change, which yields each entry
// that was there once, unless it has left, and then it was copied before. It
// belongs to the state's goroutine, and is to be taken to its end or closed.
type Snapshot struct {
	Seq uint64 // of the last entry that it covers

	state    *State
	gen      uint64
	head     Part
	count    Count
	versions pulled[*version]
	early    []version // copied before their turn came
	flows    pulled[*flowState]
	runs     pulled[*Run]
	keys     keys

	full []*Part // copied before their turn came
	part *Part   // being filled
	size int
}

// Snapshot begins a snapshot. One that is still being taken is given up.
func (s *State) Snapshot(writer string) *Snapshot {
	s.gen++
	x := &Snapshot{
		Seq: s.Seq, state: s, gen: s.gen, keys: s.seen.keys(),
		head: Part{
			Format: engine.FormatVersion, Writer: writer, Seq: s.Seq, Installation: s.Installation, Bad: s.Bad,
			Taken: s.Taken, Rejected: s.Rejected, Told: s.told,
		},
		count:    Count{Versions: len(s.versions), Runs: len(s.runs), Keys: s.seen.len()},
		versions: pull(s.versions), flows: pull(s.flows), runs: pull(s.runs),
	}
	x.turn()
	x.part.Tally = slices.Clone(s.tally.counts)
	x.part.Limits = s.limitSnapshots()
	if s.taking != nil {
		s.taking.Close()
	}
	s.taking = x
	return x
}

// pulled yields the values of a map one by one.
type pulled[T any] struct {
	next func() (T, bool)
	stop func()
}

func pull[K comparable, T any](m map[K]T) (p pulled[T]) {
	p.next, p.stop = iter.Pull(maps.Values(m))
	return p
}

// Count is what the snapshot holds.
func (x *Snapshot) Count() Count { return x.count }

// Close ends a snapshot that was not taken to its end.
func (x *Snapshot) Close() {
	x.versions.stop()
	x.flows.stop()
	x.runs.stop()
	if x.state.taking == x {
		x.state.taking = nil
	}
}

// Next copies the next part; nil: that was all.
func (x *Snapshot) Next() *Part {
	if p := x.nextVersions(); p != nil {
		return p
	}
	for len(x.full) == 0 && x.copySome() {
	}
	if len(x.full) > 0 {
		p := x.full[0]
		x.full = x.full[1:]
		return p
	}
	p := x.part
	x.part = nil
	if p == nil {
		x.Close()
	}
	return p
}

// nextVersions is the next part of flow versions; nil: there are no more.
func (x *Snapshot) nextVersions() *Part {
	p := x.head
	for n := 0; n < partSize; {
		if len(x.early) == 0 {
			v, more := x.versions.next()
			if !more {
				break
			}
			x.version(v)
			continue
		}
		v := &x.early[len(x.early)-1]
		p.graphs, p.Claims, p.Places = append(p.graphs, v.graph), append(p.Claims, v.claims), append(p.Places, v.at)
		n += 8 + len(v.graph.Flow.Tasks)
		x.early = x.early[:len(x.early)-1]
	}
	if len(p.graphs) == 0 {
		return nil
	}
	return &p
}

// copySome copies what comes next; false: there is no more.
func (x *Snapshot) copySome() bool {
	if x.part == nil {
		return false
	}
	if f, more := x.flows.next(); more {
		x.flow(f)
		return true
	}
	if r, more := x.runs.next(); more {
		x.run(r)
		return true
	}
	if x.keys.at == x.keys.to {
		return false
	}
	seen := x.keys.take(partSize - x.size)
	x.part.Seen = append(x.part.Seen, seen...)
	x.grown(len(seen))
	return true
}

// version copies a flow version, unless that was done already.
func (x *Snapshot) version(v *version) {
	if v.gen != x.gen {
		v.gen = x.gen
		x.early = append(x.early, *v)
	}
}

// run copies a run, unless that was done already.
func (x *Snapshot) run(r *Run) {
	if r.gen != x.gen {
		r.gen = x.gen
		x.part.Runs = append(x.part.Runs, r.snapshot())
		x.grown(1 + len(r.Tasks) + r.itemsSize())
	}
}

// flow copies a flow, unless that was done already; its lists in pieces.
func (x *Snapshot) flow(f *flowState) {
	if f.gen == x.gen {
		return
	}
	f.gen = x.gen
	head := flowSnapshot{Flow: f.id, Current: f.current, Batch: f.batch, Removed: f.removed}
	add := func(fs flowSnapshot) {
		x.part.Flows = append(x.part.Flows, fs)
		x.grown(1 + len(fs.Active) + len(fs.Queue) + len(fs.Early) + len(fs.Ticking))
	}
	if f.active.n+f.queue.n == 0 || len(f.early)+len(f.ticking) > 0 {
		with := head
		with.Early, with.Ticking = f.early, f.ticking
		add(with)
	}
	for ids := range f.active.pieces(partSize) {
		fs := head
		fs.Active = ids
		add(fs)
	}
	for ids := range f.queue.pieces(partSize) {
		fs := head
		fs.Queue = ids
		add(fs)
	}
}

func (x *Snapshot) grown(n int) {
	if x.size += n; x.size >= partSize {
		x.full = append(x.full, x.part)
		x.turn()
	}
}

func (x *Snapshot) turn() {
	p := x.head
	x.part, x.size = &p, 0
}

// Fill completes a part with what is not copied: it is slow, and need not be
// called on the state's goroutine.
func (p *Part) Fill() error {
	for _, g := range p.graphs {
		def, _, err := g.Flow.Encode()
		if err != nil {
			return err
		}
		p.Versions = append(p.Versions, def)
	}
	p.graphs = nil
	return nil
}

// touch copies what is about to change into the snapshot that is being taken.
func (s *State) touch(r *Run) {
	if s.taking != nil {
		s.taking.run(r)
	}
}

func (s *State) touchFlow(f *flowState) {
	if s.taking != nil {
		s.taking.flow(f)
	}
}

func (s *State) touchVersion(v *version) {
	if s.taking != nil {
		s.taking.version(v)
	}
}

func (r *Run) snapshot() runSnapshot {
	rs := runSnapshot{
		r.ID, r.Graph.Hash, r.Status, r.Batch, r.execution, r.accepted, r.Deadline, r.triggerType, r.triggerID,
		r.variables, r.variablesAt, r.Seq, make([]taskSnapshot, len(r.Tasks)), r.paused, r.calls,
		r.Ending, r.endReason, r.endClass, r.firstError, maps.Clone(r.jars), r.trace, r.rows, r.rerun, r.defined, r.stage, r.settled, r.early, r.cancelled, r.since, r.parent,
	}
	for i := range r.Tasks {
		t := &r.Tasks[i]
		rs.Tasks[i] = taskSnapshot{
			t.Status, t.ends.left, t.gen, t.attempt, t.dispatch, t.Started, t.Again, t.NotBefore, t.Parked, t.waited,
			t.Begin, t.end, t.lastStart, t.code, t.value, t.response, t.at, t.hasValue, t.reading, t.reason,
			slices.Clone(t.history), t.Sent, t.sent, t.ends.failed, t.ends.skipped, t.byCondition, t.turn, t.carry, t.carryAt, t.prev, t.origin, t.notChosen, t.fan.snapshot(), t.Held, t.await, t.wake,
		}
	}
	return rs
}
