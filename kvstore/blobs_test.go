package kvstore_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
)

func TestBlobs_GiveBackWhatWasPut(t *testing.T) {
	b := must[*kvstore.Blobs](t)(kvstore.OpenBlobs(t.Context(), openBus(t)))
	data := bytes.Repeat([]byte("0123456789"), 40_000)
	name := string(runAt(1)) + "/a/0/0.1.0"
	for range 2 {
		if err := b.Put(t.Context(), name, data); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.Get(t.Context(), name, int64(len(data)))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if _, err := b.Get(t.Context(), name, int64(len(data))-1); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("more than allowed: %v", err)
	}
	if _, err := b.Get(t.Context(), "nothing", 1); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("an unknown name: %v", err)
	}
	if err := b.Put(t.Context(), name, []byte("of a second call")); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(t.Context(), name, 100); err != nil || string(got) != "of a second call" {
		t.Errorf("after a second call: %s, %v", got, err)
	}
	if err := b.Put(t.Context(), "empty", nil); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(t.Context(), "empty", 0); err != nil || len(got) != 0 {
		t.Errorf("an empty object: %q, %v", got, err)
	}
}

func TestBlobs_TheSameBytesAreStoredOnce(t *testing.T) {
	nc := openBus(t)
	b := must[*kvstore.Blobs](t)(kvstore.OpenBlobs(t.Context(), nc))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var last [2]uint64
	for i := range last {
		if err := b.Put(t.Context(), "x", []byte("data")); err != nil {
			t.Fatal(err)
		}
		s, err := js.Stream(t.Context(), "OBJ_"+kvstore.BucketBlobs)
		if err != nil {
			t.Fatal(err)
		}
		last[i] = s.CachedInfo().State.LastSeq
	}
	if last[0] != last[1] {
		t.Errorf("the second put wrote %d messages", last[1]-last[0])
	}
}

func TestBlobs_SweepLeavesWhatIsKeptYoungOrOfNoRun(t *testing.T) {
	nc := openBus(t)
	b := must[*kvstore.Blobs](t)(kvstore.OpenBlobs(t.Context(), nc))
	kept, gone := string(runAt(1))+"/a/0/0.1.0", string(runAt(2))+"/a/0/0.1.0"
	for _, name := range []string{kept, gone, "flows/abc"} {
		if err := b.Put(t.Context(), name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	keep := func(run engine.RunID) bool { return run == runAt(1) }
	if n, err := b.Sweep(t.Context(), keep, 1<<40); err != nil || n != 0 {
		t.Errorf("young objects: %d swept, %v", n, err)
	}
	if n, err := b.Sweep(t.Context(), keep, 0); err != nil || n != 1 {
		t.Errorf("%d swept, %v; want 1", n, err)
	}
	for name, want := range map[string]error{kept: nil, gone: engine.ErrNotFound, "flows/abc": nil} {
		if _, err := b.Get(t.Context(), name, 1000); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "OBJ_"+kvstore.BucketBlobs)
	if err != nil || s.CachedInfo().State.Msgs != 4 {
		t.Errorf("%d messages are left, want 4 of two objects (%v)", s.CachedInfo().State.Msgs, err)
	}
}
