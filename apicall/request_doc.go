package apicall

import (
	"cmp"
	"unicode/utf8"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// requestName is the name by which the templates of headers read the request
// itself, so that they can sign what is sent, byte by byte. In a
// flow that declares a variable of the name, that is meant.
const requestName = "request"

// offersRequest reports whether the name is free in a flow.
func offersRequest(flow *engine.Flow) bool {
	_, variable := flow.Variables.Get(requestName)
	_, input := flow.Input.Get(requestName)
	return !variable && !input
}

// requestDoc is what is about to be sent, but for headers and what a credential
// adds. The address is as it stands on the wire.
func (a *attempt) requestDoc() jinja.Var {
	u := a.target.url
	v := jinja.Var{Origin: value.Response, Value: value.MapOf(
		"method", a.req.Method, "url", u.String(), "host", u.Host, "path", cmp.Or(u.EscapedPath(), "/"), "query", u.RawQuery, "body", a.bodyDoc())}
	if len(a.vars.secrets) > 0 {
		v.Origin |= value.Secret
	}
	if a.vars.marks > 0 {
		v.Origin |= value.Sensitive
	}
	return v
}

// bodyDoc is the body as text, or as bytes where it is none.
func (a *attempt) bodyDoc() any {
	switch {
	case a.body == nil:
		return ""
	case a.body.segments != nil:
		return jinja.Hidden(requestName+".body", "it is read while it is sent")
	case !utf8.Valid(a.body.data):
		return value.NewBytes(a.body.data, a.body.mimeType)
	}
	return string(a.body.data)
}
