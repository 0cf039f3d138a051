package engine

import (
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"

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

// CredentialField is one field of a credential type. All but tables are text.
type CredentialField struct {
	Name     string
	Required bool
	Empty    bool     // it must be given and may be empty
	Open     bool     // no secret: it may be shown
	OneOf    []string // the values there are; nil: any
	Rare     bool     // on a terminal it is asked for where others make it needed: see Asked
	Table    bool     // a table of texts, or of lists of them
	PEM      bool     // text of several lines, which people have in a file

	Also map[string]string // other names of values in OneOf
}

// Takes reports whether a text may be the field's value.
func (f *CredentialField) Takes(s string) bool {
	return f.OneOf == nil || slices.Contains(f.OneOf, s) || f.Also[s] != ""
}

// CredentialType is what a credential of one type consists of.
type CredentialType struct {
	Name   string
	Fields []CredentialField
	Free   bool // takes fields of any other name too, as secrets
}

// MaxCredential is the largest credential, in bytes of JSON.
const MaxCredential = 64 << 10

// CredentialTypes are the types there are.
var CredentialTypes = []CredentialType{
	{Name: "basic_auth", Fields: []CredentialField{{Name: "username", Required: true, Empty: true, Open: true}, {Name: "password", Required: true, Empty: true}}},
	{Name: "oauth", Fields: oauthFields},
	{Name: "api_key", Fields: []CredentialField{{Name: "api_key", Required: true}, {Name: "header_name", Open: true}, {Name: "query_param", Open: true}}},
	{Name: "aws", Fields: []CredentialField{
		{Name: "access_key_id", Required: true, Open: true}, {Name: "secret_access_key", Required: true}, {Name: "session_token"},
		{Name: "region", Open: true}, {Name: "service", Open: true},
	}},
	{Name: "custom", Fields: []CredentialField{{Name: "token", Required: true}, {Name: "prefix", Open: true}}, Free: true},
}

// CredentialTypeNames are the names of the types.
func CredentialTypeNames() (names []string) {
	for i := range CredentialTypes {
		names = append(names, CredentialTypes[i].Name)
	}
	return names
}

// FindCredentialType returns the type of a name, nil when there is none.
func FindCredentialType(name string) *CredentialType {
	for i := range CredentialTypes {
		if CredentialTypes[i].Name == name {
			return &CredentialTypes[i]
		}
	}
	return nil
}

// authWords are what people call types by the auth_type that they serve.
var authWords = map[string]string{
	"bearer": "custom", "token": "custom", "basic": "basic_auth", "digest": "basic_auth", "oauth2": "oauth", "aws_sigv4": "aws", "apikey": "api_key",
}

// CredentialTypeOf is the type that a name means: itself, or an auth_type that
// such a credential serves. A name that means none is returned as it is.
func CredentialTypeOf(name string) string {
	if t, ok := authWords[name]; ok {
		return t
	}
	return name
}

// MayBeEmpty reports whether "" is a value of a field.
func (t *CredentialType) MayBeEmpty(name string) bool {
	f := t.field(name)
	return f != nil && f.Empty
}

// field returns the description of a field, nil when the type has none.
func (t *CredentialType) field(name string) *CredentialField {
	for i := range t.Fields {
		if t.Fields[i].Name == name {
			return &t.Fields[i]
		}
	}
	return nil
}

func (t *CredentialType) fieldNames() (names []string) {
	for i := range t.Fields {
		names = append(names, t.Fields[i].Name)
	}
	return names
}

var credentialID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// CheckCredentialID says what is wrong with a credential's id.
func CheckCredentialID(id string) error {
	if !credentialID.MatchString(id) {
		if len(id) > 80 {
			id = id[:77] + "..."
		}
		return fmt.Errorf("credential id %q: want 1 to 64 letters, digits, _ and -", id)
	}
	return nil
}

// Check says what is wrong with a credential, in one line without its values.
// The error is ErrInvalid.
func (c Credential) Check() error {
	if err := CheckCredentialID(c.ID); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: credential %s: %s", ErrInvalid, c.ID, fmt.Sprintf(format, args...))
	}
	t := FindCredentialType(c.Type)
	if t == nil {
		return bad("unknown type %q%s", c.Type, orThereAre(c.Type, CredentialTypeNames()))
	}
	for name, v := range c.Data.All() {
		f := t.field(name)
		if f == nil && !t.Free {
			return bad("type %s has no field %q%s", t.Name, name, orThereAre(name, t.fieldNames()))
		}
		if err := checkCredentialField(t, f, name, v); err != nil {
			return bad("%s", err)
		}
	}
	for i := range t.Fields {
		f := &t.Fields[i]
		if _, given := c.Data.Get(f.Name); f.Required && c.Text(f.Name) == "" && !(f.Empty && given) {
			return bad("type %s needs the field %q%s", t.Name, f.Name, mayBeEmpty(f))
		}
	}
	if data, err := value.JSON(c.Data); err != nil || len(data) > MaxCredential {
		return bad("larger than %d KiB", MaxCredential>>10)
	}
	switch {
	case t.Name == "oauth":
		return c.checkOAuth(bad)
	case t.Name == "api_key" && c.Text("header_name") != "" && c.Text("query_param") != "":
		return bad("both header_name and query_param; keep one")
	}
	return nil
}

// mayBeEmpty says of a missing field that it may be given as "".
func mayBeEmpty(f *CredentialField) string {
	if f.Empty {
		return " (it may be \"\")"
	}
	return ""
}

func checkCredentialField(t *CredentialType, f *CredentialField, name string, v any) error {
	if f != nil && f.Table {
		return checkTable(name, v)
	}
	s, ok := v.(string)
	switch {
	case !ok:
		return fmt.Errorf("the field %q is of type %s, want text in quotes", name, value.TypeName(v))
	case f != nil && !f.Takes(s):
		return fmt.Errorf("the field %q has a value that is none of %s", name, strings.Join(f.OneOf, ", "))
	}
	return nil
}

// credentialWords are other words for types of credentials and their fields:
// those of auth_type, and those of other tools.
var credentialWords = map[string]string{
	"basic": "basic_auth", "digest": "basic_auth", "http_basic": "basic_auth", "oauth2": "oauth", "client_credentials": "oauth",
	"bearer": "custom", "token": "custom", "jwt": "custom", "aws_sigv4": "aws", "sigv4": "aws",
	"user": "username", "login": "username", "pass": "password", "pwd": "password", "access_token": "token", "bearer_token": "token",
	"key": "api_key", "value": "api_key", "header": "header_name", "id": "client_id", "secret": "client_secret",
	"token_endpoint": "token_url", "token_uri": "token_url", "access_token_url": "token_url", "scopes": "scope", "kid": "key_id",
	"aws_access_key_id": "access_key_id", "aws_secret_access_key": "secret_access_key", "aws_session_token": "session_token",
	"access_key": "access_key_id", "secret_key": "secret_access_key",
}

func orThereAre(got string, names []string) string {
	if near := Meant(got, names, credentialWords); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return " (there are: " + strings.Join(names, ", ") + ")"
}

// Text is a field that is text; "" when it is not there.
func (c Credential) Text(name string) string {
	v, _ := c.Data.Get(name)
	s, _ := v.(string)
	return s
}

// open reports whether a field may be shown. A user name without a password is
// a key that stands in its place.
func (c Credential) open(name string) bool {
	if c.Type == "basic_auth" && c.Text("password") == "" {
		return false
	}
	if t := FindCredentialType(c.Type); t != nil {
		if f := t.field(name); f != nil {
			return f.Open
		}
	}
	return false
}

// Secrets lists the values that must not be shown.
func (c Credential) Secrets() (out []string) {
	for name, v := range c.Data.All() {
		if !c.open(name) {
			out = appendTexts(out, v)
		}
	}
	return out
}

func appendTexts(out []string, v any) []string {
	switch v := v.(type) {
	case string:
		return append(append(out, v), lines(v)...)
	case []any:
		for _, e := range v {
			out = appendTexts(out, e)
		}
	case *value.Map:
		for _, e := range v.All() {
			out = appendTexts(out, e)
		}
	}
	return out
}

// minLine is the shortest line of a secret that is one by itself.
const minLine = 16

// lines are the lines of a text of several, such as a key in PEM: who repeats it
// may fold them, or repeat a part.
func lines(text string) (out []string) {
	all := strings.FieldsFunc(unfolded(text), func(r rune) bool { return r == '\n' || r == '\r' })
	if len(all) < 2 {
		return nil
	}
	for _, line := range all {
		if len(line) >= minLine && !strings.HasPrefix(line, "-----") {
			out = append(out, line)
		}
	}
	return out
}

// Redacted is the data with "***" in place of what must not be shown.
func (c Credential) Redacted() *value.Map {
	out := value.NewMap(c.Data.Len())
	for name, v := range c.Data.All() {
		if !c.open(name) && v != "" {
			v = "***"
		}
		out.Set(name, v)
	}
	return out
}
