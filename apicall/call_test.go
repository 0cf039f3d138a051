package apicall_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// call prepares a task of the given properties and makes one attempt.
func call(t *testing.T, props *value.Map, change ...func(*engine.TaskInput)) engine.TaskOutput {
	t.Helper()
	return callIn(t, &engine.Flow{ID: "f"}, props, nil, change...)
}

func callIn(t *testing.T, flow *engine.Flow, props *value.Map, xcom map[engine.TaskID]any, change ...func(*engine.TaskInput)) engine.TaskOutput {
	t.Helper()
	kind, err := apicall.New(apicall.Config{Slots: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	flow.Tasks = []engine.Task{{ID: "t", Type: "api_call", Properties: props}}
	prog, problems := kind.Prepare(flow, &flow.Tasks[0])
	if engine.Refused(problems) != nil {
		t.Fatalf("the task was refused: %v", problems)
	}
	in := engine.NewTaskInput(flow, &flow.Tasks[0], nil, xcom)
	in.Key.Run = "01M84BFBV1N8Q6D2T4XW9B7C5E"
	for _, c := range change {
		c(in)
	}
	return prog.Execute(t.Context(), in)
}

// seen is what a server received.
type seen struct {
	method, uri, body string
	header            http.Header
}

// recorder answers 200 with {} and keeps the last request.
func recorder(t *testing.T) (*httptest.Server, *seen) {
	got := &seen{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		*got = seen{r.Method, r.RequestURI, string(b), r.Header.Clone()}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{}`))
	}))
	t.Cleanup(s.Close)
	return s, got
}

func handler(t *testing.T, fn http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(fn)
	t.Cleanup(s.Close)
	return s
}

// echo refuses with all that it got.
func echo(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusTeapot)
	_, _ = io.WriteString(w, r.RequestURI+" "+r.Header.Get("X-A")+" "+r.Header.Get("Idempotency-Key")+" "+string(b))
}
