package bus

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/engine"
)

// subjectGuard is where requests of strangers to make a consumer arrive:
// <stream>[.<name>[.<filter>]], as behind $JS.API.CONSUMER.CREATE.
const subjectGuard = "qarion.guard."

// Bounds of a stranger's consumer.
const (
	guardIdle    = 5 * time.Minute // it is gone when nobody has read for so long
	guardRequest = 16 << 10        // bytes
	guardTimeout = 5 * time.Second
)

// serveGuard lets strangers make consumers, which is how a stream is followed,
// but only such that leave nothing behind. A consumer delivers to any subject,
// with the server's rights: it could otherwise be told to write into the
// ledger, or to delete it.
func (b *Bus) serveGuard() error {
	nc, err := b.Connect("guard")
	if err != nil {
		return err
	}
	b.extra = append(b.extra, nc)
	for _, subject := range publicCreates() {
		// One request after another: nobody needs many consumers a second.
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) { b.guard(nc, m) }); err != nil {
			return fmt.Errorf("guard the making of consumers: %w", err)
		}
	}
	return nc.Flush()
}

func (b *Bus) guard(nc *nats.Conn, m *nats.Msg) {
	answer, err := guarded(m.Data)
	if err == nil {
		var reply *nats.Msg
		subject := "$JS.API.CONSUMER.CREATE." + strings.TrimPrefix(m.Subject, subjectGuard)
		if reply, err = nc.Request(subject, answer, guardTimeout); err == nil {
			answer = reply.Data
		}
	}
	if err != nil {
		answer = refusal(err)
	}
	if err := m.Respond(answer); err != nil {
		b.log.Debug("an answer did not reach its caller", engine.LogErr, err)
	}
}

// guarded checks a request to make a consumer and bounds what it asks for.
func guarded(data []byte) ([]byte, error) {
	var req server.CreateConsumerRequest
	if len(data) > guardRequest {
		return nil, fmt.Errorf("the request is larger than %d bytes", guardRequest)
	}
	if err := json.Unmarshal(data, &req); err != nil {
		return nil, fmt.Errorf("the request is not valid JSON: %w", err)
	}
	c := &req.Config
	switch {
	case c.DeliverSubject != "" && !isInboxSubject(c.DeliverSubject):
		return nil, fmt.Errorf("without a login a consumer delivers to an inbox (_INBOX.) alone")
	case c.SampleFrequency != "" || c.Direct:
		return nil, fmt.Errorf("without a login a consumer has no sampling and is not direct")
	}
	// One that is called durable (the nats tool does) goes as well: it is the
	// time without a reader that counts.
	c.MemoryStorage, c.Replicas = true, 1
	if c.InactiveThreshold <= 0 || c.InactiveThreshold > guardIdle {
		c.InactiveThreshold = guardIdle
	}
	return json.Marshal(&req)
}

// isInboxSubject reports whether a subject is one inbox.
func isInboxSubject(subject string) bool {
	return strings.HasPrefix(subject, "_INBOX.") && !strings.ContainsAny(subject, "*> \t\r\n")
}

// refusal is an error in the form of the JetStream API.
func refusal(err error) []byte {
	answer, _ := json.Marshal(map[string]any{ // of strings and numbers: cannot fail
		"type":  "io.nats.jetstream.api.v1.consumer_create_response",
		"error": map[string]any{"code": 403, "err_code": 10000, "description": err.Error()},
	})
	return answer
}
