package engine

import (
	"log/slog"

	"github.com/qarion/qarion/internal/value"
)

// Credential is a stored secret with an id and a type. Its data never enters a
// log, an error or a record: it prints as redacted.
type Credential struct {
	ID   string
	Type string     // basic_auth, oauth, api_key, custom
	Data *value.Map // the fields of its type
}

// String hides the data.
func (c Credential) String() string { return "credential " + c.ID + " (" + c.Type + ", redacted)" }

// GoString hides the data from %#v.
func (c Credential) GoString() string { return c.String() }

// LogValue hides the data from log/slog.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON hides the data from encoding/json.
func (c Credential) MarshalJSON() ([]byte, error) {
	return value.JSON(value.MapOf("id", c.ID, "type", c.Type, "data", "redacted"))
}
