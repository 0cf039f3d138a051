package bus

import (
	"crypto/sha256"
	"strconv"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// TestCheckpoint_OfTheFirstLayoutIsRead: checkpoints once stood in the ledger,
// in one piece of CBOR.
func TestCheckpoint_OfTheFirstLayoutIsRead(t *testing.T) {
	ctx := t.Context()
	b, err := Open(ctx, Config{Dir: t.TempDir(), SyncInterval: DefaultSyncInterval})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	old := ledgerConfig()
	old.Subjects = append(old.Subjects, subjectCheckpoint+"*.*")
	if _, err := ensureStream(ctx, b.js, old); err != nil {
		t.Fatal(err)
	}

	state := fold.NewState()
	state.Apply(engine.Entry{Seq: 7, At: 1, Records: []engine.Record{&engine.InstallRecord{ID: "inst"}}})
	part := state.Snapshot("old").Next()
	plain, err := cbor.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCodec("old")
	if err != nil {
		t.Fatal(err)
	}
	packed := c.zip.EncodeAll(plain, nil)
	m := manifest{Format: 1, Writer: "old", Seq: 7, Hash: sha256.Sum256(packed)}
	for n, piece := range [][]byte{packed[:9], packed[9:]} {
		ack, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: CheckpointSubject(7, strconv.Itoa(n)), Data: piece})
		if err != nil {
			t.Fatal(err)
		}
		m.Parts = append(m.Parts, ack.Sequence)
	}
	data, err := cbor.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: CheckpointSubject(7, manifestPart), Data: data}); err != nil {
		t.Fatal(err)
	}

	l, err := b.Ledger(ctx, LedgerConfig{Node: "test", Version: "new"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	checkpoints, err := b.Checkpoints(ctx, l)
	if err != nil {
		t.Fatal(err)
	}
	back, err := checkpoints.Load(ctx, 1<<63)
	if err != nil || back == nil || back.Seq != 7 || back.Installation != "inst" {
		t.Fatalf("loaded: %+v, %v", back, err)
	}
	// The first one in the stream of their own takes its place.
	snap := back.Snapshot("new")
	err = checkpoints.Save(ctx, 8, snap.Count(), func(yield func(*fold.Part, error) bool) {
		part := snap.Next()
		part.Seq = 8
		yield(part, part.Fill())
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoints.Drop(ctx, 8); err != nil {
		t.Fatal(err)
	}
	if left, err := checkpoints.list(ctx, l.stream, "*"); err != nil || len(left) != 0 {
		t.Errorf("left in the ledger: %v, %v", left, err)
	}
	if back, err = checkpoints.Load(ctx, 1<<63); err != nil || back.Seq != 8 {
		t.Errorf("loaded: %+v, %v", back, err)
	}
}
