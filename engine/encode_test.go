package engine

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/internal/value"
)

// generic decodes JSON into maps, so that two spellings of one text compare
// equal.
func generic(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func fullRunDoc() *RunDoc {
	history := []AttemptDoc{
		{Attempt: 1, Status: "retry", StartTime: "s", EndTime: "e", StatusCode: 503, Message: "a \"b\" <c>\n\u2028", RetryAt: "r", Reason: "Retry-After"},
		{Turn: 1, Attempt: 2, Status: "failed", StartTime: "s", EndTime: "e"},
	}
	return &RunDoc{
		RunID: "01M84BFBV1N8Q6D2T4XW9B7C5E", FlowID: "orders", FlowVersion: "abc", File: "flows/orders.toml", Environment: "prod",
		Status: Failed, Final: true, BatchID: 42, ExecutionDate: "2026-01-02T03:04:05.000Z", TriggerType: "api", TriggerID: "x", RerunOf: "01M84BFBV1N8Q6D2T4XW9B7C5D", Root: "01M84BFBV1N8Q6D2T4XW9B7C5C",
		Variables: value.MapOf("customer", int64(7), "list", []any{1.5, nil, "ü"}),
		StartTime: "a", EndTime: "b", DurationMS: 12.345, Counts: map[Status]int{Success: 1, Failed: 1}, Calls: 3, Rows: 12,
		Tasks: []TaskDoc{
			{TaskID: "a", Status: Success, Operation: "get", Attempts: 1, StatusCode: 200, StartTime: "s", EndTime: "e", DurationMS: 0.5, Note: "POST became GET", Line: 3, KeptFrom: "01M84BFBV1N8Q6D2T4XW9B7C5D"},
			{TaskID: "b", Status: Failed, Turns: 2, Attempts: 2, History: history, NotBefore: "n", Reason: "x", Items: &ItemsDoc{Total: 5, Success: 1, Failed: 1, Skipped: 1, Running: 1, Interrupted: 1, Failures: []ItemFailure{{Item: 2, Class: "status", Message: "422", StatusCode: 422, Attempts: 3}, {Item: 3, Interrupted: true}}}},
		},
		Waiting: &TaskDoc{TaskID: "c", Status: Waiting, Attempts: 2, NotBefore: "n", Awaits: "signal paid", Reason: "y"},
		Error: &RunError{
			TaskID: "b", Class: "status", Message: "m", Method: "GET", URL: "http://x/?a=1&b=<2>", StatusCode: 422,
			ResponseExcerpt: "{}", Attempts: history, Details: json.RawMessage(`{"method":"GET"}`),
		},
		XCom:     map[TaskID]any{"a": json.RawMessage(`{"id":1}`), "b": "text"},
		Warnings: []string{"variable \"x\" is not declared", "<b>"},
	}
}

func TestRunDoc_AppendJSONWritesWhatItsTagsSay(t *testing.T) {
	for name, doc := range map[string]*RunDoc{
		"full":  fullRunDoc(),
		"small": {RunID: "r", FlowID: "f", Status: Running, Tasks: []TaskDoc{}, Counts: map[Status]int{}},
	} {
		got, err := doc.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(generic(t, got), generic(t, want)) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
		var back RunDoc
		if err := json.Unmarshal(got, &back); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRunDoc_NoFieldIsForgotten fails when a type gets a field that the
// encoder does not know.
func TestRunDoc_NoFieldIsForgotten(t *testing.T) {
	for _, v := range []any{*fullRunDoc(), fullRunDoc().Tasks[0], *fullRunDoc().Error, AttemptDoc{}, ItemsDoc{}, ItemFailure{}} {
		typ := reflect.TypeOf(v)
		want := map[string]int{"RunDoc": 25, "TaskDoc": 17, "RunError": 9, "AttemptDoc": 9, "ItemsDoc": 7, "ItemFailure": 6}[typ.Name()]
		if typ.NumField() != want {
			t.Errorf("%s has %d fields, the encoder in encode.go was written for %d", typ.Name(), typ.NumField(), want)
		}
	}
}

func TestRunDoc_SummaryLeavesOutTasksAndAttempts(t *testing.T) {
	text, err := fullRunDoc().AppendSummary(nil)
	if err != nil {
		t.Fatal(err)
	}
	m := generic(t, text).(map[string]any)
	if _, ok := m["tasks"]; ok {
		t.Error("a summary has tasks")
	}
	e := m["error"].(map[string]any)
	if e["message"] != "m" || e["attempts"] != nil || e["details"] != nil {
		t.Errorf("error of a summary: %v", e)
	}
}

func TestAttemptRecord_AppendOperationWritesWhatItsTagsSay(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)
	rec := &AttemptRecord{
		AttemptKey: AttemptKey{Run: "01M84BFBV1N8Q6D2T4XW9B7C5E", Task: "get-user", Generation: 1, Attempt: 2, Dispatch: 3, Turn: 4},
		Flow:       "orders", Outcome: OutcomeSuccess, Start: At(start), End: At(start.Add(1500 * time.Microsecond)),
		Type: "api_call", Subtype: "get", Worker: "local", BatchID: 9, Details: []byte(`{"method":"GET","status_code":200}`),
	}
	want, err := json.Marshal(Operation{
		OperationID: rec.OperationID(), OperationType: "api_call", OperationSubtype: "get", ExecutionID: rec.Run, FlowID: "orders",
		TaskID: "get-user", Turn: 4, Attempt: 2, BatchID: 9, Status: "success", Success: true, StartTime: "2026-01-02T03:04:05.678Z",
		EndTime: "2026-01-02T03:04:05.680Z", DurationMS: 1.5, Details: rec.Details, Worker: "local", Superseded: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := rec.AppendOperation(nil, true)
	if !reflect.DeepEqual(generic(t, got), generic(t, want)) {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if want := "01M84BFBV1N8Q6D2T4XW9B7C5E.get-user.0.1.2.3.t4"; rec.OperationID() != want {
		t.Errorf("operation id %s, want %s", rec.OperationID(), want)
	}
}

func TestRunID_TimeIsThatOfItsMaking(t *testing.T) {
	at := time.Date(2026, 11, 23, 14, 3, 5, 123_000_000, time.UTC)
	if got := RunIDs()(at).Time(); !got.Equal(at) {
		t.Errorf("got %s, want %s", got, at)
	}
}

func TestFindRun_RefusesWhatNamesNoRun(t *testing.T) {
	for _, name := range []string{"", "abc", "last2", "01M84BFBV1N8Q6D2T4XW9B7C5EXX", "a.b*", "UUUU"} {
		if _, err := FindRun(t.Context(), nil, name); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	id, err := FindRun(t.Context(), nil, strings.ToLower("01M84BFBV1N8Q6D2T4XW9B7C5E"))
	if err != nil || id != "01M84BFBV1N8Q6D2T4XW9B7C5E" {
		t.Errorf("lower case: %s, %v", id, err)
	}
}

func BenchmarkAttemptRecord_AppendOperation(b *testing.B) {
	rec := &AttemptRecord{
		AttemptKey: AttemptKey{Run: "01M84BFBV1N8Q6D2T4XW9B7C5E", Task: "get", Attempt: 1}, Flow: "orders", Outcome: OutcomeSuccess,
		Start: At(time.Now()), End: At(time.Now()), Type: "api_call", Subtype: "get", Worker: "local",
		Details: []byte(`{"method":"GET","url":"http://127.0.0.1:8080/x","status_code":200,"response_bytes":200}`),
	}
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = rec.AppendOperation(buf[:0], false)
	}
}

func TestRunDoc_AppendWithinKeepsWhatWentWrong(t *testing.T) {
	doc := fullRunDoc()
	for range 500 {
		doc.Tasks = append(doc.Tasks, TaskDoc{TaskID: "t", Status: Success, History: doc.Tasks[1].History})
	}
	for _, limit := range []int{40_000, 4000, 2500} {
		text, err := doc.AppendWithin(nil, limit)
		if err != nil || len(text) > limit {
			t.Fatalf("limit %d: %d bytes, %v", limit, len(text), err)
		}
		var back RunDoc
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		failed := 0
		for _, task := range back.Tasks {
			if task.Status == Failed {
				failed++
			}
		}
		if failed != 1 {
			t.Errorf("limit %d: %d failed tasks are left", limit, failed)
		}
	}
}
