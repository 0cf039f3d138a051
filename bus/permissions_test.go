package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/kvstore"
)

func TestPermissions_AStrangerStartsAsksAndReads(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	put(t, n.Node, flow("orders", nil, "a"))
	nc := n.stranger(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}

	done, err := nc.SubscribeSync("qarion.event.orders.run.done")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "qarion.trigger.orders", []byte(`{"customer":7}`)); err != nil {
		t.Fatalf("trigger: %v", err)
	}
	m, err := done.NextMsg(10 * time.Second)
	if err != nil {
		t.Fatalf("the end of the run: %v", err)
	}
	run := m.Header.Get("Qarion-Run")

	for subject, payload := range map[string]string{
		"qarion.api.run.get": run, "qarion.api.run.list": "", "qarion.api.flow.list": "", "qarion.api.flow.get": "orders",
		"qarion.api.xcom.get": run + " a", "qarion.api.node.status": "", "qarion.api.run.start": `{"flow":"orders"}`, "$SRV.INFO.qarion": "",
	} {
		m, err := nc.Request(subject, []byte(payload), 5*time.Second)
		if err != nil || m.Header.Get("Nats-Service-Error") != "" {
			t.Errorf("%s: %v %v", subject, m, err)
		}
	}
	for _, bucket := range []string{kvstore.BucketXCom, kvstore.BucketRuns} {
		kv, err := js.KeyValue(t.Context(), bucket)
		if err != nil {
			t.Fatalf("open bucket %s: %v", bucket, err)
		}
		keys, err := kv.Keys(t.Context())
		if err != nil || len(keys) == 0 {
			t.Errorf("keys of %s: %v, %v", bucket, keys, err)
			continue
		}
		if _, err := kv.Get(t.Context(), keys[0]); err != nil {
			t.Errorf("%s of %s: %v", keys[0], bucket, err)
		}
	}
	stream, err := js.Stream(t.Context(), "QARION_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	c, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{"qarion.log.>"}})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := c.Next(); err != nil || m.Headers().Get("Qarion-Run") != run {
		t.Errorf("replay: %v, %v", m, err)
	}
}

// refused reports whether the server told a client that it may not.
func refused(t *testing.T, n *fullNode, do func(nc *nats.Conn)) bool {
	t.Helper()
	violations := make(chan error, 16)
	nc, err := nats.Connect(n.Bus.Access().URL, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case violations <- err:
		default:
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	do(nc)
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-violations:
		return errors.Is(err, nats.ErrPermissionViolation)
	case <-time.After(2 * time.Second):
		return false
	}
}

func TestPermissions_AStrangerCannotForgeOrListen(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	for _, subject := range []string{
		"qarion.flow.orders", "qarion.submit.local", "qarion.attempt.local", "qarion.control.x", "qarion.install",
		"qarion.checkpoint.1.0", "qarion.lost", "qarion.ready.default", "qarion.lead.1", "qarion.log.orders.a", "qarion.event.orders.run.done",
		"qarion.position.events", "qarion.admin.flow.run", "qarion.admin.breaker.list", "qarion.trigger.a.b", "anything",
		"$KV.qarion_xcom.a.b", "$KV.qarion_runs.a", "$KV.qarion_credentials.a", "$O.qarion_blobs.M.x",
		"$JS.API.STREAM.DELETE.QARION_EVENTS", "$JS.API.STREAM.PURGE.QARION_LEDGER", "$JS.API.STREAM.CREATE.X",
		"$JS.API.STREAM.UPDATE.QARION_EVENTS", "$JS.API.STREAM.MSG.DELETE.QARION_EVENTS", "$JS.API.STREAM.INFO.QARION_LEDGER",
		"$JS.API.STREAM.MSG.GET.QARION_LEDGER", "$JS.API.DIRECT.GET.QARION_LEDGER", "$JS.API.CONSUMER.CREATE.QARION_LEDGER",
		"$JS.API.CONSUMER.MSG.NEXT.QARION_READY.workers", "$JS.API.STREAM.MSG.GET.KV_qarion_credentials", "$SYS.REQ.SERVER.PING",
		"_QARION.x.y", "qarion.guard.QARION_EVENTS",
	} {
		t.Run("publish "+subject, func(t *testing.T) {
			t.Parallel()
			if !refused(t, n, func(nc *nats.Conn) { _ = nc.Publish(subject, []byte(`{}`)) }) {
				t.Error("it was taken")
			}
		})
	}
	for _, subject := range []string{
		">", "qarion.>", "qarion.submit.*", "qarion.attempt.*", "qarion.trigger.*", "qarion.api.>", "qarion.admin.>", "_QARION.>", "$JS.>", "$KV.>",
	} {
		t.Run("subscribe "+subject, func(t *testing.T) {
			t.Parallel()
			if !refused(t, n, func(nc *nats.Conn) { _, _ = nc.SubscribeSync(subject) }) {
				t.Error("it was taken")
			}
		})
	}
}

// TestPermissions_NoAnswerIsWrittenIntoAStream asks with the subject of a
// stream, or of the stream API, as the place for the answer.
func TestPermissions_NoAnswerIsWrittenIntoAStream(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	put(t, n.Node, flow("orders", nil, "a"))
	n.finish(t, "orders")
	last := func() string {
		js := n.Bus.JetStream()
		var text string
		for _, name := range []string{"QARION_LEDGER", "KV_qarion_xcom", "QARION_EVENTS"} {
			s, err := js.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			st := s.CachedInfo().State
			text += fmt.Sprint(name, " ", st.FirstSeq, "-", st.LastSeq, " ", st.Msgs, "; ")
		}
		return text
	}
	before := last()
	nc := n.stranger(t)
	for _, reply := range []string{
		"qarion.attempt.local", "qarion.trigger.orders", "$KV.qarion_xcom.forged.a",
		"$JS.API.STREAM.PURGE.QARION_LEDGER", "$JS.API.STREAM.DELETE.KV_qarion_xcom",
	} {
		// An empty answer, which the stream API takes for a request.
		if err := nc.PublishRequest("$JS.API.DIRECT.GET.QARION_EVENTS", reply, []byte(`{"seq":999999}`)); err != nil {
			t.Fatal(err)
		}
		for _, subject := range []string{"qarion.api.flow.list", "qarion.api.run.get", "$SRV.PING", "$JS.API.INFO", "$JS.API.STREAM.INFO.QARION_EVENTS", "$JS.API.DIRECT.GET.QARION_EVENTS"} {
			payload := `{"seq":1}`
			if subject == "$SRV.PING" || subject == "$JS.API.INFO" || subject == "qarion.api.flow.list" {
				payload = ""
			}
			if err := nc.PublishRequest(subject, reply, []byte(payload)); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := nc.Request("qarion.api.flow.list", nil, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if after := last(); after != before {
			t.Errorf("answers to %s were written: %s, before %s", reply, after, before)
			before = after
		}
	}
}

func TestPermissions_AStrangersConsumerIsBounded(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	nc := n.stranger(t)
	for name, c := range map[string]struct {
		config string
		ok     bool
	}{
		"pull":       {`"ack_policy":"none"`, true},
		"push":       {`"ack_policy":"none","deliver_subject":"_INBOX.abc"`, true},
		"ledger":     {`"ack_policy":"none","deliver_subject":"qarion.attempt.local"`, false},
		"stream API": {`"ack_policy":"none","headers_only":true,"deliver_subject":"$JS.API.STREAM.DELETE.QARION_LEDGER"`, false},
		"wide inbox": {`"ack_policy":"none","deliver_subject":"_INBOX.>"`, false},
		"sampled":    {`"ack_policy":"explicit","sample_freq":"100"`, false},
		"no JSON":    {`}`, false},
		"durable":    {`"ack_policy":"explicit","name":"d","durable_name":"d"`, true},
	} {
		req := `{"stream_name":"QARION_EVENTS","config":{"deliver_policy":"all",` + c.config + `}}`
		subject := "$JS.API.CONSUMER.CREATE.QARION_EVENTS"
		if name == "durable" {
			subject += ".d"
		}
		m, err := nc.Request(subject, []byte(req), 5*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var answer struct {
			Error  *struct{ Description string } `json:"error"`
			Config struct {
				Inactive time.Duration `json:"inactive_threshold"`
				Memory   bool          `json:"mem_storage"`
			} `json:"config"`
		}
		if err := json.Unmarshal(m.Data, &answer); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if (answer.Error == nil) != c.ok {
			t.Errorf("%s: %s", name, m.Data)
		}
		if c.ok && (!answer.Config.Memory || answer.Config.Inactive <= 0 || answer.Config.Inactive > 5*time.Minute) {
			t.Errorf("%s: the consumer stays: %+v", name, answer.Config)
		}
	}
}

// errorsLogged counts what is logged as an error.
type errorsLogged struct {
	slog.Handler
	n       atomic.Int64
	refused chan struct{} // gets something for every refusal that is logged
}

func (h *errorsLogged) Enabled(context.Context, slog.Level) bool { return true }

func (h *errorsLogged) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		h.n.Add(1)
	}
	if strings.Contains(r.Message, "Violation") {
		select {
		case h.refused <- struct{}{}:
		default:
		}
	}
	return nil
}

func TestPermissions_RefusalsAreNoErrorsOfTheNode(t *testing.T) {
	log := &errorsLogged{Handler: slog.DiscardHandler, refused: make(chan struct{}, 1)}
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", SyncInterval: time.Minute, Log: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	nc, err := nats.Connect(b.Access().URL, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("$JS.API.STREAM.DELETE.QARION_LEDGER", nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-log.refused:
	case <-time.After(10 * time.Second):
		t.Fatal("the refusal was not logged at all")
	}
	if n := log.n.Load(); n != 0 {
		t.Errorf("%d errors were logged", n)
	}
}
