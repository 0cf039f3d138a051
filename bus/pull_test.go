package bus

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// largeMessages is a stream of messages, on a server that takes larger ones than
// a request may ask for.
func largeMessages(t *testing.T, sizes ...int) jetstream.Stream {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 4 * readAheadBytes, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, size := range sizes {
		data := make([]byte, size)
		data[0] = byte(i)
		if _, err := js.Publish(t.Context(), "s", data); err != nil {
			t.Fatal(err)
		}
	}
	return stream
}

// A reader that is slow has no more of a stream in memory than one request may
// bring: a view that begins with the ledger's first entry would have half a
// gigabyte otherwise.
func TestReadInOrder_TakesSoManyBytesAtATime(t *testing.T) {
	const size = 512 << 10
	sizes := make([]int, 40)
	for i := range sizes {
		sizes[i] = size
	}
	stream, most, got := largeMessages(t, sizes...), uint64(0), 0
	err := readInOrder(t.Context(), stream, &reading{from: 1}, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if m.Data()[0] != byte(got) {
			t.Errorf("message %d came as number %d", m.Data()[0], got)
		}
		if got++; got == 1 || got == 20 {
			ahead := delivered(t, stream) - meta.Sequence.Consumer
			most = max(most, ahead)
		}
		if got == len(sizes) {
			return errEnough
		}
		return nil
	})
	if err != nil || got != len(sizes) {
		t.Fatal(got, err)
	}
	if most == 0 || most > readAheadBytes/size {
		t.Errorf("%d messages of %d bytes were ahead of the reader", most, size)
	}
}

// delivered is how many messages the only consumer has sent when it sends no
// more.
func delivered(t *testing.T, stream jetstream.Stream) (n uint64) {
	t.Helper()
	still := 0
	for still < 20 {
		for info := range stream.ListConsumers(t.Context()).Info() {
			if info.Delivered.Consumer == n {
				still++
			} else {
				n, still = info.Delivered.Consumer, 0
			}
		}
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
	return n
}

// A message that is larger than a request may bring comes alone.
func TestReadInOrder_AMessageLargerThanARequest(t *testing.T) {
	stream, got := largeMessages(t, 10, 2*readAheadBytes, 10, 3*readAheadBytes, 3*readAheadBytes, 10), 0
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := readInOrder(ctx, stream, &reading{from: 1}, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		if m.Data()[0] != byte(got) {
			t.Errorf("message %d came as number %d", m.Data()[0], got)
		}
		if got++; got == 6 {
			return errEnough
		}
		return nil
	})
	if err != nil || got != 6 {
		t.Fatal(got, err)
	}
}

// Server and client count a request's bytes alike: were there a message in the
// air when the client has enough, it would be lost, and the reading begin anew.
func TestReadInOrder_RequestsMeetWithoutAGap(t *testing.T) {
	sizes := make([]int, 4000)
	for i := range sizes {
		sizes[i] = 1 + i*4111%9000
	}
	stream, got := largeMessages(t, sizes...), 0
	err := readInOrder(t.Context(), stream, &reading{from: 1, resume: func(context.Context) { t.Errorf("began anew after %d messages", got) }},
		func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
			if len(m.Data()) != sizes[got] {
				t.Fatalf("message %d has %d bytes, not %d", got, len(m.Data()), sizes[got])
			}
			if got++; got == len(sizes) {
				return errEnough
			}
			return nil
		})
	if err != nil || got != len(sizes) {
		t.Fatal(got, err)
	}
}
