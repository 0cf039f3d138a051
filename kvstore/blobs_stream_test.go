package kvstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
)

func noise(n int) []byte {
	data := make([]byte, n)
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return data
}

func messages(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), "OBJ_"+kvstore.BucketBlobs)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// TestBlobs_StreamsOfEveryLength: what is written in whatever pieces is read
// back the same, by us and by any other client of the object store.
func TestBlobs_StreamsOfEveryLength(t *testing.T) {
	nc := openBus(t)
	b := must[*kvstore.Blobs](t)(kvstore.OpenBlobs(t.Context(), nc))
	js := must[jetstream.JetStream](t)(jetstream.New(nc))
	store := must[jetstream.ObjectStore](t)(js.ObjectStore(t.Context(), kvstore.BucketBlobs))
	const chunk = 256 << 10
	for _, n := range []int{0, 1, chunk - 1, chunk, chunk + 1, 5*chunk + 7, 20 * chunk} {
		data := noise(n)
		sum := sha256.Sum256(data)
		for name, from := range map[string]io.Reader{"whole": bytes.NewReader(data), "halves": iotest.HalfReader(bytes.NewReader(data)), "with its end": iotest.DataErrReader(bytes.NewReader(data))} {
			got, err := b.Write(t.Context(), "x", from)
			if err != nil || got.Size != int64(n) || got.SHA256 != hex.EncodeToString(sum[:]) {
				t.Fatalf("%d bytes, %s: %+v, %v", n, name, got, err)
			}
		}
		r := must[io.ReadCloser](t)(b.Open(t.Context(), "x"))
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: read %d, %v", n, len(got), err)
		}
		if got, err := store.GetBytes(t.Context(), "x"); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: another client read %d, %v", n, len(got), err)
		}
		if got, want := messages(t, js), uint64((n+chunk-1)/chunk+1); got != want {
			t.Errorf("%d bytes: %d messages, want %d", n, got, want)
		}
	}
	if _, err := b.Open(t.Context(), "nothing"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("an unknown name: %v", err)
	}
}

// TestBlobs_AFailedWriteLeavesNothing: neither a reader that breaks nor one
// that is called off leaves a name or a chunk, and what was there stays.
func TestBlobs_AFailedWriteLeavesNothing(t *testing.T) {
	nc := openBus(t)
	b := must[*kvstore.Blobs](t)(kvstore.OpenBlobs(t.Context(), nc))
	js := must[jetstream.JetStream](t)(jetstream.New(nc))
	if _, err := b.Write(t.Context(), "x", strings.NewReader("before")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the line is dead")
	for _, n := range []int{0, 1 << 20} {
		_, err := b.Write(t.Context(), "x", io.MultiReader(bytes.NewReader(noise(n)), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Write(ctx, "x", bytes.NewReader(noise(5<<20))); err == nil {
		t.Error("a write that was called off succeeded")
	}
	if got, err := b.Get(t.Context(), "x", 10); err != nil || string(got) != "before" {
		t.Errorf("what was there: %q, %v", got, err)
	}
	if n, err := b.SweepChunks(t.Context(), 0); err != nil || n > 1 { // the one that was called off may have had chunks under way
		t.Errorf("%d strays, %v", n, err)
	}
	if n := messages(t, js); n != 2 {
		t.Errorf("%d messages are left, want 2", n)
	}
}

// TestBlobs_DamageIsFoundBeforeTheLastBytes: a reader never hands out the whole
// of something that is not what was written.
func TestBlobs_DamageIsFoundBeforeTheLastBytes(t *testing.T) {
	nc := openBus(t)
	b := must[*kvstore.Blobs](t)(kvstore.OpenBlobs(t.Context(), nc))
	js := must[jetstream.JetStream](t)(jetstream.New(nc))
	store := must[jetstream.ObjectStore](t)(js.ObjectStore(t.Context(), kvstore.BucketBlobs))
	s := must[jetstream.Stream](t)(js.Stream(t.Context(), "OBJ_"+kvstore.BucketBlobs))
	data := noise(1 << 20)
	damage := func(change func(subject string)) ([]byte, error) {
		if _, err := b.Write(t.Context(), "x", bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		info := must[*jetstream.ObjectInfo](t)(store.GetInfo(t.Context(), "x"))
		change("$O." + kvstore.BucketBlobs + ".C." + info.NUID)
		r := must[io.ReadCloser](t)(b.Open(t.Context(), "x"))
		defer r.Close()
		return io.ReadAll(r)
	}
	got, err := damage(func(subject string) {
		last := must[*jetstream.RawStreamMsg](t)(s.GetLastMsgForSubject(t.Context(), subject))
		if err := s.DeleteMsg(t.Context(), last.Sequence); err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), subject, noise(len(last.Data)-1)); err != nil {
			t.Fatal(err)
		}
	})
	if err == nil || len(got) >= len(data) {
		t.Errorf("a short chunk: %d bytes, %v", len(got), err)
	}
	got, err = damage(func(subject string) {
		last := must[*jetstream.RawStreamMsg](t)(s.GetLastMsgForSubject(t.Context(), subject))
		if err := s.DeleteMsg(t.Context(), last.Sequence); err != nil {
			t.Fatal(err)
		}
		last.Data[0] ^= 1
		if _, err := js.Publish(t.Context(), subject, last.Data); err != nil {
			t.Fatal(err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "does not match its digest") || len(got) >= len(data) {
		t.Errorf("a changed chunk: %d bytes, %v", len(got), err)
	}
}

// TestBlobs_SweepChunksKnowsWhatIsUnderWay: chunks without a name are strays,
// unless this process is writing them, or they are young.
func TestBlobs_SweepChunksKnowsWhatIsUnderWay(t *testing.T) {
	nc := openBus(t)
	b := must[*kvstore.Blobs](t)(kvstore.OpenBlobs(t.Context(), nc))
	js := must[jetstream.JetStream](t)(jetstream.New(nc))
	for _, id := range []string{"stray", "stray", "other"} {
		if _, err := js.Publish(t.Context(), "$O."+kvstore.BucketBlobs+".C."+id, []byte("left by a crash")); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Put(t.Context(), "kept", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if n, err := b.SweepChunks(t.Context(), 1<<40); err != nil || n != 0 {
		t.Errorf("young strays: %d, %v", n, err)
	}
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		_, err := b.Write(t.Context(), "slow", r)
		written <- err
	}()
	if _, err := w.Write(noise(1 << 20)); err != nil { // some chunks are stored now, or about to be
		t.Fatal(err)
	}
	if n, err := b.SweepChunks(t.Context(), 0); err != nil || n != 2 {
		t.Errorf("%d strays, %v; want 2", n, err)
	}
	w.Close()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"slow", "kept"} {
		if _, err := b.Get(t.Context(), name, 2<<20); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
