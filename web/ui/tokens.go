package ui

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// madeToken is the answer of token.create.
type madeToken struct {
	engine.Token
	Text string `json:"token"`
}

// tokensPage lists tokens; after one was made, it shows that, this once.
type tokensPage struct {
	Tokens []engine.Token
	Roles  []engine.Role
	Made   *madeToken
	Wrong  string
	Typed  tokenForm
	Now    time.Time
}

// tokenForm is what stands in the form of a new token.
type tokenForm struct{ Role, Name, Flows, Days string }

func (s *Site) tokens(v *Visit) (*reply, error) {
	return s.tokensWith(v, &tokensPage{Typed: tokenForm{Role: string(engine.RoleViewer), Days: "90"}})
}

func (s *Site) tokensWith(v *Visit, p *tokensPage) (*reply, error) {
	var out struct {
		Tokens []engine.Token `json:"tokens"`
	}
	if err := v.ask("token.list", nil, &out); err != nil {
		return nil, err
	}
	p.Tokens, p.Roles, p.Now = out.Tokens, engine.Roles[:], s.now()
	r := &reply{page: &page{name: "tokens", Title: "Tokens", Nav: "/tokens", Secret: p.Made != nil, Data: p}}
	if p.Wrong != "" {
		r.status = http.StatusBadRequest
	}
	return r, nil
}

// createToken makes a token and shows it: the page is the only place where it
// ever stands.
func (s *Site) createToken(v *Visit) (*reply, error) {
	form := tokenForm{Role: v.PostForm.Get("role"), Name: v.PostForm.Get("name"), Flows: v.PostForm.Get("flows"), Days: strings.TrimSpace(v.PostForm.Get("days"))}
	req := fields("role", form.Role, "name", form.Name)
	if flows := strings.FieldsFunc(form.Flows, func(c rune) bool { return c == ',' || c == ' ' }); len(flows) > 0 {
		req["flows"] = flows
	}
	p := &tokensPage{Typed: form}
	err := error(nil)
	if form.Days != "" {
		days, bad := strconv.ParseFloat(form.Days, 64)
		if bad != nil || days <= 0 {
			err = fmt.Errorf("%w: it is to be good for %.20q days, want a number above 0, or nothing for ever", engine.ErrInvalid, form.Days)
		}
		req["ttl"] = days * 24 * 60 * 60
	}
	if err == nil {
		p.Made = new(madeToken)
		err = v.ask("token.create", req, p.Made)
	}
	if errors.Is(err, engine.ErrInvalid) {
		p.Made, p.Wrong, err = nil, engine.ErrorLine(err), nil
	}
	if err != nil {
		return nil, err
	}
	return s.tokensWith(v, p)
}

func (s *Site) deleteToken(v *Visit) (*reply, error) {
	if err := v.ask("token.delete", fields("id", v.PathValue("token")), nil); err != nil {
		return nil, err
	}
	return &reply{goOn: "/tokens"}, nil
}

// expiry is until when a token is good; "" for one that is so for ever.
func expiry(t engine.Token) string {
	if t.Expires.IsZero() {
		return ""
	}
	return engine.FormatTime(t.Expires)
}
