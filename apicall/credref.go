package apicall

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// A flow file may name a field of a credential as ${credential:ID.field}, or
// a credential with one secret as ${credential:ID}: beside templates, or within
// one as a text of its own, "${credential:ID.key}". Only the file's own
// strings are looked at, never data; the reference becomes a template variable
// whose value is marked as a secret.

var credentialPattern = regexp.MustCompile(`\$\{credential:([A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_]+))?\}`)

// credentialName begins the names of the variables that stand for references;
// no flow variable can have it.
const credentialName = "xcom_credential__"

type credentialRef struct {
	id, field string
	path      []string // where it stands, for messages
}

// credentials replaces references in a string of the flow file.
func (c *compiler) credentials(path []string, source string) string {
	const opening = "${credential:"
	if !strings.Contains(source, opening) {
		return source
	}
	var b strings.Builder
	last, found := 0, 0
	for _, m := range credentialPattern.FindAllStringSubmatchIndex(source, -1) {
		start, end := m[0], m[1]
		name := credentialName + strconv.Itoa(len(c.creds))
		before := source[:start]
		if strings.LastIndex(before, "{{") > strings.LastIndex(before, "}}") || strings.LastIndex(before, "{%") > strings.LastIndex(before, "%}") {
			if start == 0 || end == len(source) || source[start-1] != source[end] || source[end] != '"' && source[end] != '\'' {
				c.badReference(path, "stands inside {{ }}; write it beside, or as a text of its own: \"${credential:ID.field}\"")
			} else { // a text of its own: the key of a filter that signs
				start, end = start-1, end+1
			}
		} else {
			name = "{{ " + name + " }}"
		}
		b.WriteString(source[last:start])
		b.WriteString(name)
		last = end
		found++
		ref := credentialRef{id: source[m[2]:m[3]], path: append([]string{"properties"}, path...)}
		if m[4] >= 0 {
			ref.field = source[m[4]:m[5]]
		}
		c.creds = append(c.creds, ref)
	}
	b.WriteString(source[last:])
	if strings.Count(source, opening) != found {
		c.badReference(path, "is not of the form ${credential:ID} or ${credential:ID.field}")
	}
	return b.String()
}

func (c *compiler) badReference(path []string, why string) {
	c.Problems = append(c.Problems, engine.Problem{
		Task: c.Task, Path: append([]string{"properties"}, path...), Code: "bad-credential", Value: "${credential:",
		Message: "a reference to a credential " + why,
	})
}

// mainField is the field that ${credential:ID} means, by type.
var mainField = map[string]string{"api_key": "api_key", "custom": "token", "basic_auth": "password", "oauth": "client_secret", "aws": "secret_access_key"}

// secret returns the field that a reference names.
func (p *program) secret(ctx context.Context, ref credentialRef) (string, error) {
	cred, err := p.t.credential(ctx, ref.id, "")
	if err != nil {
		return "", err
	}
	field := ref.field
	if field == "" {
		field = mainField[cred.Type]
	}
	v, ok := cred.Data.Get(field)
	if !ok {
		return "", &AuthError{Credential: ref.id, Message: fmt.Sprintf("it is a %s and has no field %q; there are: %s", cred.Type, field, someKeys(cred.Data))}
	}
	return plainText(v), nil
}

// vars is the template context of one attempt: what the engine gives, with
// xcom_pull_key applied and references to credentials resolved.
type vars struct {
	*engine.TaskInput
	prog    *program
	secrets []string // seen in this attempt
	derived []string // those of them that templates made of others
	sensitive
	readNames []string         // of what was read of sensitive tasks
	request   func() jinja.Var // while headers are rendered
	answer    map[string]any   // while a condition on an answer is evaluated
	broken    error            // why a reference to a credential could not be resolved
}

var _ jinja.Vars = (*vars)(nil)

// Lookup implements jinja.Vars.
func (v *vars) Lookup(ctx context.Context, name string) (jinja.Var, bool, error) {
	if n, ok := strings.CutPrefix(name, credentialName); ok {
		i, err := strconv.Atoi(n)
		if err != nil || i >= len(v.prog.creds) {
			return jinja.Var{}, false, nil
		}
		s, err := v.prog.secret(ctx, v.prog.creds[i])
		v.secrets, v.broken = append(v.secrets, s), err
		return jinja.Var{Value: s, Origin: value.Secret}, true, err
	}
	if name == requestName && v.request != nil { // before what a trigger may give by that name
		return v.request(), true, nil
	}
	if got, offered := v.offered(name); offered {
		return got, true, nil
	}
	got, ok, err := v.TaskInput.Lookup(ctx, name)
	if ok {
		v.whatIsRead(name, got)
	}
	if err != nil || !ok || v.prog.props.pullKey == "" {
		return got, ok, err
	}
	for _, id := range v.prog.props.pulls {
		if name == "xcom_"+engine.TaskID(id).TemplateName() {
			got.Value, err = extract(name, got.Value, v.prog.props.pullKey)
			if v.prog.keyRead[name] && err == nil {
				got.Value = alsoByKey(v.prog.props.pullKey, got.Value)
			}
		}
	}
	return got, ok, err
}

var _ jinja.Witness = (*vars)(nil)

// Derived implements jinja.Witness: a signature that is only a part of what a
// template writes is hidden where a server repeats it alone.
func (v *vars) Derived(o value.Origin, text string) {
	switch {
	case len(text) < minSecret || len(text) > maxLeaf:
	case len(v.derived) >= maxLeaves || len(v.used) >= maxLeaves:
		v.opaque = true
	default:
		noteSecret(v, o, text)
	}
}

// noteSecret keeps a text that a secret had a part in for the redactor, where it
// does not hold the secret as it is: a filter may have changed it.
func noteSecret(in jinja.Vars, o value.Origin, text string) {
	v, ok := in.(*vars)
	if !ok || !o.Secret() || text == "" {
		return
	}
	if o.Sensitive() {
		v.note(text)
	}
	if o&value.Secret == 0 {
		return
	}
	if !slices.ContainsFunc(v.secrets, func(s string) bool { return s != "" && strings.Contains(text, s) }) {
		v.secrets, v.derived = append(v.secrets, text), append(v.derived, text)
	}
}

// extract takes the key that xcom_pull_key names out of a pulled value.
func extract(name string, v any, key string) (any, error) {
	if s, isText := v.(string); isText {
		return nil, fmt.Errorf("%s has no key %q (xcom_pull_key): it is text, %s", name, key, aboutText(s))
	}
	m, ok := v.(*value.Map)
	if !ok {
		return nil, fmt.Errorf("%s is a %s and has no key %q (xcom_pull_key)", name, value.TypeName(v), key)
	}
	got, ok := m.Get(key)
	if !ok {
		return nil, fmt.Errorf("%s has no key %q (xcom_pull_key; there are: %s)", name, key, someKeys(m))
	}
	return got, nil
}

// alsoByKey makes an extracted value readable by its key, for templates that
// write {{ xcom_t.key }} although xcom_pull_key has taken the key already, as
// the documentation's own example does.
func alsoByKey(key string, v any) any {
	if m, ok := v.(*value.Map); ok {
		if _, has := m.Get(key); has {
			return m
		}
	}
	return value.MapOf(key, v)
}

// readsKey reports whether a template's source reads a key of a name.
func readsKey(source, name, key string) bool {
	q := regexp.QuoteMeta
	re := regexp.MustCompile(q(name) + `\s*(?:\.\s*` + q(key) + `\b|\[\s*['"]` + q(key) + `['"]\s*\])`)
	return re.MatchString(source)
}

// someKeys lists the first keys of a map, for messages.
func someKeys(m *value.Map) string {
	keys := m.Keys()
	if len(keys) > 10 {
		return strings.Join(keys[:10], ", ") + ", ..."
	}
	return strings.Join(keys, ", ")
}
