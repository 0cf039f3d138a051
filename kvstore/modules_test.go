package kvstore_test

import (
	"errors"
	"testing"
	"time"

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
	if err := m.Name(ctx, "checks/order", "named"); err != nil {
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
	if err := m.Name(ctx, "checks/order", "back"); err != nil {
		t.Fatal(err)
	}
	sweep(now.Add(62*time.Minute), 0)
	sweep(now.Add(3*time.Hour), 2)
	if list, err := m.List(ctx); err != nil || len(list) != 1 || list[0].SHA256 != "back" {
		t.Errorf("%v, %v", list, err)
	}
}
