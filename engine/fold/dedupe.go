package fold

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/qarion/qarion/engine"
)

// How long and how many caller keys are remembered.
const (
	DedupeWindow = engine.Micros(24 * 3600 * 1e6)
	MaxDedupe    = 1_000_000
)

// dedupe remembers which caller keys have started a run: a 16-byte hash of
// flow and key for 24 hours, oldest first out. A million of them stay in
// memory, so an entry has no pointers and 40 bytes, and is found through a
// table of 4-byte numbers (open addressing, linear probing, at most half full).
type dedupe struct {
	chunks []*[keyChunk]keyEntry   // entries by number, from the chunk of first on
	first  uint64                  // number of the oldest entry
	next   uint64                  // number of the next one
	table  []uint32                // hash -> number+1, cut to 32 bits; 0 is free
	odd    map[uint64]engine.RunID // by number: run ids that are no ULID
	full   bool                    // keys younger than the window had to go
}

const keyChunk = 1024

type keyEntry struct {
	hash [16]byte
	run  [16]byte // packed; what cannot be stands in odd
	at   engine.Micros
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
	if len(d.table) == 0 {
		return "", false
	}
	hash := dedupeHash(flow, id)
	slot := d.slot(hash)
	if d.table[slot] == 0 {
		return "", false
	}
	return d.run(d.number(d.table[slot])), true
}

func (d *dedupe) add(flow engine.FlowID, id string, run engine.RunID, now engine.Micros) {
	d.put(dedupeHash(flow, id), run, now)
}

func (d *dedupe) put(hash [16]byte, run engine.RunID, at engine.Micros) {
	if d.len() > 0 && d.table[d.slot(hash)] != 0 {
		return // remembered already
	}
	if d.len() >= MaxDedupe {
		d.full = true
		d.drop()
	}
	if 2*(d.len()+1) > len(d.table) {
		d.grow()
	}
	if d.next%keyChunk == 0 {
		d.chunks = append(d.chunks, new([keyChunk]keyEntry))
	}
	bits, ok := run.Pack()
	if !ok {
		if d.odd == nil {
			d.odd = map[uint64]engine.RunID{}
		}
		d.odd[d.next] = run
	}
	d.table[d.slot(hash)] = uint32(d.next) + 1
	*d.entry(d.next) = keyEntry{hash, bits, at}
	d.next++
}

func (d *dedupe) expire(now engine.Micros) {
	for d.len() > 0 && d.entry(d.first).at+DedupeWindow <= now {
		d.full = false
		d.drop()
	}
}

func (d *dedupe) len() int { return int(d.next - d.first) }

// entry is the entry with a number; its chunk must be there.
func (d *dedupe) entry(n uint64) *keyEntry {
	return &d.chunks[n/keyChunk-d.first/keyChunk][n%keyChunk]
}

func (d *dedupe) run(n uint64) engine.RunID {
	if id, odd := d.odd[n]; odd {
		return id
	}
	return engine.UnpackRunID(d.entry(n).run)
}

// number undoes what the table cut off: entries that are there are closer
// together than 32 bits reach.
func (d *dedupe) number(cell uint32) uint64 {
	return d.first + uint64(cell-1-uint32(d.first))
}

// home is where a hash stands in the table if nothing is in its way.
func (d *dedupe) home(hash [16]byte) int {
	return int(binary.LittleEndian.Uint64(hash[:]) & uint64(len(d.table)-1))
}

// slot is where a hash stands, or the free place where it would.
func (d *dedupe) slot(hash [16]byte) int {
	i := d.home(hash)
	for d.table[i] != 0 && d.entry(d.number(d.table[i])).hash != hash {
		i = (i + 1) & (len(d.table) - 1)
	}
	return i
}

func (d *dedupe) grow() {
	d.table = make([]uint32, max(64, 2*len(d.table)))
	for n := d.first; n < d.next; n++ {
		d.table[d.slot(d.entry(n).hash)] = uint32(n) + 1
	}
}

// drop forgets the oldest entry. What stands behind it in the table moves up,
// so that nothing is looked for past a free place.
func (d *dedupe) drop() {
	mask := len(d.table) - 1
	free := d.slot(d.entry(d.first).hash)
	for i := (free + 1) & mask; d.table[i] != 0; i = (i + 1) & mask {
		home := d.home(d.entry(d.number(d.table[i])).hash)
		if (i-home)&mask >= (i-free)&mask { // it may stand at the free place
			d.table[free] = d.table[i]
			free = i
		}
	}
	d.table[free] = 0
	delete(d.odd, d.first)
	d.first++
	if d.first%keyChunk == 0 {
		d.chunks[0] = nil
		d.chunks = d.chunks[1:]
	}
	if d.len() == 0 {
		d.table = nil
	}
}

// keys is the remembered keys at one moment: entries never change, so it stays
// right whatever comes after.
type keys struct {
	chunks []*[keyChunk]keyEntry
	base   uint64 // number of the first entry of chunks[0]
	at, to uint64
	odd    map[uint64]engine.RunID
}

func (d *dedupe) keys() keys {
	return keys{slices.Clone(d.chunks), d.first - d.first%keyChunk, d.first, d.next, maps.Clone(d.odd)}
}

// take returns the next keys, oldest first, at most n.
func (k *keys) take(n int) (out []keySnapshot) {
	for ; k.at < k.to && len(out) < n; k.at++ {
		e := &k.chunks[(k.at-k.base)/keyChunk][k.at%keyChunk]
		run, odd := k.odd[k.at]
		if !odd {
			run = engine.UnpackRunID(e.run)
		}
		out = append(out, keySnapshot{Hash: e.hash, Run: run, At: e.at})
	}
	return out
}
