package web

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/qarion/qarion/engine"
)

var _ engine.Projection = (*Metrics)(nil)

// From says where the view begins: what the ledger holds already happened
// before this process and is not counted. It is called once, before the engine
// starts.
func (m *Metrics) From(last uint64) { m.at = engine.Pos{Seq: last, N: 1<<31 - 1} }

// Name implements engine.Projection.
func (m *Metrics) Name() string { return "metrics" }

// Position implements engine.Projection.
func (m *Metrics) Position(context.Context) (engine.Pos, error) { return m.at, nil }

// Mark implements engine.Projection: counters live as long as the process.
func (m *Metrics) Mark(context.Context, engine.Pos) error { return nil }

// flowMetrics are the series of a flow, so that counting looks nothing up.
type flowMetrics struct {
	started  prometheus.Counter
	runTime  prometheus.Observer
	callTime prometheus.Observer
	runs     map[engine.Status]prometheus.Counter
	tasks    map[engine.Status]prometheus.Counter
	attempts map[attemptLabels]prometheus.Counter
}

type attemptLabels struct {
	outcome engine.Outcome
	class   byte // first digit of the status; 0: there was no answer
}

// Project implements engine.Projection. It is called by one goroutine.
func (m *Metrics) Project(_ context.Context, changes []engine.Change) error {
	for i := range changes {
		c := &changes[i]
		if !m.at.Before(c.Pos) {
			continue // given a second time
		}
		m.at = c.Pos
		if c.Replay {
			continue
		}
		m.count(c)
	}
	return nil
}

func (m *Metrics) count(c *engine.Change) {
	switch c.Kind {
	case engine.RunRejected: // its flow may be any text
		m.rejected.Add(float64(1 + c.Untold))
	case engine.RunStarted:
		m.flow(c.Flow).started.Inc()
	case engine.RunDone:
		f := m.flow(c.Flow)
		f.run(m, c.Flow, c.Doc.Status).Inc()
		f.runTime.Observe(c.Doc.DurationMS / 1000)
	case engine.TaskClosed:
		m.flow(c.Flow).task(m, c.Flow, c.Status).Inc()
	case engine.AttemptDone:
		if c.Attempt.Outcome != engine.OutcomeStarted && !c.Superseded {
			m.countAttempt(c)
		}
	}
}

func (m *Metrics) countAttempt(c *engine.Change) {
	rec, f := c.Attempt, m.flow(c.Flow)
	f.attempt(m, c.Flow, attemptLabels{rec.Outcome, byte(rec.Status / 100)}).Inc()
	if rec.Outcome != engine.OutcomeDeferred && rec.Outcome != engine.OutcomeSkipped { // nothing was sent
		f.callTime.Observe(rec.End.Since(rec.Start) / 1000)
	}
	if rec.Class != "" && rec.Outcome != engine.OutcomeDeferred {
		m.failures.WithLabelValues(m.bound("class", rec.Class, maxClasses)).Inc()
	}
	if rec.Item > 0 { // it is no task
		return
	}
	switch rec.Outcome {
	case engine.OutcomeSuccess:
		f.task(m, c.Flow, engine.Success).Inc()
	case engine.OutcomeFailed:
		f.task(m, c.Flow, engine.Failed).Inc()
	case engine.OutcomeCancelled:
		f.task(m, c.Flow, engine.Cancelled).Inc()
	case engine.OutcomeSkipped:
		f.task(m, c.Flow, engine.Skipped).Inc()
	}
}

// flow are the series of a flow.
func (m *Metrics) flow(id engine.FlowID) *flowMetrics {
	f := m.flows[id]
	if f != nil {
		return f
	}
	if len(m.flows) >= maxFlows && id != Other {
		return m.flow(Other)
	}
	f = &flowMetrics{
		started: m.started.WithLabelValues(string(id)), runTime: m.runTime.WithLabelValues(string(id)), callTime: m.callTime.WithLabelValues(string(id)),
		runs: map[engine.Status]prometheus.Counter{}, tasks: map[engine.Status]prometheus.Counter{}, attempts: map[attemptLabels]prometheus.Counter{},
	}
	m.flows[id] = f
	return f
}

// label is what a flow's series are called.
func (m *Metrics) label(id engine.FlowID) string {
	if m.flows[id] == nil {
		return Other
	}
	return string(id)
}

func (f *flowMetrics) run(m *Metrics, id engine.FlowID, s engine.Status) prometheus.Counter {
	c := f.runs[s]
	if c == nil {
		c = m.runs.WithLabelValues(m.label(id), string(s))
		f.runs[s] = c
	}
	return c
}

func (f *flowMetrics) task(m *Metrics, id engine.FlowID, s engine.Status) prometheus.Counter {
	c := f.tasks[s]
	if c == nil {
		c = m.tasks.WithLabelValues(m.label(id), string(s))
		f.tasks[s] = c
	}
	return c
}

func (f *flowMetrics) attempt(m *Metrics, id engine.FlowID, l attemptLabels) prometheus.Counter {
	c := f.attempts[l]
	if c == nil {
		class := "none"
		if l.class > 0 {
			class = string('0'+rune(l.class)) + "xx"
		}
		c = m.attempts.WithLabelValues(m.label(id), string(l.outcome), class)
		f.attempts[l] = c
	}
	return c
}
