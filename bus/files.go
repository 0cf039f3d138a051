package bus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/filestore"
)

// LedgerFiles is the ledger as its files have it, without a server. A server
// that opens them would mend what is damaged, by cutting it off.
type LedgerFiles struct {
	stream *filestore.Stream
	end    uint64 // what the end file says; 0: nothing
	codec  *codec
	// Definition fetches a flow's definition that is too large for a record.
	Definition func(hash string) ([]byte, error)
}

// LedgerFacts is what the files say of the ledger.
type LedgerFacts struct {
	From, Last uint64 // it should be whole between them, but for
	Accepted   []Range
	Missing    []Range // is not there, or cannot be read
	Bad        []BadEntry
	LastAt     time.Time
	Messages   uint64
	Problems   []filestore.Problem // of the files
}

// BadEntry is an entry whose bytes are as they were written, and say nothing
// that this program understands.
type BadEntry struct {
	Seq     uint64
	Problem string
}

// OpenLedgerFiles reads the ledger of a store. dir is a Config.Dir; s is its
// stream StreamLedger, of which ReadMeta has been called.
func OpenLedgerFiles(dir string, s *filestore.Stream) (*LedgerFiles, error) {
	c, err := newCodec("")
	if err != nil {
		return nil, err
	}
	l := &LedgerFiles{stream: s, codec: c}
	text, err := os.ReadFile(filepath.Join(dir, ledgerEndFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l.end, _ = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return l, nil
}

// Begin is where the ledger begins since it was purged, as far as is known.
func (l *LedgerFiles) Begin() uint64 {
	from := uint64(1)
	for _, key := range []string{metaPurged, metaWhole} {
		seq, err := metaSeq(l.stream.Config.Metadata, key)
		if err == nil {
			from = max(from, seq)
		}
	}
	return from
}

// Follow hands out the entries from a sequence on, in order, with an
// engine.LossRecord where some are missing, and says what it has seen. growing:
// a node may be writing.
func (l *LedgerFiles) Follow(from uint64, growing bool, fn func(engine.Entry) error) (*LedgerFacts, error) {
	f := &LedgerFacts{From: l.Begin()}
	var err error
	if f.Accepted, err = parseRanges(l.stream.Config.Metadata[metaLost]); err != nil {
		return nil, err
	}
	next := max(from, f.From)
	gap := func(to uint64, nanos int64) error {
		if next > to {
			return nil
		}
		loss := engine.Entry{Seq: to, At: engine.At(time.Unix(0, nanos)), Records: []engine.Record{&engine.LossRecord{From: next, To: to}}}
		next = to + 1
		return fn(loss)
	}
	scan, err := l.stream.Scan(growing, func(m *filestore.Message) error {
		if m.Seq < next {
			return nil // purged, or not asked for
		}
		if err := gap(m.Seq-1, m.Nanos); err != nil {
			return err
		}
		next = m.Seq + 1
		entry, err := l.entry(m)
		if err != nil {
			return err
		}
		for _, rec := range entry.Records {
			if bad, ok := rec.(*engine.BadRecord); ok {
				f.Bad = append(f.Bad, BadEntry{m.Seq, bad.Problem})
			}
		}
		return fn(entry)
	})
	if err != nil {
		return nil, err
	}
	f.Last, f.Messages, f.Problems, f.LastAt = scan.Last, scan.Messages, scan.Problems, time.Unix(0, scan.LastNanos)
	if !growing && l.end > f.Last {
		f.Last = l.end
	}
	for _, r := range scan.Missing(f.From, min(scan.Last, f.Last)) {
		f.lost(Range{r[0], r[1]})
	}
	if f.Last > scan.Last {
		f.lost(Range{max(scan.Last+1, f.From), f.Last})
		if err := gap(f.Last, scan.LastNanos); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// lost notes a range that is missing, unless it was accepted.
func (f *LedgerFacts) lost(r Range) {
	if r.To < r.From || slices.ContainsFunc(f.Accepted, func(a Range) bool { return a.From <= r.From && r.To <= a.To }) {
		return
	}
	if n := len(f.Missing); n > 0 && f.Missing[n-1].To+1 == r.From {
		f.Missing[n-1].To = r.To
		return
	}
	f.Missing = append(f.Missing, r)
}

func (l *LedgerFiles) entry(m *filestore.Message) (engine.Entry, error) {
	header := nats.Header{}
	if _, rest, ok := bytes.Cut(m.Header, []byte("\r\n")); ok {
		for line := range strings.SplitSeq(string(rest), "\r\n") {
			if key, value, ok := strings.Cut(line, ":"); ok {
				header[textproto.TrimString(key)] = append(header[textproto.TrimString(key)], textproto.TrimString(value))
			}
		}
	}
	records, err := l.codec.read(m.Subject, header, m.Data)
	if err != nil {
		return engine.Entry{}, err
	}
	for i, rec := range records {
		flow, ok := rec.(*engine.FlowRecord)
		if !ok || flow.Removed || len(flow.Definition) > 0 || l.Definition == nil {
			continue
		}
		packed, err := l.Definition(flowObject + flow.Hash)
		if err == nil {
			flow.Definition, err = l.codec.unzip.DecodeAll(packed, nil)
		}
		if err != nil {
			records[i] = &engine.BadRecord{Subject: m.Subject, Problem: fmt.Sprintf("definition of flow %s, version %s: %v", flow.Flow, flow.Hash, err)}
		}
	}
	return engine.Entry{Seq: m.Seq, At: engine.At(time.Unix(0, m.Nanos)), Records: records}, nil
}

// CheckpointFiles is the checkpoints as their files have them.
type CheckpointFiles struct {
	Scan     *filestore.Scan
	Damaged  map[uint64]error // by the ledger's sequence that they cover
	manifest map[uint64]*manifest
	pieces   map[string][]byte // by subject
}

// OpenCheckpointFiles reads all checkpoints of a store.
func OpenCheckpointFiles(s *filestore.Stream, growing bool) (*CheckpointFiles, error) {
	c := &CheckpointFiles{Damaged: map[uint64]error{}, manifest: map[uint64]*manifest{}, pieces: map[string][]byte{}}
	at := map[string]uint64{}
	scan, err := s.Scan(growing, func(m *filestore.Message) error {
		c.pieces[m.Subject], at[m.Subject] = bytes.Clone(m.Data), m.Seq
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.Scan = scan
	for subject, seq := range at {
		if scan.Deleted(seq) {
			delete(c.pieces, subject)
		}
	}
	for subject, data := range c.pieces {
		number, ok := strings.CutSuffix(strings.TrimPrefix(subject, subjectCheckpoint), "."+manifestPart)
		seq, err := strconv.ParseUint(number, 10, 64)
		if !ok || err != nil {
			continue
		}
		m := new(manifest)
		if err := checkpointDec.Unmarshal(data, m); err != nil {
			c.Damaged[seq] = damaged(err)
			continue
		}
		if m.Format > engine.FormatVersion {
			return nil, &NewerFormatError{Subject: subject, Writer: m.Writer, Format: m.Format}
		}
		c.manifest[seq] = m
		if _, err := c.load(seq, false); err != nil {
			c.Damaged[seq] = err
			delete(c.manifest, seq)
		}
	}
	return c, nil
}

// Good are the checkpoints that can be read, oldest first.
func (c *CheckpointFiles) Good() (seqs []uint64) {
	for seq := range c.manifest {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	return seqs
}

// Load builds the state of one of Good.
func (c *CheckpointFiles) Load(seq uint64) (*fold.State, error) { return c.load(seq, true) }

func (c *CheckpointFiles) load(seq uint64, keep bool) (*fold.State, error) {
	m := c.manifest[seq]
	return restore(m, keep, func(n int) ([]byte, error) {
		if n >= m.Pieces {
			return nil, io.EOF
		}
		data, ok := c.pieces[CheckpointSubject(seq, strconv.Itoa(n))]
		if !ok {
			return nil, fmt.Errorf("%w: piece %d is missing", engine.ErrDamaged, n)
		}
		return data, nil
	})
}
