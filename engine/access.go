package engine

import (
	"fmt"
	"slices"
	"strings"
)

// Role is what a caller may do.
type Role string

// The roles.
const (
	RoleViewer   Role = "viewer"   // sees flows, runs, values and the log
	RoleTrigger  Role = "trigger"  // starts runs, and nothing else
	RoleOperator Role = "operator" // all of these, and ends, resolves, resets
	RoleAdmin    Role = "admin"    // everything
)

// Roles lists the roles, from the one that may least.
var Roles = [...]Role{RoleViewer, RoleTrigger, RoleOperator, RoleAdmin}

// ParseRole checks a role's name. ErrInvalid.
func ParseRole(s string) (Role, error) {
	if slices.Contains(Roles[:], Role(s)) {
		return Role(s), nil
	}
	names := make([]string, len(Roles))
	for i, r := range Roles {
		names[i] = string(r)
	}
	text := fmt.Sprintf("%.40q is no role; there are %s", s, strings.Join(names, ", "))
	if near := Nearest(s, names); near != "" {
		text += fmt.Sprintf(" (did you mean %q?)", near)
	}
	return "", fmt.Errorf("%w: %s", ErrInvalid, text)
}

// May reports whether a role is enough where another is asked for. A trigger
// is no viewer: who may only start runs does not see what they carry.
func (r Role) May(needed Role) bool {
	switch r {
	case RoleAdmin:
		return true
	case RoleOperator:
		return needed != RoleAdmin
	}
	return r == needed && r != ""
}

// Caller is who asks a node for something.
type Caller struct {
	Name  string // in words, for messages and the audit: "token ci", "no login"
	From  string // the address that the request came from; "" within the process
	Role  Role
	Flows []FlowID      // that a trigger may start; empty: all
	Login bool          // who it is was shown, by password or token
	Trace *TraceContext // that the request belongs to; nil for none
}

// Anonymous is a caller on the same machine who has shown no login: what it may
// do is the same through every door.
func Anonymous(from string) Caller {
	return Caller{Name: "no login", From: from, Role: RoleOperator}
}

// By is who a caller is where that is noted: the name of its token or user; "" where no
// login showed it.
func (c *Caller) By() string {
	if !c.Login {
		return ""
	}
	return strings.TrimPrefix(strings.TrimPrefix(c.Name, "token "), "user ")
}

// MayCall says whether a caller may ask an endpoint. ErrDenied with the role
// that is needed.
func (c *Caller) MayCall(e Endpoint) error {
	switch {
	case !c.Role.May(e.Role):
		return fmt.Errorf("%w: %s needed: you are %s (%s)", ErrDenied, e.Role, c.Role, c.Name)
	case e.Login && !c.Login:
		return fmt.Errorf("%w: %s needs a login", ErrDenied, e.Name)
	}
	return nil
}

// MayStart says whether a caller may start a flow. ErrDenied.
func (c *Caller) MayStart(flow FlowID) error {
	if c.Role != RoleTrigger || len(c.Flows) == 0 || slices.Contains(c.Flows, flow) {
		return nil
	}
	names := make([]string, len(c.Flows))
	for i, f := range c.Flows {
		names[i] = string(f)
	}
	return fmt.Errorf("%w: you may start %s, not %s (%s)", ErrDenied, strings.Join(names, ", "), flow, c.Name)
}

// Endpoint is a request that a node answers, by NATS and by HTTP, and who may
// make it.
type Endpoint struct {
	Name  string // group and name: "run.start"; or the name alone: "query"
	Role  Role
	Login bool // only with a login, also where others need none

	Signed bool // what it does bears the name of the login, where there is one
}

// Group is the part of the name before the dot; "" where there is none.
func (e Endpoint) Group() string {
	group, _, found := strings.Cut(e.Name, ".")
	if !found {
		return ""
	}
	return group
}

// endpoints is the one table of them: both doors ask it, and the permissions of
// NATS clients without a login are made from it.
var endpoints = [...]Endpoint{
	{"run.start", RoleTrigger, false, false},
	{"run.get", RoleViewer, false, false},
	{"run.list", RoleViewer, false, false},
	{"run.tasks", RoleViewer, false, false},
	{"run.cancel", RoleOperator, false, false},
	{"run.resolve", RoleOperator, false, false},
	{"run.rerun", RoleOperator, false, false},
	{"run.signal", RoleTrigger, true, false},
	{"run.decide", RoleOperator, false, true},
	{"flow.list", RoleViewer, false, false},
	{"flow.get", RoleViewer, false, false},
	{"flow.source", RoleViewer, false, false},
	{"flow.problems", RoleViewer, false, false},
	{"flow.run", RoleAdmin, true, false},
	{"xcom.get", RoleViewer, false, false},
	{"log.list", RoleViewer, false, false},
	{"query", RoleViewer, false, false},
	{"node.status", RoleViewer, false, false},
	{"schedule.list", RoleViewer, false, false},
	{"schedule.next", RoleViewer, false, false},
	{"schedule.pause", RoleOperator, false, true},
	{"schedule.resume", RoleOperator, false, true},
	{"breaker.list", RoleViewer, false, false},
	{"breaker.reset", RoleOperator, true, false},
	{"hook.list", RoleOperator, true, false},
	{"hook.push", RoleAdmin, true, false},
	{"credential.store", RoleAdmin, true, false},
	{"credential.list", RoleAdmin, true, false},
	{"credential.show", RoleAdmin, true, false},
	{"credential.delete", RoleAdmin, true, false},
	{"credential.rekey", RoleAdmin, true, false},
	{"token.create", RoleAdmin, true, false},
	{"token.list", RoleAdmin, true, false},
	{"token.delete", RoleAdmin, true, false},
	{"user.set", RoleAdmin, true, false},
	{"user.list", RoleAdmin, true, false},
	{"user.delete", RoleAdmin, true, false},
	{"login.code", RoleAdmin, true, false},
}

// Endpoints lists the requests that a node answers.
func Endpoints() []Endpoint { return slices.Clone(endpoints[:]) }

// EndpointNamed finds an endpoint. ErrNotFound with the nearest name.
func EndpointNamed(name string) (Endpoint, error) {
	names := make([]string, len(endpoints))
	for i, e := range endpoints {
		if e.Name == name {
			return e, nil
		}
		names[i] = e.Name
	}
	if near := Nearest(name, names); near != "" {
		return Endpoint{}, fmt.Errorf("%w: no endpoint %.64q (did you mean %q?)", ErrNotFound, name, near)
	}
	return Endpoint{}, fmt.Errorf("%w: no endpoint %.64q", ErrNotFound, name)
}

// Answer is what an endpoint answers.
type Answer struct {
	JSON []byte
	// Object: the value that was asked for lies in the object store, and JSON
	// says where.
	Object *BlobRef
}
