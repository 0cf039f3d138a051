package ui

import (
	"errors"
	"net/http"

	"github.com/qarion/qarion/engine"
)

// usersPage lists who logs in with a password.
type usersPage struct {
	Users      []engine.User
	Roles      []engine.Role
	Set        string // who was set
	Wrong      string
	Name, Role string // that stand in the form
}

func (s *Site) users(v *Visit) (*reply, error) {
	return s.usersWith(v, &usersPage{Role: string(engine.RoleViewer)})
}

func (s *Site) usersWith(v *Visit, p *usersPage) (*reply, error) {
	var out struct {
		Users []engine.User `json:"users"`
	}
	if err := v.ask("user.list", nil, &out); err != nil {
		return nil, err
	}
	p.Users, p.Roles = out.Users, engine.Roles[:]
	r := &reply{page: &page{name: "users", Title: "Users", Nav: "/users", Data: p}}
	if p.Wrong != "" {
		r.status = http.StatusBadRequest
	}
	return r, nil
}

// setUser makes a user, or changes its password and role.
func (s *Site) setUser(v *Visit) (*reply, error) {
	p := &usersPage{Name: v.PostForm.Get("name"), Role: v.PostForm.Get("role")}
	var made engine.User
	err := v.ask("user.set", map[string]any{"name": p.Name, "role": p.Role, "password": v.PostForm.Get("password")}, &made)
	switch {
	case errors.Is(err, engine.ErrInvalid):
		p.Wrong = engine.ErrorLine(err)
	case err != nil:
		return nil, err
	default:
		p = &usersPage{Set: made.Name, Role: string(engine.RoleViewer)}
	}
	return s.usersWith(v, p)
}

func (s *Site) deleteUser(v *Visit) (*reply, error) {
	if err := v.ask("user.delete", fields("name", v.PathValue("user")), nil); err != nil {
		return nil, err
	}
	return &reply{goOn: "/users"}, nil
}
