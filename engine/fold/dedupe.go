package fold

import (
	"crypto/sha256"

	"github.com/qarion/qarion/engine"
)

// How long and how many caller keys are remembered.
const (
	DedupeWindow = engine.Micros(24 * 3600 * 1e6)
	MaxDedupe    = 1_000_000
)

// dedupe remembers which caller keys have started a run: a 16-byte hash of
// flow and key for 24 hours, oldest first out.
type dedupe struct {
	runs  map[[16]byte]engine.RunID
	order []dedupeEntry
	full  bool // keys younger than the window had to go
}

type dedupeEntry struct {
	_    struct{} `cbor:",toarray"`
	Hash [16]byte
	Run  engine.RunID
	At   engine.Micros
}

func dedupeHash(flow engine.FlowID, id string) [16]byte {
	h := sha256.New()
	h.Write([]byte(flow))
	h.Write([]byte{0})
	h.Write([]byte(id))
	return [16]byte(h.Sum(nil)[:16])
}

// find returns the run that a key has started, if it is remembered at the
// given time.
func (d *dedupe) find(flow engine.FlowID, id string, now engine.Micros) (engine.RunID, bool) {
	d.expire(now)
	run, ok := d.runs[dedupeHash(flow, id)]
	return run, ok
}

func (d *dedupe) add(flow engine.FlowID, id string, run engine.RunID, now engine.Micros) {
	d.put(dedupeEntry{Hash: dedupeHash(flow, id), Run: run, At: now})
}

func (d *dedupe) put(e dedupeEntry) {
	if d.runs == nil {
		d.runs = make(map[[16]byte]engine.RunID)
	}
	if len(d.order) >= MaxDedupe {
		d.full = true
		d.drop()
	}
	d.runs[e.Hash] = e.Run
	d.order = append(d.order, e)
}

func (d *dedupe) expire(now engine.Micros) {
	for len(d.order) > 0 && d.order[0].At+DedupeWindow <= now {
		d.full = false
		d.drop()
	}
}

func (d *dedupe) drop() {
	delete(d.runs, d.order[0].Hash)
	d.order = d.order[1:]
}
