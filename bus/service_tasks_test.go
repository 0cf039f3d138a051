package bus_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

func TestTasks_InPagesWhileTheRunGoesOnAndAfter(t *testing.T) {
	types, open := gate()
	defer open()
	n := startFull(t, testkit.NodeConfig{Types: types})
	put(t, n.Node, flow("slow", map[string][]string{"b": {"a"}, "c": {"b"}}, "a", "b", "c"))
	nc := n.stranger(t)
	run := askRun(t, nc, "run.start", `{"flow":"slow"}`).RunID
	list := func(payload string) string {
		t.Helper()
		answer, code, line := ask(t, nc, "run.tasks", payload)
		if code != "" {
			return code + " " + line
		}
		var page engine.TaskPage
		if err := json.Unmarshal(answer, &page); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, task := range page.Tasks {
			out = append(out, fmt.Sprintf("%s:%s", task.TaskID, task.Status))
		}
		if page.More {
			out = append(out, "...")
		}
		return strings.Join(out, " ")
	}
	waitFor(t, func() bool { return list(`{"run_id":"last","status":"running"}`) == "a:running" })
	check := func(payload, want string) {
		t.Helper()
		if got := list(payload); got != want {
			t.Errorf("%s: %s, want %s", payload, got, want)
		}
	}
	check("last", "a:running b:pending c:pending")
	check(`{"run_id":"last","limit":2}`, "a:running b:pending ...")
	check(`{"run_id":"last","limit":2,"after":"b"}`, "c:pending")
	check(`{"run_id":"last","status":"pending","limit":1}`, "b:pending ...")
	check(`{"run_id":"last","after":"x"}`, fmt.Sprintf("404 run %s has no task \"x\"", run))
	check(`{"run_id":"last","after":"a b"}`, `400 task id "a b" may have only letters, digits, _ and -, and starts with a letter or _`)
	check(`{"run_id":"last","status":"faild"}`, `400 status "faild": a task is one of [pending ready running waiting success failed skipped cancelled interrupted] (did you mean "failed"?)`)
	check(`{"run_id":"last","limit":1001}`, "400 limit is 1001, want 1 to 1000")
	check(`{"run_id":"ZZZZZZ"}`, "404 no run ends in ZZZZZZ")
	open()
	askRun(t, nc, "run.get", `{"run_id":"last","wait":20}`)
	check("last", "a:success b:success c:success")
	check(`{"run_id":"last","limit":2,"after":"a"}`, "b:success c:success")
	check(`{"run_id":"last","limit":1,"after":"a"}`, "b:success ...")
	check(`{"run_id":"last","after":"x"}`, fmt.Sprintf("404 run %s lists no task \"x\"", run))
}
