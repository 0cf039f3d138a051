package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server/archive"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/filestore"
)

// snapshotStands is how long a snapshot may not move.
const snapshotStands = 30 * time.Second

// SnapshotStore writes the streams of a serving node into a store folder, as
// they lie in its own: each as it is at one moment, and in an order in which
// they fit together.
//
// What is triggered goes from the triggers into the ledger: the triggers come
// first, so that none falls between. Views and checkpoints follow the ledger
// and come before it, so that they are not ahead of it. A record names large
// values that were stored before it: they come last.
func (c *Client) SnapshotStore(ctx context.Context, dir string) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return err
	}
	var all []string
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		all = append(all, name)
	}
	if err := names.Err(); err != nil {
		return unavailable(err)
	}
	var first, last []string
	if slices.Contains(all, StreamTriggers) {
		first = append(first, StreamTriggers)
	}
	for _, name := range all {
		switch {
		case name == StreamTriggers, name == StreamLedger, name == StreamReady:
		case len(name) > 4 && name[:4] == "OBJ_":
			last = append(last, name)
		default:
			first = append(first, name)
		}
	}
	for _, name := range append(append(first, StreamLedger), last...) {
		to := filepath.Join(dir, "jetstream", accountEngine, "streams", name)
		if err := c.snapshot(ctx, js, name, to); err != nil {
			return fmt.Errorf("copy stream %s: %w", name, err)
		}
	}
	return nil
}

// snapshot writes a stream into a folder.
func (c *Client) snapshot(ctx context.Context, js jetstream.JetStream, stream, dir string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	ask, err := json.Marshal(map[string]any{"deliver_subject": inbox, "no_consumers": true, "chunk_size": 256 << 10})
	if err != nil {
		return err
	}
	asking, done := context.WithTimeout(ctx, snapshotStands)
	answer, err := c.nc.RequestWithContext(asking, "$JS.API.STREAM.SNAPSHOT."+stream, ask)
	done()
	if err != nil {
		return unavailable(err)
	}
	var said struct {
		Error  *jetstream.APIError `json:"error"`
		Config json.RawMessage     `json:"config"`
	}
	if err := json.Unmarshal(answer.Data, &said); err != nil {
		return err
	}
	if said.Error != nil {
		return unavailable(said.Error)
	}
	meta, err := streamMeta(ctx, js, stream, said.Config)
	if err != nil {
		return err
	}
	w, err := filestore.Create(dir, meta)
	if err != nil {
		return err
	}
	last, err := unpack(archive.NewReader(s2.NewReader(&chunks{ctx: ctx, sub: sub})), w)
	return errors.Join(err, w.Close(last))
}

// streamMeta is what a server keeps of a stream's configuration: that, and when
// it was made.
func streamMeta(ctx context.Context, js jetstream.JetStream, stream string, config json.RawMessage) ([]byte, error) {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return nil, unavailable(err)
	}
	made, err := json.Marshal(s.CachedInfo().Created)
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(config, &all); err != nil {
		return nil, err
	}
	all["created"] = made
	return json.Marshal(all)
}

// maxMessage bounds what is read as one message, in bytes.
const maxMessage = 64 << 20

// unpack writes the messages of a snapshot: the stream's state, its messages,
// and an empty entry that says that this was all. last is the stream's last
// sequence.
func unpack(r *archive.Reader, w *filestore.Writer) (last uint64, err error) {
	h, err := r.Next()
	if err != nil {
		return 0, err
	}
	var state struct {
		Last uint64 `json:"last_seq"`
	}
	if h.Name != "state.json" {
		return 0, fmt.Errorf("%w: a snapshot begins with %q", engine.ErrInvalid, h.Name)
	}
	if err := json.NewDecoder(r).Decode(&state); err != nil {
		return 0, err
	}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("%w: the snapshot ends too early", engine.ErrUnavailable)
		}
		if err != nil {
			return 0, err
		}
		if h.Name == "" {
			return state.Last, nil
		}
		if h.HeaderSize < 0 || h.PayloadSize < 0 || h.HeaderSize+h.PayloadSize > maxMessage {
			return 0, fmt.Errorf("%w: a snapshot has a message of %d bytes", engine.ErrInvalid, h.HeaderSize+h.PayloadSize)
		}
		data := make([]byte, h.HeaderSize+h.PayloadSize)
		if _, err := io.ReadFull(r, data); err != nil {
			return 0, err
		}
		m := &filestore.Message{Seq: h.Sequence, Nanos: h.Timestamp, Subject: h.Name, Header: data[:h.HeaderSize], Data: data[h.HeaderSize:]}
		if err := w.Add(m); err != nil {
			return 0, err
		}
	}
}

// chunks joins the messages of a snapshot, and acknowledges each.
type chunks struct {
	ctx  context.Context // of the one call that reads
	sub  *nats.Subscription
	rest bytes.Reader
	end  bool
}

// Read implements io.Reader.
func (r *chunks) Read(buf []byte) (int, error) {
	for r.rest.Len() == 0 {
		if r.end {
			return 0, io.EOF
		}
		ctx, cancel := context.WithTimeout(r.ctx, snapshotStands)
		m, err := r.sub.NextMsgWithContext(ctx)
		cancel()
		if err != nil {
			return 0, unavailable(err)
		}
		if status := m.Header.Get("Status"); status != "" && status != "204" {
			return 0, fmt.Errorf("%w: %s %s", engine.ErrUnavailable, status, m.Header.Get("Description"))
		}
		r.end = len(m.Data) == 0
		r.rest.Reset(m.Data)
		if m.Reply != "" {
			if err := m.Respond(nil); err != nil {
				return 0, unavailable(err)
			}
		}
	}
	return r.rest.Read(buf)
}

// WriteLedgerEnd notes in a store folder how far its ledger has come.
func WriteLedgerEnd(dir string, seq uint64) error {
	return os.WriteFile(filepath.Join(dir, ledgerEndFile), fmt.Appendf(nil, "%020d\n", seq), 0o600)
}
