package bus

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// Load implements runtime.Checkpoints. One that cannot be read is reported and
// left out: an older one takes its place.
func (c *Checkpoints) Load(ctx context.Context, atMost uint64) (*fold.State, error) {
	seqs, err := c.Kept(ctx)
	if err != nil {
		return nil, err
	}
	if len(seqs) == 0 {
		if seqs, err = c.list(ctx, c.old, manifestPart); err != nil {
			return nil, err
		}
	}
	for _, seq := range seqs {
		if seq > atMost {
			continue
		}
		state, err := c.read(ctx, seq, true)
		if err == nil {
			return state, nil
		}
		var newer *NewerFormatError
		if errors.As(err, &newer) || !errors.Is(err, engine.ErrDamaged) {
			return nil, fmt.Errorf("checkpoint %d: %w", seq, err)
		}
		c.log.Warn("a checkpoint cannot be read; an older one, or the ledger, takes its place", "checkpoint", seq, engine.LogErr, err)
	}
	return nil, nil
}

// read reads a checkpoint to its end, and builds the state when it is to be
// kept. ErrDamaged: it is not whole.
func (c *Checkpoints) read(ctx context.Context, seq uint64, keep bool) (*fold.State, error) {
	m, stream, err := c.manifest(ctx, seq)
	if err != nil {
		return nil, pieceError("manifest", err)
	}
	return restore(m, keep, func(n int) ([]byte, error) { return piece(ctx, stream, m, seq, n) })
}

// restore builds the state from a checkpoint's pieces, when it is to be kept.
// ErrDamaged: it is not whole.
func restore(m *manifest, keep bool, fetch func(n int) ([]byte, error)) (*fold.State, error) {
	in := &piecesReader{fetch: fetch, hash: sha256.New()}
	unzip, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxWindow))
	if err != nil {
		return nil, err
	}
	defer unzip.Close()
	dec := checkpointDec.NewDecoder(unzip)
	restoring := fold.NewRestoring(keep)
	for {
		part := new(fold.Part)
		err := dec.Decode(part)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = restoring.Add(part)
		}
		if err != nil {
			return nil, cmp.Or(in.failed, damaged(err))
		}
	}
	state, err := restoring.State()
	switch {
	case err != nil:
		return nil, damaged(err)
	case [32]byte(in.hash.Sum(nil)) != m.Hash:
		return nil, damaged(errors.New("its pieces do not match its manifest"))
	case m.Pieces > 0 && restoring.Count() != m.Have:
		return nil, damaged(fmt.Errorf("it holds %+v, its manifest says %+v", restoring.Count(), m.Have))
	case state.Seq != m.Seq:
		return nil, damaged(errors.New("its snapshot is of another place in the ledger"))
	default:
		return state, nil
	}
}

// damaged says that something stored is not as it was written, unless it says
// so already.
func damaged(err error) error {
	if err == nil || errors.Is(err, engine.ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w: %w", engine.ErrDamaged, err)
}

// pieceError tells a piece that is not there from one that cannot be asked for
// now.
func pieceError(name string, err error) error {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("%w: %s is missing", engine.ErrDamaged, name)
	}
	var newer *NewerFormatError
	if errors.As(err, &newer) || errors.Is(err, engine.ErrDamaged) {
		return err
	}
	return unavailable(err)
}

// manifest reads what closes a checkpoint, and says where that stands.
func (c *Checkpoints) manifest(ctx context.Context, seq uint64) (*manifest, jetstream.Stream, error) {
	subject := CheckpointSubject(seq, manifestPart)
	stream := c.stream
	msg, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		stream = c.old
		msg, err = stream.GetLastMsgForSubject(ctx, subject)
	}
	if err != nil {
		return nil, nil, err
	}
	m := new(manifest)
	if err := checkpointDec.Unmarshal(msg.Data, m); err != nil {
		return nil, nil, damaged(err)
	}
	if m.Format > engine.FormatVersion {
		return nil, nil, &NewerFormatError{Subject: subject, Writer: m.Writer, Format: m.Format}
	}
	return m, stream, nil
}

// piecesReader joins the pieces of a checkpoint.
type piecesReader struct {
	fetch  func(n int) ([]byte, error) // io.EOF behind the last one
	hash   hash.Hash
	next   int
	piece  bytes.Reader
	failed error
}

// Read implements io.Reader.
func (r *piecesReader) Read(buf []byte) (int, error) {
	for r.piece.Len() == 0 {
		data, err := r.fetch(r.next)
		if err != nil {
			r.failed = err
			return 0, err
		}
		r.hash.Write(data)
		r.piece.Reset(data)
		r.next++
	}
	return r.piece.Read(buf)
}

// piece reads the n-th piece of a checkpoint.
func piece(ctx context.Context, stream jetstream.Stream, m *manifest, seq uint64, n int) ([]byte, error) {
	var msg *jetstream.RawStreamMsg
	var err error
	switch {
	case n < len(m.Parts):
		msg, err = stream.GetMsg(ctx, m.Parts[n])
	case n < m.Pieces:
		msg, err = stream.GetLastMsgForSubject(ctx, CheckpointSubject(seq, strconv.Itoa(n)))
	default:
		return nil, io.EOF
	}
	if err != nil {
		return nil, pieceError("piece "+strconv.Itoa(n), err)
	}
	return msg.Data, nil
}
