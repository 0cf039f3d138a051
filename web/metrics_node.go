package web

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/qarion/qarion/engine"
)

// figuresFor is how long the node's figures are shown before it is asked
// again, however many ask.
const figuresFor = time.Second

// nodeFigures asks the node how it is; nil when it does not say in time.
func (s *Server) nodeFigures(ctx context.Context) (*Figures, bool) {
	b, err := s.node()
	if err != nil {
		return nil, false
	}
	s.figures.Lock()
	defer s.figures.Unlock()
	if s.shown == nil || time.Since(s.shownAt) > figuresFor {
		f, err := b.Figures(ctx)
		if err != nil {
			s.log.Debug("the node does not tell its figures", engine.LogErr, err)
			return nil, false
		}
		s.shown, s.shownAt = f, time.Now()
	}
	return s.shown, b.NotReady(ctx) == ""
}

// gauges are the metrics of a moment.
type gauges struct {
	figures *Figures
	ready   bool
	conns   int
	version string
}

// Describe implements prometheus.Collector: what there is depends on the
// moment.
func (g *gauges) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	e := emitter(out)
	e.gauge("qarion_ready", "1 when the node takes work.", flag(g.ready))
	e.gauge("qarion_http_connections", "Connections to this door.", float64(g.conns))
	e.gauge("qarion_info", "The version of the program.", 1, "version", g.version)
	if g.figures == nil {
		return
	}
	e.status(&g.figures.Status)
	e.breakers(g.figures)
	e.store(&g.figures.Store)
	e.nats(&g.figures.NATS)
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// emitter sends metrics with their labels as pairs.
type emitter chan<- prometheus.Metric

func (e emitter) send(kind prometheus.ValueType, name, help string, v float64, labels []string) {
	names, values := make([]string, 0, 2), make([]string, 0, 2)
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	e <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, v, values...)
}

func (e emitter) gauge(name, help string, v float64, labels ...string) {
	e.send(prometheus.GaugeValue, name, help, v, labels)
}

func (e emitter) counter(name, help string, v float64, labels ...string) {
	e.send(prometheus.CounterValue, name, help, v, labels)
}

func (e emitter) status(st *engine.NodeStatus) {
	e.gauge("qarion_slots", "Attempts that may be made at a time.", float64(st.Slots))
	e.gauge("qarion_slots_busy", "Attempts that are being made.", float64(st.InFlight))
	e.gauge("qarion_tasks_ready", "Tasks that wait for a slot.", float64(st.ReadyTasks))
	e.gauge("qarion_tasks_waiting", "Tasks that wait for a retry or another time.", float64(st.Waiting))
	e.gauge("qarion_tasks_interrupted", "Tasks that wait for a person.", float64(st.InterruptedTasks))
	host, short := 0, 0
	for key, n := range st.Parked {
		if strings.HasPrefix(key, engine.NodeShort) {
			short += n
		} else {
			host += n
		}
	}
	const parked = "Tasks that wait for a breaker or a pause of a host, or for what the node itself lacks."
	e.gauge("qarion_tasks_parked", parked, float64(host), "for", "host")
	e.gauge("qarion_tasks_parked", parked, float64(short), "for", "node")
	e.gauge("qarion_runs_open", "Runs that have not ended.", float64(st.OpenRuns))
	e.gauge("qarion_triggers_waiting", "Triggers that clients have published and that are no runs yet.", float64(st.Triggers))
	e.gauge("qarion_ledger_sequence", "The last ledger entry that was taken.", float64(st.LedgerSeq))
	e.gauge("qarion_ledger_bad_records", "Records of the ledger that cannot be read.", float64(st.BadRecords))
	for _, v := range st.Views {
		e.gauge("qarion_view_behind_entries", "Ledger entries that a view does not show yet.", float64(v.Behind), "view", v.View)
		e.gauge("qarion_view_failing", "1 when a view could not take what it was given last.", flag(v.Problem != ""), "view", v.View)
	}
}

func (e emitter) breakers(f *Figures) {
	for _, state := range [...]string{"closed", "half_open", "open"} {
		e.gauge("qarion_breakers", "Circuit breakers, by state.", float64(f.Breakers[state]), "state", state)
	}
	for i, host := range f.Open {
		if i == maxHosts {
			break
		}
		e.gauge("qarion_breaker_open", "1 for a host whose breaker lets no calls through, or one to try.", 1, "breaker", host)
	}
}

func (e emitter) store(s *StoreFigures) {
	e.gauge("qarion_store_used_bytes", "What the store has taken.", float64(s.Used))
	e.gauge("qarion_store_limit_bytes", "What the store may take: it follows the free space of its disk.", float64(s.Limit))
	e.gauge("qarion_store_full", "1 when the store takes no more.", flag(s.Full))
	e.gauge("qarion_store_broken", "1 when a write has failed and the store waits to be opened again.", flag(s.Broken))
	if s.Free >= 0 {
		e.gauge("qarion_disk_free_bytes", "What is free on the store's disk.", float64(s.Free))
	}
}

func (e emitter) nats(n *NATSFigures) {
	e.gauge("qarion_nats_connections", "Connections to the embedded NATS server, its own included.", float64(n.Connections))
	e.gauge("qarion_nats_subscriptions", "Subscriptions of the embedded NATS server.", float64(n.Subscriptions))
	e.counter("qarion_nats_slow_consumers_total", "Clients that were too slow to read.", float64(n.SlowConsumers))
	const msgs, bytes = "Messages of the embedded NATS server.", "Bytes of the embedded NATS server's messages."
	e.counter("qarion_nats_messages_total", msgs, float64(n.InMsgs), "direction", "in")
	e.counter("qarion_nats_messages_total", msgs, float64(n.OutMsgs), "direction", "out")
	e.counter("qarion_nats_bytes_total", bytes, float64(n.InBytes), "direction", "in")
	e.counter("qarion_nats_bytes_total", bytes, float64(n.OutBytes), "direction", "out")
	e.counter("qarion_nats_jetstream_requests_total", "Requests to JetStream.", float64(n.JetStreamAPIRequests))
	e.counter("qarion_nats_jetstream_errors_total", "Requests to JetStream that failed.", float64(n.JetStreamErrs))
	for stream, v := range n.StreamMessages {
		e.gauge("qarion_stream_messages", "Messages in a stream.", float64(v), "stream", stream)
		e.gauge("qarion_stream_bytes", "Bytes of a stream.", float64(n.StreamBytes[stream]), "stream", stream)
	}
}

// gatherer has the metrics of a moment.
func (s *Server) gatherer(figures *Figures, ready bool) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(&gauges{figures, ready, s.conns.count(), s.cfg.Version})
	return r
}
