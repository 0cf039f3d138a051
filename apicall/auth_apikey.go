package apicall

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/qarion/qarion/engine"
)

// DefaultKeyHeader carries an API key whose credential names neither a header
// nor a query parameter.
const DefaultKeyHeader = "X-API-Key"

// apiKey sends a key in a header or in the query.
type apiKey struct{ key, header, param string }

func newAPIKey(_ *TaskType, c engine.Credential) (Authenticator, error) {
	k := apiKey{key: field(c, "api_key"), header: field(c, "header_name"), param: field(c, "query_param")}
	switch {
	case k.header != "" && k.param != "":
		return nil, &AuthError{Credential: c.ID, Message: "it has both header_name and query_param; keep one"}
	case k.param != "":
		return k, nil
	case k.header == "":
		k.header = DefaultKeyHeader
	}
	if !isToken(k.header) || setHeader(http.Header{}, k.header, k.key) != nil {
		return nil, &AuthError{Credential: c.ID, Message: "header_name or api_key has characters that no header may have"}
	}
	return k, nil
}

// binds implements binder: a query belongs to its address. A redirect that
// brings the key back itself needs no second one.
func (k apiKey) binds() bool { return k.param != "" }

func (k apiKey) Authenticate(_ context.Context, req *http.Request) error {
	if k.param == "" {
		req.Header.Set(k.header, k.key)
		return nil
	}
	if slices.Contains(req.URL.Query()[k.param], k.key) {
		return nil
	}
	u := *req.URL
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += url.QueryEscape(k.param) + "=" + url.QueryEscape(k.key)
	req.URL = &u
	return nil
}
