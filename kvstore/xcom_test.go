package kvstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
)

func TestXCom_AnyClientReadsTheValues(t *testing.T) {
	nc := openBus(t)
	blobs := must[*kvstore.Blobs](t)(kvstore.OpenBlobs(t.Context(), nc))
	x := must[*kvstore.XCom](t)(kvstore.OpenXCom(t.Context(), kvstore.XComConfig{Conn: nc, Blobs: blobs}))
	defer x.Close()
	run := runAt(1)

	late := attempt(3, run, "user", `"late"`)
	late.Superseded = true
	failed := attempt(4, run, "other", `1`)
	failed.Attempt.Outcome = engine.OutcomeFailed
	item := attempt(5, run, "user", `2`)
	item.Attempt.Item = 2
	changes := []engine.Change{attempt(1, run, "user", `{"id":1}`), attempt(2, run, "get-cart", `[]`), late, failed, item}
	if err := x.Project(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	if err := x.Mark(t.Context(), engine.Pos{Seq: 9}); err != nil {
		t.Fatal(err)
	}

	kv := bucket(t, nc, kvstore.BucketXCom)
	keys, err := kv.Keys(t.Context())
	if err != nil || len(keys) != 3 { // items have no keys: there may be very many
		t.Errorf("keys %v, %v: want three", keys, err)
	}
	for key, want := range map[string]string{".user": `{"id":1}`, ".get-cart": `[]`, ".other.attempt.1": `1`} {
		e, err := kv.Get(t.Context(), string(run)+key)
		if err != nil || string(e.Value()) != want {
			t.Errorf("key %s: %v, %v; want %s", key, e, err, want)
		}
	}
	if got, err := x.Get(t.Context(), run, "user", 0); err != nil || string(got) != `{"id":1}` {
		t.Errorf("Get: %s, %v", got, err)
	}
	if _, err := x.Get(t.Context(), run, "other", 0); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a task without a value: %v", err)
	}
	if got, err := x.Get(t.Context(), run, "other", 1); err != nil || string(got) != `1` {
		t.Errorf("what a failed attempt received: %s, %v", got, err)
	}
	if p, err := x.Position(t.Context()); err != nil || p.Seq != 9 {
		t.Errorf("position %v, %v", p, err)
	}
}

func TestXCom_ReadsLargeValuesThroughTheObjectStore(t *testing.T) {
	nc := openBus(t)
	blobs := must[*kvstore.Blobs](t)(kvstore.OpenBlobs(t.Context(), nc))
	x := must[*kvstore.XCom](t)(kvstore.OpenXCom(t.Context(), kvstore.XComConfig{Conn: nc, Blobs: blobs}))
	defer x.Close()
	run := runAt(1)
	text := strings.Repeat("näh\n", 50_000)
	name := string(run) + "/page/0/0.1.0"
	if err := blobs.Put(t.Context(), name, []byte(text)); err != nil {
		t.Fatal(err)
	}
	c := attempt(1, run, "page", "")
	c.Attempt.Value, c.Attempt.Blob = nil, &engine.BlobRef{Name: name, Size: int64(len(text)), ContentType: "text/plain"}
	if err := x.Project(t.Context(), []engine.Change{c, attempt(2, run, "small", `1`)}); err != nil {
		t.Fatal(err)
	}
	got, err := x.Get(t.Context(), run, "page", 0)
	if want := `"` + strings.ReplaceAll(text, "\n", `\n`) + `"`; err != nil || string(got) != want {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
	}
	_, ref, err := x.Lookup(t.Context(), run, "page", 0)
	if err != nil || ref == nil || ref.Name != name || ref.ContentType != "text/plain" {
		t.Errorf("reference %+v, %v", ref, err)
	}
	if _, ref, err := x.Lookup(t.Context(), run, "small", 0); err != nil || ref != nil {
		t.Errorf("a small value behind a large one: %+v, %v", ref, err)
	}
}

func TestXCom_ADeletedKeyIsNotFound(t *testing.T) {
	nc := openBus(t)
	x := must[*kvstore.XCom](t)(kvstore.OpenXCom(t.Context(), kvstore.XComConfig{Conn: nc}))
	defer x.Close()
	run := runAt(1)
	if err := x.Project(t.Context(), []engine.Change{attempt(1, run, "a", `1`), attempt(2, run, "b", `2`)}); err != nil {
		t.Fatal(err)
	}
	if err := bucket(t, nc, kvstore.BucketXCom).Delete(t.Context(), string(run)+".b"); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Get(t.Context(), run, "b", 0); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if p, err := x.Position(t.Context()); err != nil || p.Seq != 1 {
		t.Errorf("position %v, %v: what was deleted is to be written again", p, err)
	}
}
