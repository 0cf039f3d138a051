package node

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestEvents_ARunIsToldOverManyConnections: every connection is cut after the
// first message and goes on with its id; of each run the start, the attempt and
// the end are told once.
func TestEvents_ARunIsToldOverManyConnections(t *testing.T) {
	n := httpNode(t)
	first, id := eventOf(t, n.URL()+"/api/v1/events?topics=runs,log", "")
	if first != "hello" {
		t.Fatalf("a stream begins with %s", first)
	}
	want := map[string]int{}
	for range 5 {
		doc := runFlow(t, n, "good")
		for _, kind := range []string{"run.started", "attempt", "run.done"} {
			want[kind+" "+string(doc.RunID)] = 1
		}
	}
	got := map[string]int{}
	for len(got) < len(want) {
		var data string
		data, id = eventOf(t, n.URL()+"/api/v1/events?topics=runs,log", id)
		var lines []struct {
			Kind, Run string
			N         int
		}
		if err := json.Unmarshal([]byte(data), &lines); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		for _, l := range lines {
			got[l.Kind+" "+l.Run] += max(1, l.N)
		}
	}
	for key := range want {
		if got[key] != 1 {
			t.Errorf("%s: told %d times", key, got[key])
		}
	}
}

// eventOf is the first message of a stream: "hello", or the data of changes.
func eventOf(t *testing.T, url, after string) (data, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", after)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	event := ""
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, v, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case name == "event":
			event = v
		case name == "id":
			id = v
		case name == "data" && event == "hello":
			return event, id
		case name == "data":
			return v, id
		}
	}
	t.Fatalf("the stream ended with status %d", res.StatusCode)
	return "", ""
}
