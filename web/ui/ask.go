package ui

import (
	"encoding/json"
	"fmt"

	"github.com/qarion/qarion/engine"
)

// ask asks an endpoint of the node for the visitor and reads the answer into
// out, unless that is nil.
func (v *Visit) ask(endpoint string, payload map[string]any, out any) error {
	answer, err := v.call(endpoint, payload)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer.JSON, out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", endpoint, err)
	}
	return nil
}

// call asks an endpoint, if the visitor may.
func (v *Visit) call(endpoint string, payload map[string]any) (engine.Answer, error) {
	if payload == nil {
		payload = map[string]any{}
	}
	e, err := engine.EndpointNamed(endpoint)
	if err != nil {
		return engine.Answer{}, err
	}
	if err := v.Who.MayCall(e); err != nil {
		return engine.Answer{}, err
	}
	text, err := json.Marshal(payload)
	if err != nil {
		return engine.Answer{}, fmt.Errorf("write the request for %s: %w", endpoint, err)
	}
	return v.Node.Call(v.Context(), v.Who, endpoint, text)
}

// may says whether the visitor may ask an endpoint: a button that would be
// refused is not shown.
func (v *Visit) may(endpoint string) bool {
	e, err := engine.EndpointNamed(endpoint)
	return err == nil && v.Who.MayCall(e) == nil
}

// fields are the fields of a request; empty ones are left out.
func fields(pairs ...any) map[string]any {
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		switch v := pairs[i+1].(type) {
		case string:
			if v == "" {
				continue
			}
		case int:
			if v == 0 {
				continue
			}
		}
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

// runList is the answer of run.list.
type runList struct {
	Runs []*engine.RunDoc `json:"runs"`
	More bool             `json:"more"`
}

// listRuns asks for runs, newest first.
func (v *Visit) listRuns(flow, status, since, before string, limit int) (list runList, err error) {
	err = v.ask("run.list", fields("flow", flow, "status", status, "since", since, "before", before, "limit", limit), &list)
	return list, err
}

// problem is something wrong with a flow's file.
type problem struct {
	File       string `json:"file"`
	Line       int    `json:"line"`
	Column     int    `json:"column"`
	Task       string `json:"task"`
	Severity   string `json:"severity"`
	Message    string `json:"message"`
	Suggestion string `json:"suggestion"`
}

// problemList is the answer of flow.problems.
type problemList struct {
	Problems []problem `json:"problems"`
	Files    int       `json:"files"`
	LeftOut  []string  `json:"left_out"`
}
