package bus

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"iter"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/failpoint"
)

// A checkpoint is a row of CBOR parts, compressed as one stream that is cut
// into messages, and closed by a manifest: without its manifest it does not
// exist, and a crash in between leaves nothing that could be mistaken for one.
// Neither writing nor reading holds more than a message and a part in memory.
const (
	maxPiece     = 512 << 10 // bytes of a message
	manifestPart = "manifest"
)

// manifest closes a checkpoint.
type manifest struct {
	Format int        `cbor:"1,keyasint"`
	Writer string     `cbor:"2,keyasint"`
	Seq    uint64     `cbor:"3,keyasint"`           // of the ledger, covered by the snapshot
	Parts  []uint64   `cbor:"4,keyasint,omitempty"` // in the ledger, as it was once: their sequences
	Hash   [32]byte   `cbor:"5,keyasint"`           // of the joined pieces
	Pieces int        `cbor:"6,keyasint,omitempty"`
	Have   fold.Count `cbor:"7,keyasint,omitempty"`
}

// Checkpoints is the stream QARION_CHECKPOINTS. It implements
// runtime.Checkpoints.
type Checkpoints struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	old    jetstream.Stream // the ledger, which once held them
	codec  *codec
	log    *slog.Logger
}

// Checkpoints opens the checkpoints of a ledger.
func (b *Bus) Checkpoints(ctx context.Context, l *Ledger) (*Checkpoints, error) {
	stream, err := ensureStream(ctx, b.js, checkpointConfig())
	if err != nil {
		return nil, err
	}
	return &Checkpoints{js: b.js, stream: stream, old: l.stream, codec: l.codec, log: b.log}, nil
}

// Save implements runtime.Checkpoints.
func (c *Checkpoints) Save(ctx context.Context, seq uint64, have fold.Count, parts iter.Seq2[*fold.Part, error]) error {
	if _, err := c.read(ctx, seq, false); !errors.Is(err, engine.ErrDamaged) {
		return err // it is there already, or that cannot be seen now
	}
	m := manifest{Format: engine.FormatVersion, Writer: c.codec.writer, Seq: seq, Have: have}
	out := &pieces{ctx: ctx, js: c.js, subject: CheckpointSubject(seq, ""), hash: sha256.New()}
	zip, err := newZip(out)
	if err != nil {
		return err
	}
	enc := cbor.NewEncoder(zip)
	for p, err := range parts {
		if err != nil {
			return err
		}
		if err := enc.Encode(p); err != nil {
			return fmt.Errorf("write checkpoint %d: %w", seq, err)
		}
	}
	if err := errors.Join(zip.Close(), out.flush()); err != nil {
		return fmt.Errorf("write checkpoint %d: %w", seq, err)
	}
	m.Pieces, m.Hash = out.n, [32]byte(out.hash.Sum(nil))
	data, err := cbor.Marshal(m)
	if err != nil {
		return fmt.Errorf("write checkpoint %d: %w", seq, err)
	}
	if _, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: CheckpointSubject(seq, manifestPart), Data: data}); err != nil {
		return unavailable(err)
	}
	if _, err := c.read(ctx, seq, false); err != nil {
		return errors.Join(fmt.Errorf("checkpoint %d cannot be read back: %w", seq, err), c.remove(ctx, seq))
	}
	return nil
}

func (c *Checkpoints) remove(ctx context.Context, seq uint64) error {
	if err := c.stream.Purge(ctx, jetstream.WithPurgeSubject(CheckpointSubject(seq, "*"))); err != nil {
		return fmt.Errorf("remove checkpoint %d: %w", seq, err)
	}
	return nil
}

// CheckpointSubject is where a piece of a checkpoint stands.
func CheckpointSubject(seq uint64, piece string) string {
	return subjectCheckpoint + strconv.FormatUint(seq, 10) + "." + piece
}

// pieces cuts what is written into messages.
type pieces struct {
	ctx     context.Context // of the one call that writes
	js      jetstream.JetStream
	subject string
	hash    hash.Hash
	buf     []byte
	n       int
}

// Write implements io.Writer.
func (p *pieces) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0; {
		n := min(len(rest), maxPiece-len(p.buf))
		p.buf = append(p.buf, rest[:n]...)
		if rest = rest[n:]; len(p.buf) == maxPiece {
			if err := p.flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(data), nil
}

func (p *pieces) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	p.hash.Write(p.buf)
	_, err := p.js.PublishMsg(p.ctx, &nats.Msg{Subject: p.subject + strconv.Itoa(p.n), Data: p.buf})
	failpoint.Here("checkpoint.piece")
	p.buf, p.n = p.buf[:0], p.n+1
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// Kept implements runtime.Checkpoints.
func (c *Checkpoints) Kept(ctx context.Context) ([]uint64, error) {
	return c.list(ctx, c.stream, manifestPart)
}

// list is what the checkpoints with the given piece cover, newest first.
func (c *Checkpoints) list(ctx context.Context, stream jetstream.Stream, piece string) ([]uint64, error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(subjectCheckpoint+"*."+piece))
	if err != nil {
		return nil, unavailable(err)
	}
	var seqs []uint64
	for subject := range info.State.Subjects {
		n, _, _ := strings.Cut(strings.TrimPrefix(subject, subjectCheckpoint), ".")
		if seq, err := strconv.ParseUint(n, 10, 64); err == nil {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	slices.Reverse(seqs)
	return seqs, nil
}

// Drop implements runtime.Checkpoints.
func (c *Checkpoints) Drop(ctx context.Context, keep ...uint64) error {
	seqs, err := c.list(ctx, c.stream, "*") // what a crash left half written goes too
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		if slices.Contains(keep, seq) {
			continue
		}
		if err := c.remove(ctx, seq); err != nil {
			return err
		}
	}
	if seqs, err = c.list(ctx, c.old, "*"); err != nil || len(seqs) == 0 {
		return err
	}
	if err := c.old.Purge(ctx, jetstream.WithPurgeSubject(subjectCheckpoint+">")); err != nil {
		return fmt.Errorf("remove the checkpoints in the ledger: %w", err)
	}
	return nil
}
