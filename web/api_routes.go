package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/qarion/qarion/engine"
)

// The words that several routes know.
var (
	queryWait     = param{name: "wait", kind: "number", help: "seconds to wait for the end, at most 3600"}
	queryXCom     = param{name: "xcom", kind: "list", help: "tasks, with commas between them, whose values the answer carries: at most 512 KiB together"}
	queryFlow     = param{name: "flow", kind: "string", help: "of this flow"}
	queryTask     = param{name: "task", kind: "string", help: "of this task"}
	queryRun      = param{name: "run", kind: "string", help: "of this run", field: "run_id"}
	queryStatus   = param{name: "status", kind: "string", help: "in this state"}
	querySchedule = param{name: "trigger", kind: "string", help: "the schedule's id; may be left out where the flow has one alone"}
	querySince    = param{name: "since", kind: "string", help: "RFC 3339, or an age such as 2h or 30d"}
	queryOldest   = param{name: "oldest", kind: "boolean", help: "begin with the oldest"}
	headerWait    = param{name: "Prefer", kind: "string", help: "wait=60: seconds to wait for the end, at most 3600 (RFC 7240)"}
)

func queryLimit(help string) param { return param{name: "limit", kind: "integer", help: help} }

// logQuery are the words of the operation log.
var logQuery = []param{
	queryStatus, querySince, queryOldest, queryLimit("default 100, at most 1000"),
	{name: "before", kind: "string", help: "the page before: what first of a page said"},
	{name: "after", kind: "string", help: "the page after: what last of a page said"},
}

// apiRoutes is the table of the API.
func apiRoutes() []route {
	return []route{
		{
			method: "POST", path: "/flows/{flow}/runs", endpoint: "run.start", summary: "Start a run",
			more: "Answers when the run is stored and opened: 202, or, with Prefer: wait, 201 once it has ended. The same Idempotency-Key within 24 hours starts nothing new and answers with the run that it has started.",
			headers: []param{
				{name: "Idempotency-Key", kind: "string", help: "the caller's own key, at most 256 bytes", field: "id"}, headerWait,
			},
			query: []param{queryWait}, body: runStart{}, bodyField: true, largest: maxTriggerBody, answer: engine.RunDoc{},
			hint: "qarion flows list", payload: startPayload, answers: startAnswer,
		},
		{
			method: "GET", path: "/runs", endpoint: "run.list", summary: "List runs, newest first",
			query: []param{
				queryFlow, queryStatus, querySince, queryLimit("default 50, at most 1000"),
				{name: "trigger", kind: "string", help: "that this has started: api, cli, ui or another type, or the id of a trigger"},
				{name: "before", kind: "string", help: "run id: the page before it"},
			},
			answer: runList{}, answers: pageOf("before", func(l *runList) (string, bool) {
				return string(last(l.Runs).RunID), l.More
			}),
		},
		{
			method: "GET", path: "/runs/{run}", endpoint: "run.get", summary: "Show a run", headers: []param{headerWait},
			more:  "A run is named by its id, by an ending of it of at least 4 characters that fits one run alone, or as last.",
			query: []param{queryWait, queryXCom, {name: "brief", kind: "boolean", help: "without tasks"}}, answer: engine.RunDoc{},
			hint: "qarion runs list", payload: waitPayload, answers: waitAnswer,
		},
		{
			method: "GET", path: "/runs/{run}/tasks", endpoint: "run.tasks", summary: "List a run's tasks, in the order of the flow",
			query:  []param{queryStatus, queryLimit("default 200, at most 1000"), {name: "after", kind: "string", help: "task id: the page after it"}},
			answer: engine.TaskPage{}, hint: "qarion runs list", answers: pageOf("after", func(p *engine.TaskPage) (string, bool) {
				return string(last(p.Tasks).TaskID), p.More
			}),
		},
		{
			method: "GET", path: "/runs/{run}/log", endpoint: "log.list", summary: "The operation log of a run",
			query: append([]param{queryTask}, logQuery...), answer: logList{}, hint: "qarion runs list", answers: logPage,
		},
		{
			method: "GET", path: "/runs/{run}/xcom/{task}", endpoint: "xcom.get", summary: "The value that a task has left",
			more:   "JSON; a value that lies in the object store comes as the bytes that it is, with its own Content-Type.",
			query:  []param{{name: "attempt", kind: "integer", help: "what this attempt has received"}},
			answer: anything{}, hint: "qarion runs show RUN",
		},
		{
			method: "POST", path: "/runs/{run}/cancel", endpoint: "run.cancel", summary: "End a run",
			more: "409 when it has ended already.", body: runCancel{}, bodyField: true, answer: engine.RunDoc{}, hint: "qarion runs list",
		},
		{
			method: "POST", path: "/runs/{run}/resolve", endpoint: "run.resolve", summary: "Say how an interrupted task ended",
			body: runResolve{}, answer: engine.RunDoc{}, hint: "qarion runs list",
		},
		{
			method: "POST", path: "/runs/{run}/decide", endpoint: "run.decide", summary: "Approve or reject what a task waits for",
			more: "The name of the login is noted with it. 409 when the task waits for no approval.",
			body: runDecision{}, answer: engine.RunDoc{}, hint: "qarion runs list",
		},
		{
			method: "POST", path: "/runs/{run}/signals/{signal}", endpoint: "run.signal", summary: "Send a signal to a run",
			more: "It wakes the task that waits for it, or is kept for one that will. 409 when the run has ended, or keeps 16 already.",
			body: runSignal{}, bodyField: true, answer: engine.Signalled{}, hint: "qarion runs list",
		},
		{
			method: "POST", path: "/flows/{flow}/signals/{signal}", endpoint: "run.signal", summary: "Send a signal to whichever run of a flow waits for its key",
			more: "It wakes the task that has waited longest, or is kept for one that will. 409 when the flow keeps 1,000 already.",
			body: flowSignal{}, answer: engine.Signalled{}, hint: "qarion flows list",
		},
		{
			method: "POST", path: "/runs/{run}/rerun", endpoint: "run.rerun", summary: "Repeat a run that has ended",
			more:    "A new run, which keeps what has succeeded. 409 when the run has not ended, nothing of it failed, or what it has left is gone.",
			headers: []param{headerWait}, query: []param{queryWait}, body: runRerun{}, bodyField: true, answer: engine.Rerunning{}, hint: "qarion runs list", payload: waitPayload,
		},
		{
			method: "GET", path: "/log", endpoint: "log.list", summary: "The operation log",
			query: append([]param{queryFlow, queryTask, queryRun}, logQuery...), answer: logList{}, answers: logPage,
		},
		{method: "GET", path: "/flows", endpoint: "flow.list", summary: "List flows", answer: flowList{}},
		{method: "GET", path: "/flows/{flow}", endpoint: "flow.get", summary: "The newest definition of a flow", answer: engine.Flow{}, hint: "qarion flows list"},
		{
			method: "GET", path: "/flows/{flow}/source", endpoint: "flow.source", summary: "The file of a flow, as it is now",
			answer: flowSource{}, hint: "qarion flows list",
		},
		{
			method: "GET", path: "/flows/{flow}/problems", endpoint: "flow.problems", summary: "What is wrong with the file of a flow",
			answer: flowProblems{}, hint: "qarion flows list",
		},
		{method: "GET", path: "/problems", endpoint: "flow.problems", summary: "What is wrong with the flow files", answer: flowProblems{}},
		{method: "GET", path: "/schedules", endpoint: "schedule.list", summary: "List the schedules", answer: scheduleList{}},
		{
			method: "GET", path: "/flows/{flow}/schedule", endpoint: "schedule.next", summary: "The times of a schedule",
			query: []param{
				querySchedule, {name: "from", kind: "string", help: "RFC 3339; default: now"}, {name: "to", kind: "string", help: "RFC 3339, not itself; default: a year after from"},
				queryLimit("default 10, at most 1000"),
			},
			answer: scheduleTicks{}, hint: "qarion schedules list",
		},
		{
			method: "POST", path: "/flows/{flow}/schedule/pause", endpoint: "schedule.pause", summary: "Let a schedule rest",
			query: []param{querySchedule}, answer: engine.ScheduleInfo{}, hint: "qarion schedules list",
		},
		{
			method: "POST", path: "/flows/{flow}/schedule/resume", endpoint: "schedule.resume", summary: "Let a schedule go on",
			query:  []param{querySchedule, {name: "catchup", kind: "boolean", help: "what passed meanwhile counts as missed"}},
			answer: engine.ScheduleInfo{}, hint: "qarion schedules list",
		},
		{method: "GET", path: "/breakers", endpoint: "breaker.list", summary: "List the circuit breakers", answer: breakerList{}},
		{
			method: "POST", path: "/breakers/{breaker}/reset", endpoint: "breaker.reset", summary: "Close a breaker",
			more: "The breaker's key is one word of the path: https:%2F%2Fapi.example.com:443.", answer: breakerKey{}, hint: "qarion breakers list",
		},
		{method: "GET", path: "/hooks", endpoint: "hook.list", summary: "List the hooks that were pushed", answer: hookList{}},
		{method: "GET", path: "/credentials", endpoint: "credential.list", summary: "List credentials, without their secrets", answer: credentialList{}},
		{method: "GET", path: "/tokens", endpoint: "token.list", summary: "List tokens, without their secrets", answer: tokenList{}},
		{method: "GET", path: "/users", endpoint: "user.list", summary: "List who logs in with a password", answer: userList{}},
		{method: "GET", path: "/node", endpoint: "node.status", summary: "How the node is", answer: nodeDoc{}},
		{method: "POST", path: "/query", endpoint: "query", summary: "Ask the SQL tables", body: question{}, answer: rows{}},
	}
}

func last[T any](list []T) (t T) {
	if len(list) > 0 {
		t = list[len(list)-1]
	}
	return t
}

// pageOf links the next page: this one's address, but for one word.
func pageOf[T any](word string, next func(*T) (string, bool)) func(http.ResponseWriter, *request, engine.Answer) (int, error) {
	return func(w http.ResponseWriter, r *request, answer engine.Answer) (int, error) {
		page := new(T)
		if err := json.Unmarshal(answer.JSON, page); err != nil {
			return 0, fmt.Errorf("read the answer: %w", err)
		}
		if at, more := next(page); more && at != "" {
			query := r.URL.Query()
			query.Set(word, at)
			w.Header().Set("Link", "<"+(&url.URL{Path: r.URL.Path, RawQuery: query.Encode()}).String()+`>; rel="next"`)
		}
		return http.StatusOK, nil
	}
}

// logPage links the page that goes on in the direction that was asked for.
func logPage(w http.ResponseWriter, r *request, answer engine.Answer) (int, error) {
	query := r.URL.Query()
	if query.Get("oldest") != "" || query.Get("after") != "" {
		return pageOf("after", func(l *logList) (string, bool) { return l.Last, l.More })(w, r, answer)
	}
	return pageOf("before", func(l *logList) (string, bool) { return l.First, l.More })(w, r, answer)
}

// preferredWait is the wait that Prefer asks for (RFC 7240), in seconds.
func preferredWait(h http.Header) (seconds string, found bool) {
	for pref := range strings.SplitSeq(strings.Join(h.Values("Prefer"), ","), ",") {
		pref, _, _ = strings.Cut(pref, ";")
		name, v, _ := strings.Cut(pref, "=")
		if strings.EqualFold(strings.TrimSpace(name), "wait") {
			return strings.Trim(strings.TrimSpace(v), `"`), true
		}
	}
	return "", false
}

// waitPayload takes the wait from Prefer, unless the query has one. A
// preference that cannot be read is passed over, as the RFC has it.
func waitPayload(r *request) error {
	if _, given := r.fields["wait"]; given {
		return nil
	}
	if text, found := preferredWait(r.Header); found {
		if v, err := strconv.ParseUint(text, 10, 31); err == nil {
			r.set("wait", min(v, 3600))
		}
	}
	return nil
}

func waitAnswer(w http.ResponseWriter, r *request, _ engine.Answer) (int, error) {
	if _, found := preferredWait(r.Header); found && r.fields["wait"] != nil {
		w.Header().Set("Preference-Applied", "wait="+string(r.fields["wait"]))
	}
	return http.StatusOK, nil
}

func startPayload(r *request) error {
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		r.set("id", idempotencyKey(key))
	}
	return waitPayload(r)
}

// idempotencyKey is the key itself: the draft of the header has it as a string
// of structured fields, in quotes, and many send it without.
func idempotencyKey(text string) string {
	text = strings.TrimSpace(text)
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(text[1 : len(text)-1])
	}
	return text
}

func startAnswer(w http.ResponseWriter, r *request, answer engine.Answer) (int, error) {
	var doc struct {
		Run   engine.RunID `json:"run_id"`
		Final bool         `json:"final"`
	}
	if err := json.Unmarshal(answer.JSON, &doc); err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	_, _ = waitAnswer(w, r, answer)
	w.Header().Set("Location", apiPrefix+"/runs/"+string(doc.Run))
	if doc.Final {
		return http.StatusCreated, nil
	}
	return http.StatusAccepted, nil
}
