package ui

import "github.com/qarion/qarion/engine"

// homeRuns bounds each list of runs on the first page.
const homeRuns = 20

// homePage is what a person should see first: what needs them, what goes on,
// what went wrong lately.
type homePage struct {
	Interrupted []engine.TaskRef
	MoreWaiting int // interrupted tasks that are not listed
	Problems    []problem
	Breakers    []breaker
	Behind      []engine.ViewStatus
	Running     runList
	Failed      runList
	Hour, Day   engine.RunCounts
	Flows       int
}

// farBehind is how many entries of the ledger a view may lack before that is
// worth a word.
const farBehind = 10_000

func (s *Site) home(v *Visit) (*reply, error) {
	var p homePage
	var node nodeDoc
	if err := v.ask("node.status", nil, &node); err != nil {
		return nil, err
	}
	st := &node.Engine
	p.Interrupted, p.MoreWaiting = st.Interrupted, st.InterruptedTasks-len(st.Interrupted)
	p.Hour, p.Day = st.LastHour, st.LastDay
	for _, view := range st.Views {
		if view.Behind > farBehind || view.Problem != "" {
			p.Behind = append(p.Behind, view)
		}
	}
	var problems problemList
	if err := v.ask("flow.problems", nil, &problems); err != nil {
		return nil, err
	}
	for _, at := range problems.Problems {
		if at.Severity == "error" {
			p.Problems = append(p.Problems, at)
		}
	}
	p.Flows = node.FlowFiles.Loaded
	all, err := v.listBreakers()
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		if b.State != "closed" || b.pausedAt(s.now()) {
			p.Breakers = append(p.Breakers, b)
		}
	}
	if p.Running, err = v.listRuns("", string(engine.Running), "", "", homeRuns); err != nil {
		return nil, err
	}
	if p.Failed, err = v.listRuns("", string(engine.Failed), "24h", "", homeRuns); err != nil {
		return nil, err
	}
	return &reply{page: &page{name: "home", Title: "Home", Nav: "/", Live: true, Data: p}}, nil
}
