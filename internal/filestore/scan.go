package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server/avl"
)

// Scan is what the files of a stream say.
type Scan struct {
	First, Last uint64 // sequences of messages; Last counts also what was deleted
	Messages    uint64 // that are there and readable, deleted ones not counted
	LastNanos   int64  // when the last one was stored
	Problems    []Problem

	present avl.SequenceSet
	gone    avl.SequenceSet // notes of deletions
	index   *index
	current bool              // the index knows everything
	newest  map[string]uint64 // sequences of subjects, as far as the index has them
}

// Deleted reports whether a message that stands in a file has been deleted.
func (s *Scan) Deleted(seq uint64) bool {
	if s.gone.Exists(seq) {
		return true
	}
	if s.index == nil {
		return false
	}
	if seq < s.index.first {
		return true
	}
	for i := range s.index.blocks {
		if b := &s.index.blocks[i]; seq >= b.first && seq <= b.last {
			return !b.has(seq)
		}
	}
	return false
}

// Has reports whether a message can be read.
func (s *Scan) Has(seq uint64) bool { return s.present.Exists(seq) }

// maxProblems is how many problems of a stream are told one by one.
const maxProblems = 64

func (s *Scan) problem(p Problem) {
	if len(s.Problems) < maxProblems {
		s.Problems = append(s.Problems, p)
	}
}

// Scan reads the stream's messages, in the order in which they stand in its
// files, and looks for what is not as it was written. Messages that were
// deleted may still stand there: Deleted knows, once everything is read. Errors
// are those of fn, and of a file system that does not work.
//
// growing: a server may be writing. What stands at the end of the last file is
// then left alone.
func (s *Stream) Scan(growing bool, fn func(*Message) error) (*Scan, error) {
	list, err := s.blocks()
	if err != nil {
		return nil, err
	}
	out := &Scan{newest: map[string]uint64{}}
	out.index, err = s.readIndex()
	if err != nil && !growing {
		out.noIndex(s, err)
	}
	h := &scanner{Scan: out, fn: fn}
	for i, b := range list {
		if err := h.block(s, b, i == len(list)-1, growing); err != nil {
			return nil, err
		}
	}
	if x := out.index; x != nil && !growing {
		out.current = len(list) > 0 && list[len(list)-1].number == x.lastBlock && h.lastSum == x.lastSum || len(list) == 0 && len(x.blocks) == 0
		out.compare(s, list)
	}
	return out, nil
}

// noIndex says that there is no index. After a crash that is normal.
func (s *Scan) noIndex(st *Stream, err error) {
	reason := err.Error()
	if errors.Is(err, fs.ErrNotExist) {
		reason = "it is missing: the server did not stop in good order, or the file was deleted"
	}
	s.problem(Problem{Kind: Index, File: st.file(indexFile), Reason: reason})
}

// rereads is how often a block that a server may be writing is read again before
// it counts as damaged.
const rereads = 3

func readable(buf []byte, h *highwayhash.Digest64) bool {
	for len(buf) > 0 {
		r, _, problem := read(buf, h)
		if problem != "" {
			return false
		}
		buf = buf[r.size:]
	}
	return true
}

type scanner struct {
	*Scan
	fn      func(*Message) error
	lastSum [sumSize]byte
}

func (h *scanner) block(s *Stream, b block, newest, growing bool) error {
	buf, err := os.ReadFile(b.path)
	if errors.Is(err, fs.ErrNotExist) && growing {
		return nil // all that was in it has been deleted
	}
	if err != nil {
		h.problem(*access(b.path, err))
		return nil
	}
	hash := hasher(fmt.Sprintf("%s-%d", s.Name, b.number))
	for range rereads { // the server may have been writing the file anew
		if !growing || newest || readable(buf, hash) {
			break
		}
		if again, err := os.ReadFile(b.path); err == nil {
			buf = again
		}
	}
	for at := 0; at < len(buf); {
		r, short, bad := read(buf[at:], hash)
		if bad == "" {
			copy(h.lastSum[:], buf[at+r.size-sumSize:])
			if err := h.take(&r); err != nil {
				return err
			}
			at += r.size
			continue
		}
		if newest && growing {
			return nil
		}
		next, found := resume(buf[at:], h.Last, hash)
		p := Problem{Kind: Unreadable, File: b.path, From: h.Last + 1, Reason: place(at, bad)}
		switch {
		case found:
			at += next
			if r, _, _ := read(buf[at:], hash); r.flags&tombstone == 0 && r.Seq > 0 {
				p.To = r.Seq - 1
			}
			if p.To < p.From {
				p.From, p.To = 0, 0 // a note of a deletion, or a message that was deleted
			}
		default:
			if short && newest && !whole(buf[at:], hash) {
				p.Kind, p.Reason = Unfinished, fmt.Sprintf("%s: its last %d bytes are no whole message", place(at, bad), len(buf)-at)
			}
			at = len(buf)
			p.From = 0
		}
		h.problem(p)
	}
	return nil
}

func (h *scanner) take(r *record) error {
	switch {
	case r.flags&tombstone != 0:
		h.gone.Insert(r.Seq)
		h.Last = max(h.Last, r.Seq)
		return nil
	case r.flags&erased != 0 || r.Seq == 0:
		h.gone.Insert(r.Seq)
		h.Last = max(h.Last, r.Seq)
		return nil
	}
	if h.First == 0 {
		h.First = r.Seq
	}
	if r.Seq >= h.Last {
		h.Last, h.LastNanos = r.Seq, r.Nanos
	}
	h.present.Insert(r.Seq)
	h.Messages++
	if h.index != nil && len(h.newest) < 2*maxSubjects {
		h.newest[r.Subject] = r.Seq
	}
	if h.fn == nil {
		return nil
	}
	return h.fn(&r.Message)
}

// compare holds the messages against the index.
func (s *Scan) compare(st *Stream, list []block) {
	x := s.index
	if x.last > s.Last {
		s.problem(Problem{Kind: Lost, File: st.file(indexFile), From: max(s.Last+1, x.first), To: x.last, Reason: "the stream ends before what the server knew of it"})
	}
	// Where a subject ends no checksum says.
	for subject, seq := range s.newest {
		if s.current && x.subjects != nil && !x.subjects[subject] && !s.Deleted(seq) {
			s.problem(Problem{Kind: Unreadable, File: st.file(indexFile), From: seq, To: seq, Reason: "the subject of a message does not end where it did"})
		}
	}
	if n := len(list); x.msgs > 0 && (n == 0 || list[n-1].number < x.lastBlock) { // the last one only goes when another follows
		s.problem(Problem{Kind: Lost, File: st.file(fmt.Sprintf("%d%s", x.lastBlock, blockExt)), From: max(s.Last+1, x.first), To: x.last, Reason: "the file is missing"})
	}
	if !s.current && st.Config.removes() {
		return // what the server has taken out since then, it has noted nowhere
	}
	for i := range x.blocks {
		b := &x.blocks[i]
		from := max(b.first, x.first)
		file := fmt.Sprintf("%d%s", b.number, blockExt)
		reason := "messages that the server knew of are not in it"
		if !slices.ContainsFunc(list, func(have block) bool { return have.number == b.number }) {
			reason = "the file is missing"
		}
		s.missing(from, min(b.last, s.Last), b.has, func(from, to uint64) {
			s.problem(Problem{Kind: Lost, File: st.file(file), From: from, To: to, Reason: reason})
		})
	}
}

// missing tells of the sequences in a range that should be there and are not.
func (s *Scan) missing(from, to uint64, should func(uint64) bool, tell func(from, to uint64)) {
	begin := uint64(0)
	for seq := from; seq <= to && seq != math.MaxUint64; seq++ {
		lost := !s.present.Exists(seq) && !s.gone.Exists(seq) && should(seq)
		if lost && begin == 0 {
			begin = seq
		}
		if !lost && begin > 0 {
			tell(begin, seq-1)
			begin = 0
		}
	}
	if begin > 0 {
		tell(begin, to)
	}
}

// Missing is what a stream lacks between two sequences, of which nothing may be
// missing; begin and end of each range.
func (s *Scan) Missing(from, to uint64) (out [][2]uint64) {
	s.missing(from, to, func(uint64) bool { return true }, func(from, to uint64) { out = append(out, [2]uint64{from, to}) })
	return out
}

// whole reports whether bytes are a message but for its length.
func whole(buf []byte, h *highwayhash.Digest64) bool {
	if len(buf) < headSize+sumSize {
		return false
	}
	fixed := slices.Clone(buf)
	for _, header := range []uint32{0, hasHeader} {
		putLength(fixed, uint32(len(fixed))|header)
		if _, _, problem := read(fixed, h); problem == "" {
			return true
		}
	}
	return false
}

// Quick looks for what can be seen without reading the messages: files that are
// missing, and a stream that ends before what the server knew of it. sure: the
// index knows everything, so that the server will not read the messages either,
// nor cut off what it cannot read.
func (s *Stream) Quick() (problems []Problem, sure bool, err error) {
	list, err := s.blocks()
	if err != nil {
		return nil, false, err
	}
	x, err := s.readIndex()
	if err != nil {
		return nil, false, nil // the server reads everything
	}
	for i := range x.blocks {
		b := &x.blocks[i]
		if !slices.ContainsFunc(list, func(have block) bool { return have.number == b.number }) && b.last >= b.first {
			problems = append(problems, Problem{Kind: Lost, File: s.file(fmt.Sprintf("%d%s", b.number, blockExt)), From: b.first, To: b.last, Reason: "the file is missing"})
		}
	}
	if len(list) == 0 {
		return problems, len(x.blocks) == 0, nil
	}
	last := list[len(list)-1]
	sum, err := tail(last.path)
	return problems, err == nil && last.number == x.lastBlock && sum == x.lastSum, nil
}

// tail is the last checksum of a block.
func tail(path string) (sum [sumSize]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < sumSize {
		return sum, errors.Join(err, errIndex)
	}
	_, err = f.ReadAt(sum[:], info.Size()-sumSize)
	return sum, err
}
