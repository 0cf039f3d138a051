package engine

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// Seeds are what a run has left that another one can go on with: of each task
// whether it is done, and where in the ledger its value stands. The runs view
// keeps those of closed runs; a rerun begins with what it keeps of them. The
// values themselves stay where they are.
type Seeds struct {
	Begun       uint64 // the first entry of the ledger that any of this may need
	Defined     Pos    // of the record with the run's flow version; zero: not known
	VariablesAt Pos    // of the record with its variables, where its document does not have them
	Runs        []RunID
	Jars        map[string][]Pos // of the records that hold a cookie jar, by its name
	Tasks       []Seed           // in the order of the flow
}

// Seed is what a run has left of one task.
type Seed struct {
	Kind     SeedKind
	Run      int  // whose attempt it is, in Seeds.Runs
	KeyRun   int  // of a task that has not succeeded: whose idempotency keys it sends, 1 and its place in Seeds.Runs; 0: of the run that begins with the seeds
	Value    bool // it has left one
	At       Pos  // of the record that holds it
	Attempts int  // of its last turn
	Code     int  // HTTP status of the last attempt

	// Of a task that has not succeeded: where its turns are.
	Turn    int
	CarryAt Pos // of the record that tells the next turn where it is
	Prev    Pos // of the record that holds the last part

	// Of a task with for_each whose list is known: where that stands, and how its
	// items ended (EncodeItemPlaces).
	ItemsAt Pos
	Items   []byte
}

// SeedKind is how far a task came.
type SeedKind uint8

// The kinds of seed.
const (
	SeedNone      SeedKind = iota // nothing can be kept of it, but where its turns are
	SeedSuccess                   // it has succeeded
	SeedSkipped                   // it was skipped by a condition
	SeedNotChosen                 // it was skipped by the task that chooses what follows
)

// seedsFormat is the first byte of what Encode writes.
const seedsFormat = 1

// Flags of a seed, above its kind.
const (
	seedValue = 1 << 2
	seedTurns = 1 << 3
	seedKey   = 1 << 4
	seedItems = 1 << 5
)

// Encode writes the seeds in few bytes: seven or so for a task.
func (s *Seeds) Encode() []byte {
	w := seedWriter{b: append(make([]byte, 0, 16+32*len(s.Runs)+8*len(s.Tasks)), seedsFormat)}
	w.uint(s.Begun)
	w.pos(s.Defined)
	w.pos(s.VariablesAt)
	w.uint(uint64(len(s.Runs)))
	for _, id := range s.Runs {
		w.text(string(id))
	}
	w.uint(uint64(len(s.Jars)))
	if len(s.Jars) > 0 { // most have none, and every run passes here
		w.jars(s.Jars)
	}
	w.uint(uint64(len(s.Tasks)))
	for i := range s.Tasks {
		w.seed(&s.Tasks[i])
	}
	return w.b
}

// seedWriter appends numbers, and places as their distance from the last one.
type seedWriter struct {
	b    []byte
	last uint64
}

func (w *seedWriter) uint(n uint64) { w.b = binary.AppendUvarint(w.b, n) }

func (w *seedWriter) text(s string) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *seedWriter) pos(p Pos) {
	w.b = binary.AppendVarint(w.b, int64(p.Seq-w.last))
	w.uint(uint64(p.N))
	w.last = p.Seq
}

func (w *seedWriter) jars(jars map[string][]Pos) {
	for _, name := range slices.Sorted(maps.Keys(jars)) {
		w.text(name)
		w.uint(uint64(len(jars[name])))
		for _, at := range jars[name] {
			w.pos(at)
		}
	}
}

func (w *seedWriter) seed(s *Seed) {
	flags := uint64(s.Kind)
	if s.Value {
		flags |= seedValue
	}
	if s.Turn > 0 {
		flags |= seedTurns
	}
	if s.KeyRun > 0 {
		flags |= seedKey
	}
	if s.ItemsAt.Seq != 0 {
		flags |= seedItems
	}
	w.uint(flags)
	if flags == 0 {
		return
	}
	w.uint(uint64(s.Run))
	if s.KeyRun > 0 {
		w.uint(uint64(s.KeyRun))
	}
	if s.Value {
		w.pos(s.At)
	}
	w.uint(uint64(s.Attempts))
	w.uint(uint64(s.Code))
	if s.Turn > 0 {
		w.uint(uint64(s.Turn))
		w.pos(s.CarryAt)
		w.pos(s.Prev)
	}
	if s.ItemsAt.Seq != 0 {
		w.pos(s.ItemsAt)
		w.uint(uint64(len(s.Items)))
		w.b = append(w.b, s.Items...)
	}
}

// DecodeSeeds reads what Encode wrote. ErrInvalid: it is something else.
func DecodeSeeds(data []byte) (*Seeds, error) {
	r := seedReader{b: data}
	if len(data) == 0 || data[0] != seedsFormat {
		return nil, fmt.Errorf("%w: what the run has left is in a form that this program does not read", ErrInvalid)
	}
	r.b = r.b[1:]
	s := &Seeds{Begun: r.uint()}
	s.Defined, s.VariablesAt = r.pos(), r.pos()
	for range r.count(MaxTasks + 1) {
		s.Runs = append(s.Runs, RunID(r.text()))
	}
	for range r.count(MaxTasks) {
		name := r.text()
		if s.Jars == nil {
			s.Jars = map[string][]Pos{}
		}
		for range r.count(len(r.b)) {
			s.Jars[name] = append(s.Jars[name], r.pos())
		}
	}
	for range r.count(MaxTasks) {
		s.Tasks = append(s.Tasks, r.seed())
	}
	for i := range s.Tasks {
		if t := &s.Tasks[i]; max(t.Run, t.KeyRun-1) >= max(1, len(s.Runs)) || t.Kind > SeedNotChosen {
			r.bad = true
		}
	}
	if r.bad || len(r.b) > 0 {
		return nil, fmt.Errorf("%w: what the run has left is damaged", ErrInvalid)
	}
	return s, nil
}

type seedReader struct {
	b    []byte
	last uint64
	bad  bool
}

func (r *seedReader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

// count is a length, which can be no more than most, nor than the bytes that follow.
func (r *seedReader) count(most int) int {
	n := r.uint()
	if n > uint64(min(most, len(r.b))) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *seedReader) int() int { return int(r.uint() & (1<<31 - 1)) }

func (r *seedReader) text() string {
	n := r.count(MaxID)
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *seedReader) pos() (p Pos) {
	d, size := binary.Varint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return p
	}
	r.b = r.b[size:]
	r.last += uint64(d)
	return Pos{Seq: r.last, N: r.int()}
}

func (r *seedReader) seed() (s Seed) {
	flags := r.uint()
	if flags == 0 {
		return s
	}
	s.Kind, s.Value = SeedKind(flags&3), flags&seedValue != 0
	if s.Run = r.int(); flags&seedKey != 0 {
		s.KeyRun = r.int()
	}
	if s.Value {
		s.At = r.pos()
	}
	s.Attempts, s.Code = r.int(), r.int()
	if flags&seedTurns != 0 {
		s.Turn, s.CarryAt, s.Prev = r.int(), r.pos(), r.pos()
	}
	if flags&seedItems != 0 {
		s.ItemsAt = r.pos()
		n := r.count(len(r.b))
		s.Items, r.b = r.b[:n:n], r.b[n:]
		if _, err := DecodeItemPlaces(s.Items); err != nil {
			r.bad = true
		}
	}
	return s
}

// Floor is the first entry of the ledger that a run which begins with the seeds
// may read; 0: none.
func (s *Seeds) Floor() uint64 {
	floor := uint64(0)
	add := func(p Pos) {
		if p.Seq != 0 && (floor == 0 || p.Seq < floor) {
			floor = p.Seq
		}
	}
	for i := range s.Tasks {
		add(s.Tasks[i].At)
		add(s.Tasks[i].CarryAt)
		add(s.Tasks[i].ItemsAt)       // it stands before all that its items have left
		if s.Tasks[i].Prev.Seq != 0 { // that part names the one before it, and so on
			add(Pos{Seq: s.Begun})
		}
	}
	for _, list := range s.Jars {
		for _, at := range list {
			add(at)
		}
	}
	return floor
}
