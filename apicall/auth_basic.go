package apicall

import (
	"context"
	"net/http"
	"strings"

	"github.com/qarion/qarion/engine"
)

// basic sends a user name and a password (RFC 7617), as UTF-8.
type basic struct{ username, password string }

func newBasic(_ *TaskType, c engine.Credential) (Authenticator, error) {
	b := basic{field(c, "username"), field(c, "password")}
	if strings.Contains(b.username, ":") {
		return nil, &AuthError{Credential: c.ID, Message: "a user name with a colon cannot be sent as basic authentication"}
	}
	return b, nil
}

func (b basic) Authenticate(_ context.Context, req *http.Request) error {
	req.SetBasicAuth(b.username, b.password)
	return nil
}

// field is a credential's field as text; "" when it is not there.
func field(c engine.Credential, name string) string {
	v, _ := c.Data.Get(name)
	return plainText(v)
}
