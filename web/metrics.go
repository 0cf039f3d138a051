package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/qarion/qarion/engine"
)

// Metrics are the figures of /metrics. What runs and attempts do it counts as a
// view of the ledger (metrics_view.go), beside the way of a task; how the node
// is it asks when it is asked (metrics_node.go).
type Metrics struct {
	registry *prometheus.Registry
	at       engine.Pos

	started   *prometheus.CounterVec
	runs      *prometheus.CounterVec
	runTime   *prometheus.HistogramVec
	tasks     *prometheus.CounterVec
	attempts  *prometheus.CounterVec
	callTime  *prometheus.HistogramVec
	failures  *prometheus.CounterVec
	rejected  prometheus.Counter
	hookCalls *prometheus.CounterVec
	hookTime  *prometheus.HistogramVec
	requests  *prometheus.CounterVec
	reqTime   *prometheus.HistogramVec

	flows map[engine.FlowID]*flowMetrics // of the view's goroutine
	mu    sync.Mutex
	names map[string]*bounded // label -> the values that it may have
}

// maxFlows bounds the flows that have series of their own; the others share
// one, named Other.
const maxFlows = 1000

// maxHooks, maxClasses and maxHosts bound the other labels that a flow file or
// an answer may have named.
const (
	maxHooks   = 200
	maxClasses = 50
	maxHosts   = 100
)

// Other is the label of what is too much to have series of its own.
const Other = "_other"

// The buckets: an attempt takes milliseconds to minutes, a run up to days.
var (
	attemptBuckets = [...]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}
	runBuckets     = [...]float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600, 21600, 86400}
	hookBuckets    = [...]float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1}
	requestBuckets = [...]float64{.001, .005, .01, .05, .1, .5, 1, 5, 30, 60}
)

// NewMetrics makes an empty set.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), flows: map[engine.FlowID]*flowMetrics{}, names: map[string]*bounded{}}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(h)
		return h
	}
	m.started = counter("qarion_runs_started_total", "Runs that were started.", "flow")
	m.runs = counter("qarion_runs_total", "Runs that have ended, by how.", "flow", "status")
	m.runTime = histogram("qarion_run_duration_seconds", "From the trigger to the end of a run.", runBuckets[:], "flow")
	m.tasks = counter("qarion_tasks_total", "Tasks that have ended, by how.", "flow", "status")
	m.attempts = counter("qarion_attempts_total", "Attempts that were made, by how they ended and the class of the answer's status.", "flow", "outcome", "status_class")
	m.callTime = histogram("qarion_attempt_duration_seconds", "How long attempts took.", attemptBuckets[:], "flow")
	m.failures = counter("qarion_attempt_failures_total", "Attempts that failed, by the class of the error.", "class")
	m.hookCalls = counter("qarion_hook_calls_total", "Calls of hooks, by how they ended.", "hook", "outcome")
	m.hookTime = histogram("qarion_hook_duration_seconds", "How long calls of hooks took.", hookBuckets[:], "hook")
	m.requests = counter("qarion_http_requests_total", "Requests to this door.", "route", "method", "status")
	m.reqTime = histogram("qarion_http_request_duration_seconds", "How long requests to this door took, with what they waited for.", requestBuckets[:], "route")
	m.rejected = prometheus.NewCounter(prometheus.CounterOpts{Name: "qarion_triggers_rejected_total", Help: "Triggers that were refused."})
	m.registry.MustRegister(m.rejected, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// HookCalled counts a call of a hook: its name, how it ended in a word, and how
// long it took. It may be called by many at once.
func (m *Metrics) HookCalled(hook, outcome string, took time.Duration) {
	hook = m.bound("hook", hook, maxHooks)
	m.hookCalls.WithLabelValues(hook, m.bound("outcome", outcome, maxClasses)).Inc()
	m.hookTime.WithLabelValues(hook).Observe(took.Seconds())
}

// answered counts a request to the door. The route is the pattern, so that no
// path of a stranger becomes a label.
func (m *Metrics) answered(method, pattern string, status int, took time.Duration) {
	if _, path, found := strings.Cut(pattern, " "); found {
		pattern = path
	}
	if pattern == "" {
		pattern, method = Other, Other
	}
	m.requests.WithLabelValues(pattern, method, strconv.Itoa(status)).Inc()
	m.reqTime.WithLabelValues(pattern).Observe(took.Seconds())
}

// bounded are the values of a label.
type bounded struct{ values map[string]bool }

// bound is the value itself, or Other when the label has as many as it may.
func (m *Metrics) bound(label, v string, max int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.names[label]
	if b == nil {
		b = &bounded{map[string]bool{}}
		m.names[label] = b
	}
	if !b.values[v] {
		if len(b.values) >= max {
			return Other
		}
		b.values[v] = true
	}
	return v
}

// showMetrics answers /metrics.
func (s *Server) showMetrics(w http.ResponseWriter, r *http.Request) {
	who, err := s.caller(r)
	if err == nil && !who.Role.May(engine.RoleViewer) {
		err = who.MayCall(engine.Endpoint{Name: "metrics", Role: engine.RoleViewer})
	}
	if err != nil {
		refuse(w, err)
		return
	}
	done := s.conns.answering(r.Context())
	defer done()
	ctx, cancel := context.WithTimeout(r.Context(), scrapeTime)
	defer cancel()
	registry := prometheus.Gatherers{s.metrics.registry, s.gatherer(s.nodeFigures(ctx))}
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}).ServeHTTP(w, r)
}

// scrapeTime bounds what a scrape waits for the node; without it the figures
// that need the node are missing, and qarion_ready is 0.
const scrapeTime = 5 * time.Second
