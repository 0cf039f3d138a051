package kvstore_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
)

// TestRuns_AListIsOneRequest: a page of a hundred runs asks the store once, in
// the order that was asked for, and leaves out what is not there.
func TestRuns_AListIsOneRequest(t *testing.T) {
	nc := openBus(t)
	r := must[*kvstore.Runs](t)(kvstore.OpenRuns(t.Context(), kvstore.RunsConfig{Conn: nc}))
	defer r.Close()
	fill(t, r, 150)
	if err := bucket(t, nc, kvstore.BucketRuns).Delete(t.Context(), string(runAt(77))); err != nil {
		t.Fatal(err)
	}
	ids := []engine.RunID{runAt(5000)} // there is none
	for i := 120; i >= 20; i-- {
		ids = append(ids, runAt(i))
	}
	requests := counted(t, nc)
	docs, err := r.Documents(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	if n := requests(); n != 1 {
		t.Errorf("%d requests for %d runs", n, len(ids))
	}
	if len(docs) != 100 {
		t.Fatalf("%d documents, want 100", len(docs))
	}
	at := 0
	for i := 120; i >= 20; i-- {
		if i == 77 {
			continue
		}
		if doc := docs[at]; doc.RunID != runAt(i) || doc.Tasks != nil || doc.FlowID == "" || !doc.Final {
			t.Errorf("document %d is %+v, want run %s without tasks", at, doc, runAt(i))
		}
		at++
	}
	if docs, err := r.Documents(t.Context(), ids[:1]); err != nil || len(docs) != 0 {
		t.Errorf("none of them is there: %d documents, %v", len(docs), err)
	}
	if docs, err := r.Documents(t.Context(), nil); err != nil || len(docs) != 0 {
		t.Errorf("nothing was asked for: %d documents, %v", len(docs), err)
	}
}

// TestRuns_ReadsLargeDocumentsInParts: what is more than one answer holds comes
// all the same.
func TestRuns_ReadsLargeDocumentsInParts(t *testing.T) {
	nc := openBus(t)
	r := must[*kvstore.Runs](t)(kvstore.OpenRuns(t.Context(), kvstore.RunsConfig{Conn: nc}))
	defer r.Close()
	const runs = 24
	var changes []engine.Change
	var ids []engine.RunID
	for i := range runs {
		c := runChange(uint64(i+1), runAt(i), "large", engine.Failed)
		c.Doc.Tasks = nil
		for j := range 400 {
			c.Doc.Tasks = append(c.Doc.Tasks, engine.TaskDoc{TaskID: engine.TaskID(fmt.Sprint("t", j)), Status: engine.Failed, Reason: strings.Repeat("x", 2000)})
		}
		changes, ids = append(changes, c), append(ids, runAt(i))
	}
	if err := r.Project(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	requests := counted(t, nc)
	docs, err := r.Documents(t.Context(), ids)
	if err != nil || len(docs) != runs {
		t.Fatalf("%d documents, want %d: %v", len(docs), runs, err)
	}
	if n := requests(); n < 2 || n > 5 {
		t.Errorf("%d requests for %d documents of 800 KB", n, runs)
	}
}

// counted counts the requests to read messages from here on.
func counted(t *testing.T, nc *nats.Conn) (soFar func() int) {
	t.Helper()
	sub := must[*nats.Subscription](t)(nc.SubscribeSync("$JS.API.DIRECT.GET.>"))
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	return func() int {
		if err := nc.Flush(); err != nil { // its answer comes after what was sent before
			t.Fatal(err)
		}
		n, _, err := sub.Pending()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}
