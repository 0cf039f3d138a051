package bus

import (
	"fmt"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/qarion/qarion/engine"
)

// Figures are those of the embedded server, since it started.
type Figures struct {
	Connections, Subscriptions         int
	SlowConsumers                      int64
	InMsgs, OutMsgs, InBytes, OutBytes int64
	APIRequests, APIErrors             uint64            // of JetStream
	Messages, Bytes                    map[string]uint64 // by stream
}

// Running reports whether the embedded server serves, and its store too.
func (b *Bus) Running() bool {
	s := b.server.Load()
	return s != nil && s.Running() && s.JetStreamEnabled()
}

// Figures says how the server is. engine.ErrUnavailable: it is not running.
func (b *Bus) Figures() (*Figures, error) {
	if !b.Running() {
		return nil, fmt.Errorf("%w: the NATS server is not running", engine.ErrUnavailable)
	}
	s := b.server.Load()
	v, err := s.Varz(nil)
	if err != nil {
		return nil, fmt.Errorf("ask the NATS server: %w", err)
	}
	f := &Figures{
		Connections: v.Connections, Subscriptions: int(v.Subscriptions), SlowConsumers: v.SlowConsumers,
		InMsgs: v.InMsgs, OutMsgs: v.OutMsgs, InBytes: v.InBytes, OutBytes: v.OutBytes,
		Messages: map[string]uint64{}, Bytes: map[string]uint64{},
	}
	if stats := v.JetStream.Stats; stats != nil {
		f.APIRequests, f.APIErrors = stats.API.Total, stats.API.Errors
	}
	detail, err := s.JszAccount(&server.JSzOptions{Account: accountEngine, Streams: true})
	if err != nil {
		return nil, fmt.Errorf("ask JetStream: %w", err)
	}
	for i := range detail.Streams {
		stream := &detail.Streams[i]
		f.Messages[stream.Name], f.Bytes[stream.Name] = stream.State.Msgs, stream.State.Bytes
	}
	return f, nil
}
