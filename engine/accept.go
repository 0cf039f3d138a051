package engine

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The headers of a trigger message. Any other that starts with Qarion- is
// refused, so that a mistyped one is not silently ignored.
const (
	HeaderBatchID       = "Qarion-Batch-Id"
	HeaderExecutionDate = "Qarion-Execution-Date"
	HeaderTriggerID     = "Qarion-Trigger-Id"
	HeaderTriggerType   = "Qarion-Trigger-Type"
	HeaderMsgID         = "Nats-Msg-Id"
)

// maxTriggerText bounds trigger ids, types and caller keys, in bytes.
const maxTriggerText = 256

// contextNames are the names of the template context that no variable may take.
var contextNames = []string{"batch_id", "execution_date", "flow_id", "node_id", "run_id", "attempt"}

// dateNames are names of the template context that Airflow has as well, for the
// execution date. They are not reserved: a flow's own variable of the name
// counts.
var dateNames = map[string]string{"ds": "2006-01-02", "ds_nodash": "20060102", "ts": "2006-01-02T15:04:05Z07:00", "ts_nodash": "20060102T150405"}

// ReservedName reports whether a name belongs to the template context, so that
// no variable may have it.
func ReservedName(name string) bool {
	for _, c := range contextNames {
		if name == c {
			return true
		}
	}
	return strings.HasPrefix(name, "xcom_") || strings.HasPrefix(name, "resp_")
}

// Submission is the submit record that a client's trigger becomes: the run, or
// the reason why there can be none. Its run id follows from the installation
// and its place, so that it is the same however often it is taken.
func (t *Trigger) Submission(installation string) *SubmitRecord {
	id := DeriveRunID(t.Stored.Time(), installation, t.Place.Seq)
	rec, err := SubmitOf(&t.TriggerRecord, id)
	if err != nil {
		flow := strings.ToValidUTF8(t.Flow[:min(len(t.Flow), MaxID)], "")
		rec = &SubmitRecord{Run: id, Flow: FlowID(flow), Refused: strings.ToValidUTF8(err.Error(), "?")}
	}
	rec.From, rec.Stored = t.Place, t.Stored
	return rec
}

// SubmitOf reads a trigger that a client published, into the form that a node
// would have submitted. All of it is untrusted.
func SubmitOf(t *TriggerRecord, id RunID) (*SubmitRecord, error) {
	flow, err := ParseFlowID(t.Flow)
	if err != nil {
		return nil, err
	}
	s := &SubmitRecord{Run: id, Flow: flow, TriggerType: "nats"}
	if t.Size > MaxTriggerPayload {
		return nil, fmt.Errorf("payload of %d bytes is larger than %d", t.Size, MaxTriggerPayload)
	}
	s.Variables = t.Payload
	s.Trace = TraceOf(func(name string) string { return t.Headers[name] })
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) { // sorted: the same reason on every replay
		if IsTraceHeader(name) {
			continue // a wrong one is no reason to refuse
		}
		if err := s.setHeader(name, t.Headers[name]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *SubmitRecord) setHeader(name, v string) error {
	if len(v) > maxTriggerText {
		return fmt.Errorf("header %s is longer than %d bytes", name, maxTriggerText)
	}
	if !utf8.ValidString(v) {
		return fmt.Errorf("header %s is not UTF-8 text", name)
	}
	switch name {
	case HeaderBatchID:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return fmt.Errorf("header %s: %q is not an integer", name, v)
		}
		s.BatchID, s.HasBatchID = n, true
	case HeaderExecutionDate:
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			return fmt.Errorf("header %s: %q is not an RFC 3339 time such as 2026-01-31T06:00:00Z", name, v)
		}
		s.ExecutionDate = At(t)
	case HeaderTriggerID:
		s.TriggerID = v
	case HeaderTriggerType:
		s.TriggerType = v
	case HeaderMsgID:
		s.DedupeID = v
	default:
		if strings.HasPrefix(strings.ToLower(name), "qarion-") {
			return fmt.Errorf("unknown header %s (there are %s, %s, %s, %s)", name,
				HeaderBatchID, HeaderExecutionDate, HeaderTriggerID, HeaderTriggerType)
		}
	}
	return nil
}
