package feed_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/internal/feed"
)

// startServer starts a NATS server that goes with the test.
func startServer(t testing.TB, maxStore int64) *nats.Conn {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: maxStore,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server did not get ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nc.Close()
		s.Shutdown()
		s.WaitForShutdown()
	})
	return nc
}

func open(t testing.TB, nc *nats.Conn, change func(*jetstream.StreamConfig)) *feed.Feed {
	t.Helper()
	cfg := feed.Config{
		Conn: nc, Mark: "position.test",
		Stream: jetstream.StreamConfig{Name: "TEST", Subjects: []string{"test.>"}, AllowDirect: true},
	}
	if change != nil {
		change(&cfg.Stream)
	}
	f, err := feed.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func write(ctx context.Context, f *feed.Feed, from, n, size int) error {
	b := f.Begin(ctx)
	defer b.End()
	for i := from; i < from+n; i++ {
		if err := b.Add(ctx, feed.Pos{Seq: uint64(i)}, "test.a", make([]byte, size)); err != nil {
			return err
		}
	}
	return b.Commit(ctx)
}

func position(t *testing.T, f *feed.Feed) feed.Pos {
	t.Helper()
	p, err := f.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFeed_PositionIsThatOfTheLastMessage(t *testing.T) {
	nc := startServer(t, 0)
	f := open(t, nc, nil)
	if p := position(t, f); p != (feed.Pos{}) {
		t.Errorf("position of a new stream: %v", p)
	}
	if err := write(t.Context(), f, 1, 3000, 10); err != nil {
		t.Fatal(err)
	}
	if p := position(t, f); p.Seq != 3000 {
		t.Errorf("position %v, want 3000", p)
	}
	info, err := f.Stream().Info(t.Context())
	if err != nil || info.State.Msgs != 3000 {
		t.Errorf("%d messages, want 3000 (%v)", info.State.Msgs, err)
	}
	f.Close()
	if p := position(t, open(t, nc, nil)); p.Seq != 3000 {
		t.Errorf("position after opening again: %v", p)
	}
}

func TestFeed_PositionStepsOverForeignAndDeletedMessages(t *testing.T) {
	f := open(t, startServer(t, 0), nil)
	if err := write(t.Context(), f, 1, 10, 10); err != nil {
		t.Fatal(err)
	}
	if err := f.Live("test.live", nil, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context(), f, 11, 1, 10); err != nil {
		t.Fatal(err)
	}
	if err := f.Stream().DeleteMsg(t.Context(), 12); err != nil {
		t.Fatal(err)
	}
	if p := position(t, f); p.Seq != 10 {
		t.Errorf("position %v, want 10", p)
	}
}

func TestFeed_MarkOutlivesTheMessages(t *testing.T) {
	f := open(t, startServer(t, 0), func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	for seq := uint64(5); seq < 8; seq++ {
		if err := f.Mark(t.Context(), feed.Pos{Seq: seq, N: 9}); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(t.Context(), f, 20, 5, 10); err != nil {
		t.Fatal(err)
	}
	if err := f.Stream().Purge(t.Context(), jetstream.WithPurgeSubject("test.>")); err != nil {
		t.Fatal(err)
	}
	if p := position(t, f); p != (feed.Pos{Seq: 7, N: 9}) {
		t.Errorf("position %v, want 7.9", p)
	}
	m, err := f.Stream().GetLastMsgForSubject(t.Context(), "position.test")
	if err != nil || m.Header.Get("Nats-TTL") != "never" {
		t.Errorf("the mark would expire: %v, %v", m, err)
	}
	info, err := f.Stream().Info(t.Context())
	if err != nil || info.State.Msgs != 1 {
		t.Errorf("%d messages, want one mark (%v)", info.State.Msgs, err)
	}
}

func TestFeed_SaysWhenMessagesAreMissing(t *testing.T) {
	f := open(t, startServer(t, 0), func(c *jetstream.StreamConfig) { c.MaxMsgSize = 100 })
	b := f.Begin(t.Context())
	for i, size := range []int{10, 200, 10} { // the server drops the second
		if err := b.Add(t.Context(), feed.Pos{Seq: uint64(i + 1)}, "test.a", make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	err := b.Commit(t.Context())
	b.End()
	if !errors.Is(err, feed.ErrNotStored) {
		t.Fatalf("got %v, want %v", err, feed.ErrNotStored)
	}
	b = f.Begin(t.Context())
	defer b.End()
	if b.Written(feed.Pos{Seq: 1}) {
		t.Error("a message of a batch that was not stored counts as written")
	}
	if err := b.Add(t.Context(), feed.Pos{Seq: 2}, "test.a", nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(t.Context()); err != nil {
		t.Errorf("the next batch: %v", err)
	}
}

// TestFeed_NothingOvertakesWhatIsLost: a reader that keeps the highest position
// it has seen would never see what is written again behind a higher one.
func TestFeed_NothingOvertakesWhatIsLost(t *testing.T) {
	f := open(t, startServer(t, 0), func(c *jetstream.StreamConfig) { c.MaxMsgSize = 150 })
	try := func(sizes ...int) error {
		b := f.Begin(t.Context())
		defer b.End()
		for i, size := range sizes {
			if at := (feed.Pos{Seq: uint64(i + 1)}); !b.Written(at) {
				if err := b.Add(t.Context(), at, "test.a", make([]byte, size)); err != nil {
					return err
				}
			}
		}
		return b.Commit(t.Context())
	}
	if err := try(10, 200, 10, 10); !errors.Is(err, feed.ErrNotStored) { // the server drops the second
		t.Fatalf("got %v, want %v", err, feed.ErrNotStored)
	}
	if err := try(10, 20, 10, 10); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stream().Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var highest feed.Pos
	for seq := range info.State.LastSeq {
		m, err := f.Stream().GetMsg(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		at, ok := feed.ParsePos(m.Header.Get(feed.HeaderPos))
		if next := (feed.Pos{Seq: highest.Seq + 1}); ok && highest.Before(at) && at != next {
			t.Errorf("position %v comes after %v", at, highest)
		}
		if highest.Before(at) {
			highest = at
		}
	}
	if highest.Seq != 4 {
		t.Errorf("the last position is %v", highest)
	}
}

func TestFeed_AFullStoreIsRefusedAndTakenLater(t *testing.T) {
	f := open(t, startServer(t, 1<<20), nil)
	err := write(t.Context(), f, 1, 3000, 1000)
	if !errors.Is(err, feed.ErrNotStored) {
		t.Fatalf("got %v, want %v", err, feed.ErrNotStored)
	}
	if err := f.Stream().Purge(t.Context(), jetstream.WithPurgeSubject("test.>")); err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context(), f, 1, 100, 1000); err != nil {
		t.Errorf("after space was made: %v", err)
	}
}

func TestFeed_SkipsWhatIsWritten(t *testing.T) {
	f := open(t, startServer(t, 0), nil)
	if err := write(t.Context(), f, 1, 5, 1); err != nil {
		t.Fatal(err)
	}
	b := f.Begin(t.Context())
	defer b.End()
	if !b.Written(feed.Pos{Seq: 5}) || b.Written(feed.Pos{Seq: 5, N: 1}) {
		t.Error("the border between what is written and what is not is wrong")
	}
}

func TestParsePos(t *testing.T) {
	for text, want := range map[string]feed.Pos{"0.0": {}, "17.3": {Seq: 17, N: 3}} {
		if p, ok := feed.ParsePos(text); !ok || p != want {
			t.Errorf("%s: %v, %v", text, p, ok)
		}
	}
	for _, text := range []string{"", "1", "1.", ".1", "a.1", "-1.0"} {
		if _, ok := feed.ParsePos(text); ok {
			t.Errorf("%q is taken for a position", text)
		}
	}
}

func BenchmarkFeed_Write(b *testing.B) {
	f := open(b, startServer(b, 0), nil)
	data := make([]byte, 400)
	b.ReportAllocs()
	seq := uint64(0)
	for b.Loop() {
		batch := f.Begin(b.Context())
		for range 1000 {
			seq++
			batch.Header("Qarion-Run", "01M84BFBV1N8Q6D2T4XW9B7C5E")
			if err := batch.Add(b.Context(), feed.Pos{Seq: seq}, fmt.Sprint("test.a.", seq%10), data); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
		batch.End()
	}
	b.ReportMetric(float64(seq)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkAsyncPublish is what Feed_Write is compared with: the same messages,
// each with an acknowledgement of its own.
func BenchmarkAsyncPublish(b *testing.B) {
	nc := startServer(b, 0)
	open(b, nc, nil)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 400)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		futures := make([]jetstream.PubAckFuture, 0, 1000)
		for range 1000 {
			n++
			f, err := js.PublishMsgAsync(&nats.Msg{Subject: fmt.Sprint("test.a.", n%10), Data: data, Header: nats.Header{
				feed.HeaderPos: {fmt.Sprint(n, ".0")}, "Qarion-Run": {"01M84BFBV1N8Q6D2T4XW9B7C5E"},
			}})
			if err != nil {
				b.Fatal(err)
			}
			futures = append(futures, f)
		}
		for _, f := range futures {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
}
