package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/password"
)

// SetUser is the payload of user.set: a new user, or what an old one gets.
type SetUser struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Password string `json:"password"`
}

// UserRef is the payload of user.delete.
type UserRef struct {
	Name string `json:"name"`
}

// userEndpoints are the service's endpoints for who logs in with a password.
func (n *Node) userEndpoints() []bus.Endpoint {
	return []bus.Endpoint{
		{Name: "user.set", Handle: n.setUser},
		{Name: "user.list", Handle: func(ctx context.Context, _ []byte) (any, error) {
			list, err := n.users.List(ctx)
			return map[string]any{"users": list}, err
		}},
		{Name: "user.delete", Handle: func(ctx context.Context, data []byte) (any, error) {
			var in UserRef
			if err := bus.Decode(data, &in); err != nil {
				return nil, err
			}
			if _, err := engine.ParseUserName(in.Name); err != nil {
				return nil, err
			}
			if err := n.users.Delete(ctx, in.Name); err != nil {
				return nil, err
			}
			n.log.Info("user deleted", "user", in.Name)
			return in, nil
		}},
	}
}

func (n *Node) setUser(ctx context.Context, data []byte) (any, error) {
	var in SetUser
	if err := bus.Decode(data, &in); err != nil {
		return nil, err
	}
	if _, err := engine.ParseUserName(in.Name); err != nil {
		return nil, err
	}
	role, err := engine.ParseRole(in.Role)
	if err != nil {
		return nil, err
	}
	if err := password.Check(in.Password); err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrInvalid, err)
	}
	user := engine.User{Name: in.Name, Role: role, Changed: time.Now().UTC()}
	if user.Hash, err = password.Hash(ctx, in.Password); err != nil {
		return nil, err
	}
	if err := n.users.Store(ctx, user); err != nil {
		return nil, err
	}
	n.log.Info("user set", "user", user.Name, "role", string(role))
	user.Hash = ""
	return user, nil
}

// userOf is the user whose name and password these are. engine.ErrDenied: there
// is none, which takes as long to say and is said in the same words.
func (n *Node) userOf(ctx context.Context, name, text string) (engine.User, error) {
	var user engine.User
	_, err := engine.ParseUserName(strings.TrimSpace(name))
	if err == nil {
		user, err = n.users.Find(ctx, strings.TrimSpace(name))
	}
	if err != nil && !errors.Is(err, engine.ErrNotFound) && !errors.Is(err, engine.ErrInvalid) {
		return engine.User{}, err
	}
	is, err := password.Is(ctx, text, user.Hash)
	if err == nil && !is {
		err = fmt.Errorf("%w: the name or the password is wrong", engine.ErrDenied)
	}
	return user, err
}

// userStands says whether the password that a session was begun with is still
// that of its user. engine.ErrDenied.
func (n *Node) userStands(ctx context.Context, s *engine.Session) error {
	if s.User == "" {
		return nil
	}
	user, err := n.users.Find(ctx, s.User)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return fmt.Errorf("%w: user %s was deleted", engine.ErrDenied, s.User)
	case err == nil && !user.Changed.Equal(s.Changed):
		return fmt.Errorf("%w: the password of %s was changed: log in again", engine.ErrDenied, s.User)
	}
	return err
}
