package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

// NewToken is the payload of token.create.
type NewToken struct {
	Role  string   `json:"role"`
	Flows []string `json:"flows,omitempty"` // of a trigger
	Name  string   `json:"name,omitempty"`
	TTL   float64  `json:"ttl,omitempty"` // seconds; 0: it does not expire
}

// TokenMade is the answer of token.create, the only place where the token
// itself stands.
type TokenMade struct {
	engine.Token
	Text string `json:"token"`
}

// TokenRef is the payload of token.delete.
type TokenRef struct {
	ID string `json:"id"`
}

// tokenEndpoints are the service's endpoints for tokens.
func (n *Node) tokenEndpoints() []bus.Endpoint {
	return []bus.Endpoint{
		{Name: "token.create", Handle: n.createToken},
		{Name: "token.list", Handle: func(ctx context.Context, _ []byte) (any, error) {
			list, err := n.tokens.List(ctx)
			return map[string]any{"tokens": list}, err
		}},
		{Name: "token.delete", Handle: func(ctx context.Context, data []byte) (any, error) {
			var in TokenRef
			if err := bus.Decode(data, &in); err != nil {
				return nil, err
			}
			if err := n.tokens.Delete(ctx, in.ID); err != nil {
				return nil, err
			}
			n.log.Info("token deleted", "token", in.ID)
			return in, nil
		}},
	}
}

func (n *Node) createToken(ctx context.Context, data []byte) (any, error) {
	var in NewToken
	if err := bus.Decode(data, &in); err != nil {
		return nil, err
	}
	role, err := engine.ParseRole(in.Role)
	if err != nil {
		return nil, err
	}
	flows := make([]engine.FlowID, len(in.Flows))
	for i, name := range in.Flows {
		if flows[i], err = engine.ParseFlowID(name); err != nil {
			return nil, err
		}
	}
	const longest = 100 * 365 * 24 * time.Hour
	if !(in.TTL >= 0 && in.TTL <= longest.Seconds()) {
		return nil, fmt.Errorf("%w: ttl is %v seconds, want up to a hundred years", engine.ErrInvalid, in.TTL)
	}
	token, text, err := engine.NewToken(role, flows, in.Name, time.Duration(in.TTL*float64(time.Second)), time.Now())
	if err != nil {
		return nil, err
	}
	if err := n.tokens.Store(ctx, token); err != nil {
		return nil, err
	}
	n.log.Info("token made", "token", token.ID, "role", string(role))
	token.Hash = ""
	return TokenMade{token, text}, nil
}

// Authenticate implements web.Backend.
func (n backend) Authenticate(ctx context.Context, text string) (engine.Caller, error) {
	id, err := engine.TokenID(strings.TrimSpace(text))
	if err != nil {
		return engine.Caller{}, err
	}
	token, err := n.tokens.Find(ctx, id)
	if errors.Is(err, engine.ErrNotFound) {
		return engine.Caller{}, fmt.Errorf("%w: no such token", engine.ErrDenied)
	}
	if err != nil {
		return engine.Caller{}, err
	}
	return token.Caller(text, time.Now())
}
