package runtime

import (
	"container/heap"
	"context"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/cron"
	"github.com/qarion/qarion/internal/failpoint"
)

// ticks starts runs by the clock. It belongs to the scheduler's goroutine. What
// is done stands in the ledger; here is only what comes next.
type ticks struct {
	cfg   *Config
	log   *slog.Logger
	state *fold.State
	zones cron.Zones
	flows map[engine.FlowID][]*ticker
	heap  tickerHeap
	seen  engine.Micros // the clock, when it was last looked at
	out   *starter
}

// ticker is a schedule that is not paused.
type ticker struct {
	flow     engine.FlowID
	id       string
	schedule *engine.Schedule
	problem  string
	at       engine.Micros // it is looked for times after this one
	prev     engine.Micros // the time before the next one; 0: not known
	next     engine.Micros
	due      engine.Micros // next and its jitter
	place    int           // in the heap
}

// lookAgain is how long the scheduler sleeps at most while there are schedules:
// the machine's clock may be set, and stands still for timers while the machine
// sleeps.
const lookAgain = time.Second

func newTicks(cfg *Config, state *fold.State, out *starter) *ticks {
	return &ticks{cfg: cfg, log: engine.Logger(cfg.Log), state: state, flows: map[engine.FlowID][]*ticker{}, out: out}
}

// planAll begins with where all schedules stand.
func (t *ticks) planAll(now engine.Micros) {
	t.seen = now
	t.state.Scheduled(func(id engine.FlowID) { t.plan(id, now) })
}

// plan makes the schedules of a flow anew.
func (t *ticks) plan(id engine.FlowID, now engine.Micros) {
	for _, tk := range t.flows[id] {
		if tk.place >= 0 {
			heap.Remove(&t.heap, tk.place)
		}
	}
	delete(t.flows, id)
	g := t.state.Newest(id)
	if g == nil {
		return
	}
	list := t.state.Ticking(id)
	for i := range list {
		at := &list[i]
		if at.Plan == "" || at.Paused {
			continue
		}
		tk := &ticker{flow: id, id: at.ID, place: -1}
		t.flows[id] = append(t.flows[id], tk)
		var err error
		if tk.schedule, err = scheduleOf(g.Flow, at.ID, &t.zones); err != nil {
			tk.problem = err.Error()
			t.log.Error("a schedule cannot be read and does not come", engine.LogFlow, id, "trigger", at.ID, engine.LogErr, err)
			continue
		}
		tk.begin(at, now)
		t.turn(tk, at)
	}
}

func scheduleOf(f *engine.Flow, id string, zones *cron.Zones) (*engine.Schedule, error) {
	spec, err := f.Trigger(id)
	if err != nil {
		return nil, err
	}
	return spec.Schedule(zones)
}

// begin says from where on times are looked for: the last that is done, or when
// the schedule began. A clock that was put back does not wait for either.
func (tk *ticker) begin(at *fold.Ticking, now engine.Micros) {
	tk.at, tk.prev = max(at.Since, at.Last()), 0
	if tk.at == at.Last() {
		tk.prev = tk.at
	}
	if tk.at > now {
		tk.at, tk.prev = now, 0
	}
	if old := now - engine.Micros(tk.schedule.Window/time.Microsecond); tk.at < old { // too old to be caught up on
		tk.at, tk.prev = old, 0
	}
}

// turn puts a schedule where its next time is.
func (t *ticks) turn(tk *ticker, at *fold.Ticking) {
	tk.next = tk.after(at)
	if tk.next == 0 {
		return
	}
	tk.due = tk.next + t.jitter(tk, tk.next)
	heap.Push(&t.heap, tk)
}

// after is the next time that is not done; 0: there is none.
func (tk *ticker) after(at *fold.Ticking) engine.Micros {
	for {
		next := engine.At(tk.schedule.Next(tk.at.Time()))
		if next == 0 || !at.Has(next) {
			return next
		}
		tk.at = at.Through(next)
		tk.prev = tk.at
	}
}

// jitter is how much later than its time a run starts: the same for all who
// reckon it, different between schedules.
func (t *ticks) jitter(tk *ticker, tick engine.Micros) engine.Micros {
	most := uint64(tk.schedule.Jitter / time.Microsecond)
	if most == 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(t.state.Installation + "\x00" + string(tk.flow) + "\x00" + tk.id + "\x00"))
	_ = binary.Write(h, binary.LittleEndian, int64(tick))
	x := h.Sum64() // FNV leaves neighbours together
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return engine.Micros(x % most)
}

// fire starts what is due.
func (t *ticks) fire(now engine.Micros) {
	if now+engine.Micros(lookAgain/time.Microsecond) < t.seen {
		t.log.Warn("the clock was put back; schedules go by it, and no time comes twice", "by", (t.seen.Time().Sub(now.Time())).Round(time.Second))
		t.planAll(now)
	}
	t.seen = now
	for len(t.heap) > 0 && t.heap[0].due <= now {
		tk := heap.Pop(&t.heap).(*ticker)
		at := t.where(tk)
		if at == nil || at.Paused {
			continue
		}
		failpoint.Here("tick.due")
		t.missed(tk, at, now)
		t.turn(tk, at)
	}
}

// where is how far the fold is with a schedule.
func (t *ticks) where(tk *ticker) *fold.Ticking {
	list := t.state.Ticking(tk.flow)
	for i := range list {
		if list[i].ID == tk.id {
			return &list[i]
		}
	}
	return nil
}

// missed starts the runs of a schedule whose time has come, most often one. What
// has become too many since anybody looked is left to its catchup.
func (t *ticks) missed(tk *ticker, at *fold.Ticking, now engine.Micros) {
	s := tk.schedule
	keep := 1
	if s.CatchUp == engine.CatchUpAll {
		keep = s.MaxCatchUp
	}
	old := now - engine.Micros(s.Window/time.Microsecond) - engine.Micros(s.Jitter/time.Microsecond)
	type tick struct{ at, prev engine.Micros }
	var list []tick
	n := 0
	for next := tk.next; next != 0 && next+t.jitter(tk, next) <= now; next = tk.after(at) {
		if n++; next >= old {
			list = append(list, tick{next, tk.prev})
			if len(list) > keep {
				list = list[1:]
			}
		}
		tk.at, tk.prev = next, next
	}
	if last := len(list) - 1; s.CatchUp == engine.CatchUpNone && last >= 0 && now-list[last].at-t.jitter(tk, list[last].at) > engine.Micros(engine.ScheduleGrace/time.Microsecond) {
		list = nil
	}
	if n > len(list) {
		t.log.Warn("times of a schedule were missed", engine.LogFlow, tk.flow, "trigger", tk.id, "missed", n, "started", len(list), "catchup", s.CatchUp)
	}
	if len(list) == 0 {
		return
	}
	var variables []byte
	if s.Variables != nil {
		variables, _ = json.Marshal(s.Variables) // it was JSON
	}
	recs := make([]*engine.SubmitRecord, len(list))
	for i, x := range list {
		recs[i] = &engine.SubmitRecord{
			Run: t.cfg.NewID(t.cfg.Now()), Flow: tk.flow, Variables: variables, ExecutionDate: x.at,
			TriggerType: engine.TriggerSchedule, TriggerID: tk.id, Tick: x.at, PrevTick: x.prev,
		}
	}
	t.out.add(recs)
}

// rest is how long the scheduler may sleep for the schedules.
func (t *ticks) rest(now engine.Micros, d time.Duration) time.Duration {
	if len(t.heap) == 0 {
		return d
	}
	return max(0, min(d, lookAgain, time.Duration(t.heap[0].due-now)*time.Microsecond))
}

// starter writes the runs that schedules ask for, in their order.
type starter struct {
	ledger engine.Ledger
	log    *slog.Logger

	mu   sync.Mutex
	todo []*engine.SubmitRecord
	wake chan struct{}
}

func newStarter(cfg *Config) *starter {
	return &starter{ledger: cfg.Ledger, log: engine.Logger(cfg.Log), wake: make(chan struct{}, 1)}
}

func (s *starter) add(recs []*engine.SubmitRecord) {
	s.mu.Lock()
	s.todo = append(s.todo, recs...)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run appends what is added until ctx ends. A bundle that the ledger has not
// acknowledged is written again: a time that is done changes nothing.
func (s *starter) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		s.mu.Lock()
		todo := s.todo
		s.todo = nil
		s.mu.Unlock()
		for len(todo) > 0 {
			n, size := 0, 0
			for n < len(todo) && n < maxTogether && (n == 0 || size+len(todo[n].Variables) <= maxTogetherBytes) {
				size += len(todo[n].Variables)
				n++
			}
			failpoint.Here("tick.before")
			err := patiently(ctx, s.log, "the ledger did not take the runs of schedules; trying again", func() error {
				_, err := s.ledger.AppendTogether(ctx, todo[:n])
				return err
			})
			if err != nil {
				return nil
			}
			failpoint.Here("tick.stored")
			todo = todo[n:]
		}
	}
}

// tickerHeap serves container/heap.
type tickerHeap []*ticker

func (h tickerHeap) Len() int           { return len(h) }
func (h tickerHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h tickerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push and Pop serve container/heap.
func (h *tickerHeap) Push(x any) {
	tk := x.(*ticker)
	tk.place = len(*h)
	*h = append(*h, tk)
}

// Pop removes the last element, for container/heap.
func (h *tickerHeap) Pop() any {
	old := *h
	tk := old[len(old)-1]
	old[len(old)-1] = nil
	tk.place = -1
	*h = old[:len(old)-1]
	return tk
}
