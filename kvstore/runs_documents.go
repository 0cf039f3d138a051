package kvstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// How many documents one request asks for: the server answers up to 1,024, and
// stops once it has sent so many bytes; the rest is asked for again.
const (
	documentsAsked = 512
	documentsBytes = 8 << 20
	documentsTime  = 5 * time.Second // until the next message of an answer
	documentsIdle  = 5               // requests one after the other that bring nothing new
)

// multiGet is a request of JetStream's direct API for the last messages of many
// subjects.
type multiGet struct {
	Subjects []string `json:"multi_last"`
	Batch    int      `json:"batch"`
	MaxBytes int      `json:"max_bytes"`
}

// Documents reads runs as they are now, without their tasks; one that is not
// there is left out. A list costs one request, not one for each run: a request
// has to wait for a processor several times, and so the longer the busier the
// machine is.
func (r *Runs) Documents(ctx context.Context, ids []engine.RunID) ([]*engine.RunDoc, error) {
	found := make(map[engine.RunID]*engine.RunDoc, len(ids))
	for part := range slices.Chunk(ids, documentsAsked) {
		for idle := 0; len(part) > 0; {
			more, err := r.documents(ctx, part, found)
			if err == nil && more && idle >= documentsIdle { // one that cannot be read is in the way
				more, err = false, r.oneByOne(ctx, part, found)
			}
			if err != nil {
				return nil, unavailable(fmt.Errorf("read %d runs: %w", len(ids), err))
			}
			if !more {
				break
			}
			left := slices.DeleteFunc(slices.Clone(part), func(id engine.RunID) bool { _, has := found[id]; return has })
			if idle++; len(left) < len(part) {
				idle = 0
			}
			part = left
		}
	}
	docs := make([]*engine.RunDoc, 0, len(ids))
	for _, id := range ids {
		if doc := found[id]; doc != nil {
			docs = append(docs, doc)
		}
	}
	return docs, nil
}

// oneByOne asks for each run by itself: a document that is damaged ends an answer
// for many, and hides those behind it.
func (r *Runs) oneByOne(ctx context.Context, ids []engine.RunID, found map[engine.RunID]*engine.RunDoc) error {
	for _, id := range ids {
		doc, err := r.Get(ctx, id)
		if errors.Is(err, engine.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		doc.Tasks = nil
		found[id] = doc
	}
	return nil
}

// documents asks for runs once. more: the answer has grown too large, and some
// of them are still to be asked for.
func (r *Runs) documents(ctx context.Context, ids []engine.RunID, found map[engine.RunID]*engine.RunDoc) (more bool, err error) {
	prefix := keyPrefix(BucketRuns)
	ask := multiGet{Subjects: make([]string, len(ids)), Batch: len(ids), MaxBytes: documentsBytes}
	for i, id := range ids {
		ask.Subjects[i] = prefix + string(id)
	}
	text, err := json.Marshal(ask)
	if err != nil {
		return false, err
	}
	inbox := r.conn.NewInbox()
	answers, err := r.conn.SubscribeSync(inbox)
	if err != nil {
		return false, err
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := r.conn.PublishRequest(jetstream.DefaultAPIPrefix+"DIRECT.GET."+r.feed.Stream().CachedInfo().Config.Name, inbox, text); err != nil {
		return false, err
	}
	for got := 0; ; got++ {
		m, err := nextWithin(ctx, answers)
		if err != nil {
			return false, err
		}
		switch status := m.Header.Get("Status"); status {
		case "": // a message
		case "204": // the last
			return got > 0 && m.Header.Get("Nats-Num-Pending") != "0", nil
		case "404":
			return m.Header.Get("Description") != "No Results", nil // else one of them was written anew meanwhile
		default:
			return false, fmt.Errorf("the server answers %s %s", status, m.Header.Get("Description"))
		}
		id := engine.RunID(strings.TrimPrefix(m.Header.Get(jetstream.SubjectHeader), prefix))
		if found[id] = nil; m.Header.Get(headerOperation) != "" {
			continue
		}
		if found[id], err = withoutTasks(m.Data); err != nil {
			return false, fmt.Errorf("run %s: %w", id, err)
		}
	}
}

func nextWithin(ctx context.Context, from *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, documentsTime)
	defer cancel()
	return from.NextMsgWithContext(ctx)
}

// withoutTasks reads a document and passes over its tasks, which are most of it.
func withoutTasks(text []byte) (*engine.RunDoc, error) {
	var doc struct {
		engine.RunDoc
		Tasks passedOver `json:"tasks"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	return &doc.RunDoc, nil
}

// passedOver is JSON that nobody reads.
type passedOver struct{}

// UnmarshalJSON implements json.Unmarshaler.
func (*passedOver) UnmarshalJSON([]byte) error { return nil }
