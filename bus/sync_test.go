package bus

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// TestSync_WhatIsTrueIsSynced: with sync = "always" every write of what is no
// view reaches the disk before it is acknowledged. A power loss itself cannot
// be played here; what it may take is what the server does not sync.
func TestSync_WhatIsTrueIsSynced(t *testing.T) {
	b, err := Open(t.Context(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	opts, err := b.options()
	if err != nil || !opts.SyncAlways {
		t.Fatalf("the server syncs every write: %v, %v", opts.SyncAlways, err)
	}
	l, err := b.Ledger(t.Context(), LedgerConfig{Node: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := b.Checkpoints(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	triggers, err := b.Triggers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer triggers.Close()
	for _, name := range []string{StreamLedger, StreamCheckpoints, StreamTriggers} {
		s, err := b.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if c := s.CachedInfo().Config; c.PersistMode == jetstream.AsyncPersistMode || c.Storage != jetstream.FileStorage {
			t.Errorf("stream %s is stored as %v, %v", name, c.Storage, c.PersistMode)
		}
	}
}
