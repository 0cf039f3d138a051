package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// The ledger is whole from one sequence on: from its first entry, or from where
// a purge has left it. Whatever is missing behind that is a loss: a file that
// was deleted, cut or changed. The server passes over it in silence, so it is
// looked for here, where the ledger is opened (how many entries there are, and
// where it ends) and where it is read (which ones come).
//
// A node does not go on without lost entries by itself. Once somebody has said
// that it shall, they are noted, and every reading hands out an
// engine.LossRecord in their place.

// Keys in the stream's metadata.
const (
	metaWhole = "qarion_whole_from" // older layouts of the ledger had gaps before
	metaLost  = "qarion_lost"       // losses that were accepted: "820-1000 1207-1207"
)

// Range is entries that follow each other.
type Range struct{ From, To uint64 }

func (r Range) len() uint64 { return r.To - r.From + 1 }

// LossError says that a stream has lost entries.
type LossError struct {
	Stream string
	Lost   []Range
}

// maxRanges is how many ranges an error names.
const maxRanges = 4

func (e *LossError) Error() string {
	var list []string
	var n uint64
	for i, r := range e.Lost {
		n += r.len()
		switch {
		case i >= maxRanges:
		case r.From == r.To:
			list = append(list, fmt.Sprint(r.From))
		default:
			list = append(list, fmt.Sprintf("%d to %d", r.From, r.To))
		}
	}
	if more := len(e.Lost) - maxRanges; more > 0 {
		list = append(list, fmt.Sprintf("and %d more ranges", more))
	}
	what := "entries"
	if n == 1 {
		what = "entry"
	}
	return fmt.Sprintf("stream %s has lost %s %s: what they said is not known", e.Stream, what, strings.Join(list, ", "))
}

// Is makes it an engine.ErrDamaged.
func (e *LossError) Is(target error) bool { return target == engine.ErrDamaged }

// Verify implements engine.Ledger.
func (l *Ledger) Verify(ctx context.Context, reached uint64) (lost bool, err error) {
	facts, err := l.facts(ctx)
	if err != nil {
		return false, err
	}
	reached = max(reached, l.end.known())
	missing, err := l.missing(ctx, facts)
	if err != nil {
		return false, err
	}
	if facts.last < reached {
		missing = append(missing, Range{max(facts.last+1, facts.from), reached})
	}
	if len(missing) == 0 {
		return false, nil
	}
	return l.accept(ctx, facts, missing)
}

// facts is what the stream and its metadata say.
type facts struct {
	last, msgs uint64
	lastAt     time.Time
	from       uint64 // the ledger is whole from here on, apart from
	lost       []Range
}

func (l *Ledger) facts(ctx context.Context) (facts, error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return facts{}, unavailable(err)
	}
	f := facts{last: info.State.LastSeq, lastAt: info.State.LastTime, msgs: info.State.Msgs, from: 1}
	for _, key := range []string{metaPurged, metaWhole} {
		seq, err := metaSeq(info.Config.Metadata, key)
		if err != nil {
			return f, err
		}
		f.from = max(f.from, seq)
	}
	f.lost, err = parseRanges(info.Config.Metadata[metaLost])
	return f, err
}

// parseRanges reads what metaLost says.
func parseRanges(text string) (out []Range, err error) {
	for _, text := range strings.Fields(text) {
		from, to, _ := strings.Cut(text, "-")
		r := Range{}
		var err1, err2 error
		r.From, err1 = strconv.ParseUint(from, 10, 64)
		r.To, err2 = strconv.ParseUint(to, 10, 64)
		if err := errors.Join(err1, err2); err != nil || r.To < r.From {
			return out, damaged(fmt.Errorf("stream %s: %s has %q", StreamLedger, metaLost, text))
		}
		out = append(out, r)
	}
	return out, nil
}

func metaSeq(meta map[string]string, key string) (uint64, error) {
	text := meta[key]
	if text == "" {
		return 0, nil
	}
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, damaged(fmt.Errorf("stream %s: %s is %q", StreamLedger, key, text))
	}
	return seq, nil
}

// accepted reports whether a range is within what was accepted as lost.
func (f *facts) accepted(r Range) bool {
	return slices.ContainsFunc(f.lost, func(a Range) bool { return a.From <= r.From && r.To <= a.To })
}

// maxLost is how many losses are looked for: beyond that, more of them tell
// nothing new, and one range takes in the rest.
const maxLost = 64

// missing finds the entries that the stream does not have, by counting: halves
// of the ledger that are complete are not looked at further.
func (l *Ledger) missing(ctx context.Context, f facts) (out []Range, err error) {
	if f.last < f.from {
		return nil, nil
	}
	count := map[uint64]uint64{f.last + 1: 0}
	behind := func(seq uint64) (uint64, error) { // entries from a sequence on
		if n, ok := count[seq]; ok {
			return n, nil
		}
		n, err := l.countFrom(ctx, seq)
		count[seq] = n
		return n, err
	}
	var look func(r Range) error
	look = func(r Range) error {
		a, err := behind(r.From)
		if err != nil {
			return err
		}
		b, err := behind(r.To + 1)
		if err != nil || a-b == r.len() || f.accepted(r) {
			return err
		}
		if a == b || len(out) >= maxLost {
			if n := len(out); n > 0 && out[n-1].To+1 == r.From || len(out) >= maxLost {
				out[n-1].To = r.To
			} else {
				out = append(out, r)
			}
			return nil
		}
		mid := r.From + (r.To-r.From)/2
		if err := look(Range{r.From, mid}); err != nil {
			return err
		}
		return look(Range{mid + 1, r.To})
	}
	err = look(Range{f.from, f.last})
	return out, err
}

// countFrom is how many entries there are from a sequence on.
func (l *Ledger) countFrom(ctx context.Context, seq uint64) (uint64, error) {
	c, err := l.stream.CreateConsumer(ctx, (&reading{from: seq}).consumer())
	if err != nil {
		return 0, unavailable(err)
	}
	dropConsumer(ctx, l.stream, c)
	return c.CachedInfo().NumPending, nil
}

// accept notes losses, if the ledger was opened to go on without lost entries,
// and puts something in the place of those at its end: sequences must not be
// given out twice.
func (l *Ledger) accept(ctx context.Context, f facts, lost []Range) (bool, error) {
	loss := &LossError{Stream: StreamLedger, Lost: lost}
	if l.unsynced(f, lost) {
		l.log.Warn("the end of the ledger was not on the disk when the machine stopped, as [storage] sync allows; going on from before it", engine.LogErr, loss)
		return false, l.fillUp(ctx, f, lost[0].To, []byte(fillerUnsynced))
	}
	if !l.acceptLoss {
		return false, loss
	}
	l.log.Warn("going on without lost entries of the ledger; runs that were open are damaged", engine.LogErr, loss)
	f.lost = append(f.lost, lost...)
	slices.SortFunc(f.lost, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	var text []string
	for _, r := range f.lost {
		if r.To >= f.from {
			text = append(text, fmt.Sprintf("%d-%d", r.From, r.To))
		}
	}
	if err := l.note(ctx, metaLost, strings.Join(text, " ")); err != nil {
		return false, fmt.Errorf("note what the ledger has lost: %w", err)
	}
	return true, l.fillUp(ctx, f, lost[len(lost)-1].To, nil)
}

// fillerUnsynced is the content of a filler that damages no run: what it stands
// for happened in the time that the operator has given away.
const fillerUnsynced = "unsynced"

// unsynced reports whether a loss is what a power loss takes where not every
// write is synced: the end of the ledger, and no more than lay between two
// syncs. How far the ledger had come, and when, its end file tells.
func (l *Ledger) unsynced(f facts, lost []Range) bool {
	if l.syncEvery == 0 || len(lost) != 1 || lost[0].From != f.last+1 || f.msgs == 0 {
		return false
	}
	written, err := l.end.writtenAt()
	return err == nil && written.Sub(f.lastAt) <= l.syncEvery+syncSlack
}

// syncSlack is how much later than planned a sync may be.
const syncSlack = 10 * time.Second

// fillUp writes fillers until the ledger has come to a sequence.
func (l *Ledger) fillUp(ctx context.Context, f facts, to uint64, content []byte) error {
	if f.last >= to {
		return nil
	}
	if f.msgs == 0 { // nothing that could be kept: one step
		if err := l.stream.Purge(ctx, jetstream.WithPurgeSequence(to)); err != nil {
			return fmt.Errorf("go on behind the lost entries: %w", err)
		}
		f.last = to - 1
	}
	began := time.Now()
	for seq := f.last; seq < to; {
		ack, err := l.js.Publish(ctx, subjectLost, content)
		if err != nil {
			return unavailable(err)
		}
		seq = ack.Sequence
		if time.Since(began) > 5*time.Second {
			l.log.Info("filling the place of lost entries", "at", seq, "to", to)
			began = time.Now()
		}
	}
	return nil
}

// gap says what stands in the place of missing entries that a reading has come
// upon: nothing where a purge has been, a record of the loss where it was
// accepted, or is now. Otherwise it is an error.
func (l *Ledger) gap(ctx context.Context, missing Range) (*engine.LossRecord, error) {
	f, err := l.facts(ctx)
	if err != nil {
		return nil, err
	}
	missing.From = max(missing.From, f.from)
	if missing.To < missing.From {
		return nil, nil
	}
	if !f.accepted(missing) {
		if _, err := l.accept(ctx, f, []Range{missing}); err != nil {
			return nil, err
		}
	}
	return &engine.LossRecord{From: missing.From, To: missing.To}, nil
}
