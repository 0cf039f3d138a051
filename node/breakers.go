package node

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

// BreakerRef is the payload of breaker.reset.
type BreakerRef struct {
	Key string `json:"key"`
}

// breakerChanged makes a change of a breaker an event, and lets waiting tasks
// go when it closes.
func (n *Node) breakerChanged(s apicall.BreakerStatus) {
	data, err := json.Marshal(s)
	if err == nil {
		err = n.events.Live("breaker."+string(s.State), data)
	}
	if err != nil {
		n.log.Warn("the event of a breaker was not published", engine.LogErr, err)
	}
	switch s.State {
	case apicall.BreakerOpen:
		n.log.Warn("circuit open: calls to the host wait", "breaker", s.Key, "failures", s.Failures, "until", engine.FormatTime(s.Until))
	case apicall.BreakerClosed:
		n.log.Info("circuit closed: calls to the host go on", "breaker", s.Key)
		n.Engine.Release(s.Key)
	}
}

// breakerEndpoints are the service's endpoints for breakers.
func (n *Node) breakerEndpoints() []bus.Endpoint {
	return []bus.Endpoint{
		{Name: "breaker.list", Handle: func(context.Context, []byte) (any, error) {
			return map[string]any{"breakers": n.breakers.List()}, nil
		}},
		{Name: "breaker.reset", Handle: func(_ context.Context, data []byte) (any, error) {
			var in BreakerRef
			if err := json.Unmarshal(data, &in); err != nil || in.Key == "" {
				return nil, fmt.Errorf("%w: which breaker? {\"key\": \"https://api.example.com:443\"}", engine.ErrInvalid)
			}
			if !n.breakers.Reset(in.Key) {
				return nil, fmt.Errorf("%w: no breaker %q", engine.ErrNotFound, in.Key)
			}
			n.Engine.Release(in.Key)
			return in, nil
		}},
	}
}
