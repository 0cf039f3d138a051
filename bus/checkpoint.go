package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// A checkpoint is a row of parts, closed by a manifest: without its manifest
// it does not exist, and a crash in between leaves nothing that could be
// mistaken for one.
const (
	maxPart      = 512 << 10
	manifestPart = "manifest"
	keptNewest   = 2
)

// manifest closes a checkpoint.
type manifest struct {
	Format int      `cbor:"1,keyasint"`
	Writer string   `cbor:"2,keyasint"`
	Seq    uint64   `cbor:"3,keyasint"` // of the ledger, covered by the snapshot
	Parts  []uint64 `cbor:"4,keyasint"` // their sequences
	Hash   [32]byte `cbor:"5,keyasint"` // of the joined parts
}

// Save implements runtime.Checkpoints.
func (l *Ledger) Save(ctx context.Context, snap *fold.Snapshot, needed uint64) error {
	plain, err := cbor.Marshal(snap)
	if err != nil {
		return fmt.Errorf("encode checkpoint: %w", err)
	}
	packed := l.codec.zip.EncodeAll(plain, nil)
	m := manifest{Format: engine.FormatVersion, Writer: l.codec.writer, Seq: snap.Seq, Hash: sha256.Sum256(packed)}
	name := subjectCheckpoint + strconv.FormatUint(snap.Seq, 10) + "."
	for n := 0; len(packed) > 0; n++ {
		part := packed[:min(len(packed), maxPart)]
		packed = packed[len(part):]
		ack, err := l.js.PublishMsg(ctx, &nats.Msg{Subject: name + strconv.Itoa(n), Data: part})
		if err != nil {
			return unavailable(err)
		}
		m.Parts = append(m.Parts, ack.Sequence)
	}
	data, err := cbor.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode checkpoint: %w", err)
	}
	if _, err := l.js.PublishMsg(ctx, &nats.Msg{Subject: name + manifestPart, Data: data}); err != nil {
		return unavailable(err)
	}
	return l.dropOld(ctx, needed)
}

// dropOld removes the checkpoints that are not kept.
func (l *Ledger) dropOld(ctx context.Context, needed uint64) error {
	seqs, err := l.checkpoints(ctx, "*")
	if err != nil {
		return err
	}
	for i, seq := range seqs {
		if i < keptNewest || seq <= needed {
			if seq <= needed {
				needed = 0 // older ones are not
			}
			continue
		}
		subject := subjectCheckpoint + strconv.FormatUint(seq, 10) + ".*"
		if err := l.stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return fmt.Errorf("remove checkpoint %d: %w", seq, err)
		}
	}
	return nil
}

// Kept implements runtime.Checkpoints.
func (l *Ledger) Kept(ctx context.Context) ([]uint64, error) {
	return l.checkpoints(ctx, manifestPart)
}

// checkpoints lists the ledger sequences of the checkpoints that have the
// given part, newest first.
func (l *Ledger) checkpoints(ctx context.Context, part string) ([]uint64, error) {
	info, err := l.stream.Info(ctx, jetstream.WithSubjectFilter(subjectCheckpoint+"*."+part))
	if err != nil {
		return nil, unavailable(err)
	}
	seen := map[uint64]bool{}
	var seqs []uint64
	for subject := range info.State.Subjects {
		n, _, _ := strings.Cut(strings.TrimPrefix(subject, subjectCheckpoint), ".")
		if seq, err := strconv.ParseUint(n, 10, 64); err == nil && !seen[seq] {
			seen[seq] = true
			seqs = append(seqs, seq)
		}
	}
	sort.Slice(seqs, func(i, j int) bool { return seqs[i] > seqs[j] })
	return seqs, nil
}

// Load implements runtime.Checkpoints. One that cannot be read is reported and
// left out: an older one, or the beginning, takes its place.
func (l *Ledger) Load(ctx context.Context, atMost uint64) (*fold.Snapshot, error) {
	seqs, err := l.checkpoints(ctx, manifestPart)
	if err != nil {
		return nil, err
	}
	for _, seq := range seqs {
		if seq > atMost {
			continue
		}
		snap, err := l.load(ctx, seq)
		var newer *NewerFormatError
		if err == nil || errors.As(err, &newer) {
			return snap, err
		}
		l.log.Warn("a checkpoint cannot be read and is left out", "checkpoint", seq, engine.LogErr, err)
	}
	return nil, nil
}

func (l *Ledger) load(ctx context.Context, seq uint64) (*fold.Snapshot, error) {
	subject := subjectCheckpoint + strconv.FormatUint(seq, 10) + "." + manifestPart
	msg, err := l.stream.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := l.codec.dec.Unmarshal(msg.Data, &m); err != nil {
		return nil, err
	}
	if m.Format > engine.FormatVersion {
		return nil, &NewerFormatError{Subject: subject, Writer: m.Writer, Format: m.Format}
	}
	var packed bytes.Buffer
	for _, part := range m.Parts {
		p, err := l.stream.GetMsg(ctx, part)
		if err != nil {
			return nil, fmt.Errorf("part at %d: %w", part, err)
		}
		packed.Write(p.Data)
	}
	if sha256.Sum256(packed.Bytes()) != m.Hash {
		return nil, errors.New("its parts do not match its manifest")
	}
	plain, err := l.codec.unzip.DecodeAll(packed.Bytes(), nil)
	if err != nil {
		return nil, err
	}
	snap := new(fold.Snapshot)
	if err := cbor.Unmarshal(plain, snap); err != nil {
		return nil, err
	}
	if snap.Seq != m.Seq {
		return nil, errors.New("its snapshot is of another place in the ledger")
	}
	return snap, nil
}
