package kvstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// headerPos carries the position of the change that a message shows.
const headerPos = "Qarion-Pos"

// window is how many writes of a view may be on their way at once; the client
// stalls past 4,000.
const window = 1024

// view is a bucket that follows the ledger. Every message carries its
// position, so that the bucket itself says how far it is; what an asynchronous
// write lost is written again.
type view struct {
	name   string // of the bucket
	js     jetstream.JetStream
	stream jetstream.Stream
}

// openView opens the bucket's stream. It is made as a stream, not as a bucket,
// since only so its writes can be asynchronous; any KV client reads it. Marks
// of the position go to a subject of their own that KV clients do not see.
func openView(ctx context.Context, js jetstream.JetStream, bucket, description string, keep time.Duration) (*view, error) {
	cfg := jetstream.StreamConfig{
		Name: "KV_" + bucket, Description: description,
		Subjects:          []string{"$KV." + bucket + ".>", positionSubject(bucket)},
		MaxMsgsPerSubject: 1, MaxAge: keep, Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy,
		Discard: jetstream.DiscardNew, AllowRollup: true, DenyDelete: true, AllowDirect: true, Replicas: 1,
		Duplicates: 100 * time.Millisecond, PersistMode: jetstream.AsyncPersistMode,
	}
	if keep > 0 && keep < cfg.Duplicates {
		cfg.Duplicates = keep
	}
	s, err := js.CreateStream(ctx, cfg)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		s, err = js.UpdateStream(ctx, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	return &view{name: bucket, js: js, stream: s}, nil
}

func positionSubject(bucket string) string { return "qarion.position." + bucket }

// Name implements engine.Projection.
func (v *view) Name() string { return v.name }

// Position implements engine.Projection: it stands in the newest message.
func (v *view) Position(ctx context.Context) (engine.Pos, error) {
	info, err := v.stream.Info(ctx)
	if err != nil {
		return engine.Pos{}, err
	}
	if info.State.Msgs == 0 {
		return engine.Pos{}, nil
	}
	m, err := v.stream.GetMsg(ctx, info.State.LastSeq)
	if errors.Is(err, jetstream.ErrMsgNotFound) { // replaced or deleted: the mark is older and right
		m, err = v.stream.GetLastMsgForSubject(ctx, positionSubject(v.name))
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return engine.Pos{}, nil
	}
	if err != nil {
		return engine.Pos{}, err
	}
	return parsePos(m.Header.Get(headerPos)), nil
}

// Mark implements engine.Projection.
func (v *view) Mark(ctx context.Context, at engine.Pos) error {
	_, err := v.js.PublishMsg(ctx, &nats.Msg{Subject: positionSubject(v.name), Header: posHeader(at)})
	return err
}

func posHeader(p engine.Pos) nats.Header { return nats.Header{headerPos: {formatPos(p)}} }

func formatPos(p engine.Pos) string {
	return strconv.FormatUint(p.Seq, 10) + "." + strconv.Itoa(p.N)
}

func parsePos(s string) (p engine.Pos) {
	seq, n, _ := strings.Cut(s, ".")
	p.Seq, _ = strconv.ParseUint(seq, 10, 64)
	p.N, _ = strconv.Atoi(n)
	return p
}

// write publishes messages with a bounded window and returns when all of them
// are acknowledged.
func (v *view) write(ctx context.Context, msgs []*nats.Msg) error {
	for len(msgs) > 0 {
		n := min(len(msgs), window)
		futures := make([]jetstream.PubAckFuture, n)
		for i, m := range msgs[:n] {
			f, err := v.js.PublishMsgAsync(m)
			if err != nil {
				return fmt.Errorf("write to %s: %w", v.name, err)
			}
			futures[i] = f
		}
		for _, f := range futures {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				return fmt.Errorf("write to %s: %w", v.name, err)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		msgs = msgs[n:]
	}
	return nil
}

// key writes a value under a key of the bucket.
func (v *view) key(key string, data []byte, at engine.Pos) *nats.Msg {
	return &nats.Msg{Subject: "$KV." + v.name + "." + key, Data: data, Header: posHeader(at)}
}
