package kvstore_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
)

// TestModules_GoWhenNothingHasNamedThemForLong: names and flow versions hold modules; one
// that is taken up again counts from the begin.
func TestModules_GoWhenNothingHasNamedThemForLong(t *testing.T) {
	ctx, m := t.Context(), must[*kvstore.Modules](t)(kvstore.OpenModules(t.Context(), openBus(t)))
	if n, err := m.Sweep(ctx, nil, time.Now(), time.Hour); n != 0 || err != nil {
		t.Fatalf("an empty store: %d, %v", n, err)
	}
	for _, hash := range []string{"named", "pinned", "old", "back"} {
		if err := m.Keep(ctx, hash, []byte("module "+hash)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Name(ctx, "checks/order", "named", nil); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{"pinned": true}
	sweep := func(at time.Time, want int) {
		t.Helper()
		if n, err := m.Sweep(ctx, used, at, time.Hour); n != want || err != nil {
			t.Fatalf("swept %d, %v, want %d", n, err, want)
		}
	}
	now := time.Now()
	sweep(now, 0) // however old they are: nobody has looked before
	sweep(now.Add(59*time.Minute), 0)
	if err := m.Keep(ctx, "back", []byte("module back")); err != nil {
		t.Fatal(err)
	}
	sweep(now.Add(61*time.Minute), 1)
	for hash, there := range map[string]bool{"named": true, "pinned": true, "back": true, "old": false} {
		data, err := m.Module(ctx, hash)
		if there && (err != nil || string(data) != "module "+hash) || !there && !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("%s: %q, %v", hash, data, err)
		}
	}
	used["pinned"] = false
	if err := m.Name(ctx, "checks/order", "back", []string{"transform", "validate"}); err != nil {
		t.Fatal(err)
	}
	sweep(now.Add(62*time.Minute), 0)
	sweep(now.Add(3*time.Hour), 2)
	if list, err := m.List(ctx); err != nil || len(list) != 1 || list[0].SHA256 != "back" || !slices.Equal(list[0].Exports, []string{"transform", "validate"}) {
		t.Errorf("%v, %v", list, err)
	}
}

// TestModules_PartsOfACutOffPushGo, when they are old enough to be of none that is under
// way, and what has an entry stays.
func TestModules_PartsOfACutOffPushGo(t *testing.T) {
	nc := openBus(t)
	if _, err := kvstore.FindModules(t.Context(), nc); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("before the first module: %v", err)
	}
	m := must[*kvstore.Modules](t)(kvstore.OpenModules(t.Context(), nc))
	js := must[jetstream.JetStream](t)(jetstream.New(nc))
	if err := m.Keep(t.Context(), "kept", noise(1<<20)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := js.Publish(t.Context(), "$O."+kvstore.BucketHooks+".C.stray", noise(128<<10)); err != nil {
			t.Fatal(err)
		}
	}
	m = must[*kvstore.Modules](t)(kvstore.FindModules(t.Context(), nc))
	for _, sweep := range []struct {
		age  time.Duration
		want int
	}{{time.Hour, 0}, {0, 1}, {0, 0}} {
		if n, err := m.SweepChunks(t.Context(), sweep.age); n != sweep.want || err != nil {
			t.Errorf("older than %s: %d, %v, want %d", sweep.age, n, err, sweep.want)
		}
	}
	if data, err := m.Module(t.Context(), "kept"); err != nil || len(data) != 1<<20 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	stream := must[jetstream.Stream](t)(js.Stream(t.Context(), "OBJ_"+kvstore.BucketHooks))
	if info := must[*jetstream.StreamInfo](t)(stream.Info(t.Context())); info.State.Msgs != 9 {
		t.Errorf("%d messages are left, want 8 parts and an entry", info.State.Msgs)
	}
}
