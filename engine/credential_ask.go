package engine

import "slices"

// Question is a field that a person is asked for.
type Question struct {
	*CredentialField
	Needed bool // there is no credential without it
}

// Asked is the next field to ask a person for, given what was answered so far
// (an answer may be ""); ok is false when there is nothing left to ask. What
// decides what else is needed comes first; tables are not asked for.
func (c Credential) Asked() (q Question, ok bool) {
	t := FindCredentialType(c.Type)
	if t == nil {
		return q, false
	}
	for _, choices := range []bool{true, false} {
		for i := range t.Fields {
			f := &t.Fields[i]
			_, answered := c.Data.Get(f.Name)
			if answered || f.Table || choices && (f.OneOf == nil || f.Rare) {
				continue
			}
			if asked, needed := c.wants(f); asked {
				return Question{f, needed}, true
			}
		}
	}
	return q, false
}

// wants reports whether a field is of use beside what there is, and needed.
func (c Credential) wants(f *CredentialField) (asked, needed bool) {
	if c.Type != "oauth" {
		return !f.Rare, f.Required && !f.Empty
	}
	grant, style := c.Grant(), c.Style()
	bySecret := slices.Contains([]string{StyleHeader, StyleBody, StyleSecretJWT}, style)
	signs, _ := c.signs()
	switch f.Name {
	case "client_id":
		return true, grant != GrantJWT || style != StyleNone
	case "client_secret":
		return bySecret || grant == GrantJWT && c.Text("auth_style") == "", bySecret && grant != GrantRefresh
	case "refresh_token":
		return grant == GrantRefresh || c.Text("grant_type") == "", grant == GrantRefresh
	case "username", "password":
		return grant == GrantPassword, true
	case "private_key":
		return signs != "" || style == StyleTLS, signs != ""
	case "key_id", "assertion_audience", "assertion_life":
		return signs != "" || style == StyleSecretJWT, false
	case "certificate":
		return style == StyleKeyJWT || style == StyleTLS && c.Text("private_key") != "", style == StyleTLS
	case "issuer":
		return grant == GrantJWT, c.Text("client_id") == ""
	case "subject":
		return grant == GrantJWT, false
	}
	return !f.Rare, f.Required
}
