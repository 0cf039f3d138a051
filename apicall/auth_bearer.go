package apicall

import (
	"context"
	"net/http"

	"github.com/qarion/qarion/engine"
)

// bearer sends a token that never changes, behind a word that says what it is.
type bearer struct{ value string }

func newBearer(_ *TaskType, c engine.Credential) (Authenticator, error) {
	value := field(c, "token")
	prefix := "Bearer"
	if _, given := c.Data.Get("prefix"); given {
		prefix = field(c, "prefix")
	}
	if prefix != "" {
		value = prefix + " " + value
	}
	if err := setHeader(http.Header{}, "Authorization", value); err != nil {
		return nil, &AuthError{Credential: c.ID, Message: "the token has characters that no header may have"}
	}
	return bearer{value}, nil
}

func (b bearer) Authenticate(_ context.Context, req *http.Request) error {
	req.Header.Set("Authorization", b.value)
	return nil
}
