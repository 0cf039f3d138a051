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
	Written                            map[string]uint64 // by stream: messages since it was made
	Synced                             map[string]bool   // the streams whose every message is synced before it is acknowledged
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
		Messages: map[string]uint64{}, Bytes: map[string]uint64{}, Written: map[string]uint64{}, Synced: map[string]bool{},
	}
	if stats := v.JetStream.Stats; stats != nil {
		f.APIRequests, f.APIErrors = stats.API.Total, stats.API.Errors
	}
	detail, err := s.JszAccount(&server.JSzOptions{Account: accountEngine, Streams: true, Config: true})
	if err != nil {
		return nil, fmt.Errorf("ask JetStream: %w", err)
	}
	for i := range detail.Streams {
		stream := &detail.Streams[i]
		f.Written[stream.Name] = stream.State.LastSeq
		if c := stream.Config; c.Storage == server.FileStorage && c.PersistMode == server.DefaultPersistMode && b.cfg.SyncInterval == 0 {
			f.Synced[stream.Name] = true
		}
		f.Messages[stream.Name], f.Bytes[stream.Name] = stream.State.Msgs, stream.State.Bytes
	}
	return f, nil
}
