package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/curl"
	"github.com/qarion/qarion/internal/secret"
	"github.com/qarion/qarion/internal/value"
)

// fromCurl is a curl command as a flow: the inverse of render --curl.
type fromCurl struct {
	name        string
	r           *curl.Request
	text        string
	left        []curl.Left
	credentials []*curlCredential
	lines       []string // of [tasks.properties]
	tables      []string // of its tables
}

// curlCredential are the secrets of a command, on their way into the store.
type curlCredential struct {
	id, kind string
	data     *value.Map
}

func (c *curlCredential) open(field string) bool {
	t := engine.FindCredentialType(c.kind)
	return slices.ContainsFunc(t.Fields, func(f engine.CredentialField) bool { return f.Name == field && f.Open })
}

// unknown lists the fields whose value the command does not have: it names a
// variable of the shell.
func (c *curlCredential) unknown() (fields []string) {
	for k, v := range c.data.All() {
		if s, _ := v.(string); strings.Contains(s, "\x00") {
			fields = append(fields, k)
		}
	}
	return fields
}

// translate writes the flow.
func translate(name string, r *curl.Request) (*fromCurl, error) {
	f := &fromCurl{name: name, r: r, left: r.Left}
	address, err := f.address()
	if err != nil {
		return nil, err
	}
	f.say("url = " + tomlText(f.literal(address)))
	if r.Method != "" && !strings.EqualFold(r.Method, "GET") {
		f.say("operation = " + tomlText(strings.ToLower(r.Method)))
	}
	if err := f.auth(); err != nil {
		return nil, err
	}
	f.headers()
	if err := f.body(); err != nil {
		return nil, err
	}
	f.way()
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: from a curl command\n[[tasks]]\nid = \"call\"\ntype = \"api_call\"\n[tasks.properties]\n%s\n", name, strings.Join(f.lines, "\n"))
	for _, t := range f.tables {
		b.WriteString("\n" + t + "\n")
	}
	f.text = b.String()
	return f, nil
}

func (f *fromCurl) say(line string) { f.lines = append(f.lines, line) }

func (f *fromCurl) leave(option, why string) {
	f.left = append(f.left, curl.Left{Option: option, Why: why})
}

// custom is the credential for secrets that have no authentication of their own.
func (f *fromCurl) custom() *curlCredential {
	for _, c := range f.credentials {
		if c.kind == "custom" {
			return c
		}
	}
	id := f.name
	if len(f.credentials) > 0 {
		id += "_more"
	}
	c := &curlCredential{id: id, kind: "custom", data: value.NewMap(2)}
	f.credentials = append(f.credentials, c)
	return c
}

var noField = regexp.MustCompile(`[^A-Za-z0-9]+`)

// hide moves a secret into the credential and returns the reference to it.
func (f *fromCurl) hide(name, v string) string {
	c := f.custom()
	for k, known := range c.data.All() {
		if known == v {
			return "${credential:" + c.id + "." + k + "}"
		}
	}
	field := strings.Trim(strings.ToLower(noField.ReplaceAllString(name, "_")), "_")
	if c.data.Len() == 0 || field == "" {
		field = "token" // a custom credential has one
	}
	for n := 2; ; n++ {
		if _, taken := c.data.Get(field); !taken {
			break
		}
		field = fmt.Sprintf("%s_%d", strings.TrimRight(field, "_0123456789"), n)
	}
	c.data.Set(field, v)
	return "${credential:" + c.id + "." + field + "}"
}

// literal is text as a template gives it again; a variable of the shell is a
// secret whose value is not known.
func (f *fromCurl) literal(s string) string {
	parts := strings.Split(s, "\x00")
	for i := range parts {
		switch {
		case i%2 == 1:
			parts[i] = f.hide(parts[i], curl.Variable(parts[i]))
		case strings.Contains(parts[i], "{{") || strings.Contains(parts[i], "{%") || strings.Contains(parts[i], "{#"):
			parts[i] = "{% raw %}" + parts[i] + "{% endraw %}"
		}
	}
	return strings.Join(parts, "")
}

// address takes the secrets out of the URL: its user, and parameters by their
// names.
func (f *fromCurl) address() (string, error) {
	u, query, has := strings.Cut(f.r.URL, "?")
	u, _, _ = strings.Cut(u, "#")
	query, _, _ = strings.Cut(query, "#")
	scheme, rest, _ := strings.Cut(u, "://")
	host, path, slash := strings.Cut(rest, "/")
	if scheme != "http" && scheme != "https" && !strings.HasPrefix(u, "\x00") {
		return "", fmt.Errorf("the address is %s://..., want http or https", scheme)
	}
	if strings.ContainsAny(host, "{}") || strings.ContainsAny(path, "{}[]") && strings.Contains(path, "-") {
		return "", errors.New("the address has a list or a range of addresses in it ({a,b} or [1-3]); a task makes one request")
	}
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		if !f.r.UserGiven {
			user, err := url.PathUnescape(host[:at])
			if err != nil {
				return "", errors.New("the user in the address cannot be read")
			}
			f.r.User, f.r.UserGiven = user, true
		}
		host = host[at+1:]
		u = scheme + "://" + host
		if slash {
			u += "/" + path
		}
	}
	params := append(splitQuery(query), splitQuery(strings.Join(f.r.Query, "&"))...)
	if !has && len(params) == 0 {
		return u, nil
	}
	var open, hidden []string
	for _, p := range params {
		k, v, _ := strings.Cut(p, "=")
		name, err := url.QueryUnescape(k)
		if text, err2 := url.QueryUnescape(v); err == nil && err2 == nil && (secret.Name(name) || strings.Contains(v, "\x00")) && v != "" {
			hidden = append(hidden, tomlKey(name)+" = "+tomlText(f.secretText(name, text)))
		} else {
			open = append(open, p)
		}
	}
	if len(hidden) > 0 {
		f.tables = append(f.tables, "[tasks.properties.params]\n"+strings.Join(hidden, "\n"))
	}
	if len(open) > 0 {
		u += "?" + strings.Join(open, "&")
	}
	return u, nil
}

func splitQuery(q string) []string {
	return slices.DeleteFunc(strings.Split(q, "&"), func(s string) bool { return s == "" })
}

// secretText is a secret as a reference; of a text with a shell variable only
// that is one.
func (f *fromCurl) secretText(name, v string) string {
	if strings.Contains(v, "\x00") {
		return f.literal(v)
	}
	return f.hide(name, v)
}

// auth finds who the command is: by option, or by an Authorization header.
func (f *fromCurl) auth() error {
	r := f.r
	at := slices.IndexFunc(r.Headers, func(h curl.Header) bool { return strings.EqualFold(h.Name, "Authorization") })
	if at >= 0 && !r.UserGiven && r.Bearer == "" {
		scheme, rest, _ := strings.Cut(r.Headers[at].Value, " ")
		switch {
		case strings.EqualFold(scheme, "Bearer"):
			r.Bearer = strings.TrimSpace(rest)
			r.Headers = slices.Delete(r.Headers, at, at+1)
		case strings.EqualFold(scheme, "Basic") && !strings.Contains(rest, "\x00"):
			if text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest)); err == nil && strings.Contains(string(text), ":") {
				r.User, r.UserGiven = string(text), true
				r.Headers = slices.Delete(r.Headers, at, at+1)
			}
		}
	}
	switch {
	case r.SigV4 != "":
		return f.sigV4()
	case r.UserGiven:
		kind := "basic"
		if r.Digest {
			kind = "digest"
		}
		user, password, _ := strings.Cut(r.User, ":")
		f.use(kind, &curlCredential{id: f.name, kind: "basic_auth", data: value.MapOf("username", user, "password", password)})
	case r.Bearer != "":
		f.use("bearer", &curlCredential{id: f.name, kind: "custom", data: value.MapOf("token", r.Bearer)})
	}
	return nil
}

func (f *fromCurl) use(authType string, c *curlCredential) {
	f.credentials = append([]*curlCredential{c}, f.credentials...)
	for _, other := range f.credentials[1:] { // its references are in the address already
		if other.id == c.id {
			other.id += "_more"
			for i, t := range f.tables {
				f.tables[i] = strings.ReplaceAll(t, "${credential:"+c.id+".", "${credential:"+other.id+".")
			}
			f.lines[0] = strings.ReplaceAll(f.lines[0], "${credential:"+c.id+".", "${credential:"+other.id+".")
		}
	}
	f.say("auth_type = " + tomlText(authType))
	f.say("credential_id = " + tomlText(c.id))
}

func (f *fromCurl) sigV4() error {
	parts := strings.Split(f.r.SigV4, ":")
	id, key, ok := strings.Cut(f.r.User, ":")
	if !ok {
		return errors.New("--aws-sigv4 needs -u with the id of a key and the key")
	}
	data := value.MapOf("access_key_id", id, "secret_access_key", key)
	f.r.Headers = slices.DeleteFunc(f.r.Headers, func(h curl.Header) bool {
		if strings.EqualFold(h.Name, "X-Amz-Security-Token") {
			data.Set("session_token", h.Value)
			return true
		}
		return false
	})
	f.use("aws_sigv4", &curlCredential{id: f.name, kind: "aws", data: data})
	for i, property := range []string{"region", "service"} {
		if len(parts) > i+2 && parts[i+2] != "" {
			f.say(property + " = " + tomlText(parts[i+2]))
		}
	}
	return nil
}

// leftHeaders are made from the request itself.
var leftHeaders = map[string]string{
	"Content-Length": "it is that of the body", "Transfer-Encoding": "the body decides", "Connection": "connections are kept", "Host": "",
	"Accept-Encoding": "qarion asks for what it can decode", "Expect": "bodies are sent at once", "Keep-Alive": "connections are kept", "Te": "", "Upgrade": "",
	"Proxy-Authorization": "write proxy_credential_id", "Proxy-Connection": "",
}

func (f *fromCurl) headers() {
	if f.r.Cookie != "" {
		f.r.Headers = append(f.r.Headers, curl.Header{Name: "Cookie", Value: f.r.Cookie})
	}
	var rows []string
	seen := map[string]int{}
	for _, h := range f.r.Headers {
		canonical := canonicalHeader(h.Name)
		if why, leave := leftHeaders[canonical]; leave && !(canonical == "Host" && !strings.Contains(f.r.URL, "//"+h.Value)) {
			if why != "" {
				f.leave("header "+canonical, why)
			}
			continue
		}
		if canonical == "Idempotency-Key" {
			f.say("idempotency_key = " + f.keyOf(h.Value))
			continue
		}
		if canonical == "Content-Type" && f.typed(h.Value) {
			continue
		}
		text := f.literal(h.Value)
		if secret.Name(canonical) && h.Value != "" && !strings.Contains(h.Value, "\x00") {
			text = f.hide(canonical, h.Value)
		}
		row := tomlKey(canonical) + " = " + tomlText(text)
		if at, again := seen[canonical]; again {
			rows[at] = row
			f.leave("header "+canonical, "it is there twice; the last one counts")
			continue
		}
		seen[canonical] = len(rows)
		rows = append(rows, row)
	}
	if len(rows) > 0 {
		f.tables = append(f.tables, "[tasks.properties.headers]\n"+strings.Join(rows, "\n"))
	}
	if f.r.Jar != "" {
		stem := f.r.Jar[strings.LastIndexAny(f.r.Jar, "/\\")+1:]
		stem, _, _ = strings.Cut(stem, ".")
		if stem = noField.ReplaceAllString(stem, "_"); stem == "" {
			stem = f.name
		}
		f.say("cookie_jar = " + tomlText(stem))
	}
}

// keyOf is an idempotency key: one from the shell is made from the run here.
func (f *fromCurl) keyOf(v string) string {
	if strings.HasPrefix(v, "\x00") {
		return "true"
	}
	return tomlText(f.literal(v))
}

func canonicalHeader(name string) string {
	parts := strings.Split(strings.ToLower(name), "-")
	for i, p := range parts {
		if p != "" {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "-")
}

// contentType is the type of the body: a header's, or the one that curl gives.
func (f *fromCurl) contentType() string {
	for _, h := range f.r.Headers {
		if strings.EqualFold(h.Name, "Content-Type") {
			return h.Value
		}
	}
	return f.r.Type
}

// typed reports whether the body's format says the content type by itself.
func (f *fromCurl) typed(contentType string) bool {
	format, exact := f.format()
	return exact && format != "" && format != "raw" && contentType != "" || format == "multipart"
}

// format is the body_format that fits the body; exact: with its own content type.
func (f *fromCurl) format() (format string, exact bool) {
	if f.r.Form != nil {
		return "multipart", true
	}
	if f.r.Data == nil {
		return "", false
	}
	kind, params, _ := mime.ParseMediaType(f.contentType())
	data := string(f.r.Data)
	switch {
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		if _, err := value.ParseJSON(sampled(data)); err == nil {
			return "json", kind == "application/json" && len(params) == 0
		}
	case kind == "application/x-www-form-urlencoded":
		if _, ok := formFields(data); ok {
			return "form", len(params) == 0
		}
	}
	return "raw", false
}

// sampled is a text with something in place of shell variables.
func sampled(s string) []byte {
	parts := strings.Split(s, "\x00")
	for i := 1; i < len(parts); i += 2 {
		parts[i] = "x"
	}
	return []byte(strings.Join(parts, ""))
}

// formFields reads a form of which nothing is lost as a table.
func formFields(data string) (fields [][2]string, ok bool) {
	if data == "" {
		return nil, false
	}
	for pair := range strings.SplitSeq(data, "&") {
		k, v, has := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(k)
		text, err2 := url.QueryUnescape(v)
		if !has || name == "" || err != nil || err2 != nil || strings.Contains(name, "\x00") {
			return nil, false
		}
		fields = append(fields, [2]string{name, text})
	}
	return fields, true
}

func (f *fromCurl) body() error {
	format, exact := f.format()
	if f.r.Data == nil && f.r.Form == nil {
		return nil
	}
	if m := strings.ToUpper(f.r.Method); m == "GET" || m == "HEAD" {
		return fmt.Errorf("a %s request with a body cannot be written as a task", m)
	}
	if format != "json" {
		f.say("body_format = " + tomlText(format))
	}
	switch format {
	case "json":
		f.say("body = " + tomlText(f.jsonText(string(f.r.Data))))
	case "form":
		fields, _ := formFields(string(f.r.Data))
		f.tables = append(f.tables, "[tasks.properties.body]\n"+strings.Join(f.fields(fields), "\n"))
	case "multipart":
		f.multipart()
	default:
		f.say("body = " + tomlText(f.literal(string(f.r.Data))))
	}
	if kind := f.contentType(); !exact && format != "multipart" && !f.hasHeader("Content-Type") && kind != "" {
		f.addHeader("Content-Type", kind)
	}
	return nil
}

func (f *fromCurl) hasHeader(name string) bool {
	return slices.ContainsFunc(f.r.Headers, func(h curl.Header) bool { return strings.EqualFold(h.Name, name) })
}

// addHeader adds one that curl sends by itself.
func (f *fromCurl) addHeader(name, v string) {
	row := tomlKey(name) + " = " + tomlText(v)
	for i, t := range f.tables {
		if strings.HasPrefix(t, "[tasks.properties.headers]\n") {
			f.tables[i] = t + "\n" + row
			return
		}
	}
	f.tables = append(f.tables, "[tasks.properties.headers]\n"+row)
}

// fields are the rows of a form; a name that comes again is a list.
func (f *fromCurl) fields(fields [][2]string) (rows []string) {
	values, order := map[string][]string{}, []string{}
	for _, kv := range fields {
		if values[kv[0]] == nil {
			order = append(order, kv[0])
		}
		text := f.literal(kv[1])
		if secret.Name(kv[0]) && kv[1] != "" {
			text = f.secretText(kv[0], kv[1])
		}
		values[kv[0]] = append(values[kv[0]], tomlText(text))
	}
	for _, name := range order {
		row := tomlKey(name) + " = " + values[name][0]
		if len(values[name]) > 1 {
			row = tomlKey(name) + " = [" + strings.Join(values[name], ", ") + "]"
		}
		rows = append(rows, row)
	}
	return rows
}

// secretMember finds members of JSON objects that are secrets by their name.
var secretMember = regexp.MustCompile(`(?i)("[^"\\]*(?:` + secret.Pattern() + `)[^"\\]*"\s*:\s*)"((?:[^"\\]|\\.)*)"`)

// jsonText is a body of JSON with its secrets taken out.
func (f *fromCurl) jsonText(s string) string {
	s = secretMember.ReplaceAllStringFunc(s, func(m string) string {
		parts := secretMember.FindStringSubmatch(m)
		text, err := value.ParseJSON([]byte(`"` + parts[2] + `"`))
		v, isText := text.(string)
		if err != nil || !isText || v == "" || strings.Contains(v, "\x00") {
			return m
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(parts[1], `"`), `"`)
		return parts[1] + `"` + f.hide(name, v) + `"`
	})
	return f.literalAround(s)
}

// literalAround is literal for text that holds references already.
func (f *fromCurl) literalAround(s string) string {
	if !strings.ContainsAny(s, "\x00") && !strings.Contains(s, "{{") && !strings.Contains(s, "{%") && !strings.Contains(s, "{#") {
		return s
	}
	var b strings.Builder
	for _, piece := range splitReferences(s) {
		if strings.HasPrefix(piece, "${credential:") {
			b.WriteString(piece)
		} else {
			b.WriteString(f.literal(piece))
		}
	}
	return b.String()
}

var reference = regexp.MustCompile(`\$\{credential:[A-Za-z0-9_.-]+\}`)

func splitReferences(s string) (out []string) {
	last := 0
	for _, m := range reference.FindAllStringIndex(s, -1) {
		out = append(out, s[last:m[0]], s[m[0]:m[1]])
		last = m[1]
	}
	return append(out, s[last:])
}

func (f *fromCurl) multipart() {
	var rows []string
	seen := map[string]bool{}
	for _, p := range f.r.Form {
		if seen[p.Name] {
			f.leave("-F "+p.Name, "it is there twice; write a list")
			continue
		}
		seen[p.Name] = true
		if !p.File && p.Type == "" && p.Filename == "" {
			text := f.literal(p.Value)
			if secret.Name(p.Name) && p.Value != "" {
				text = f.secretText(p.Name, p.Value)
			}
			rows = append(rows, tomlKey(p.Name)+" = "+tomlText(text))
			continue
		}
		var parts []string
		if p.File {
			parts = append(parts, "path = "+tomlText(p.Value))
			f.leave("@"+p.Value, "the file is read when the task runs: put it into the folder of the flow")
		} else {
			parts = append(parts, "content = "+tomlText(f.literal(p.Value)))
		}
		if p.Type != "" {
			parts = append(parts, "content_type = "+tomlText(p.Type))
		}
		if p.Filename != "" {
			parts = append(parts, "filename = "+tomlText(p.Filename))
		}
		rows = append(rows, tomlKey(p.Name)+" = { "+strings.Join(parts, ", ")+" }")
	}
	f.tables = append(f.tables, "[tasks.properties.body]\n"+strings.Join(rows, "\n"))
}

// way writes what the command says about connections and time.
func (f *fromCurl) way() {
	r := f.r
	if r.Insecure {
		f.say("verify_tls = false")
	}
	for _, p := range [][2]string{{"ca_file", r.CAFile}, {"client_cert", r.Cert}, {"client_key", r.Key}} {
		if p[1] != "" {
			f.say(p[0] + " = " + tomlText(f.literal(p[1])))
		}
	}
	if r.Cert != "" && r.Key == "" {
		f.say("client_key = " + tomlText(f.literal(r.Cert)))
	}
	for _, p := range [][2]string{{"timeout", r.MaxTime}, {"connect_timeout", r.ConnectTimeout}, {"max_redirects", r.MaxRedirects}, {"retry_count", r.Retries}, {"retry_delay", r.RetryDelay}} {
		switch {
		case p[1] == "":
		case p[0] == "max_redirects" && p[1] == "0":
			f.say("follow_redirects = false")
		case strings.Trim(p[1], "0123456789.") == "" && strings.Trim(p[1], ".") == p[1]:
			f.say(p[0] + " = " + p[1])
		default:
			f.leave(p[0], "the value is no number")
		}
	}
	f.proxy()
}

func (f *fromCurl) proxy() {
	if f.r.Proxy == "" {
		return
	}
	address, user := f.r.Proxy, f.r.ProxyUser
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	scheme, rest, _ := strings.Cut(address, "://")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if text, err := url.PathUnescape(rest[:at]); err == nil && user == "" {
			user = text
		}
		address = scheme + "://" + rest[at+1:]
	}
	f.say("proxy = " + tomlText(f.literal(address)))
	if user != "" {
		name, password, _ := strings.Cut(user, ":")
		c := &curlCredential{id: f.name + "_proxy", kind: "basic_auth", data: value.MapOf("username", name, "password", password)}
		f.credentials = append(f.credentials, c)
		f.say("proxy_credential_id = " + tomlText(c.id))
	}
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func tomlKey(s string) string {
	if bareKey.MatchString(s) {
		return s
	}
	return tomlText(s)
}

// tomlText writes a string as it is easiest to read (TOML 1.0, String).
func tomlText(s string) string {
	control := strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f })
	switch {
	case !control && !strings.ContainsAny(s, "\n\"\\"):
		return `"` + s + `"`
	case !control && !strings.ContainsAny(s, "\n'"):
		return "'" + s + "'"
	case !control && !strings.Contains(s, "'''") && !strings.HasSuffix(s, "'"):
		return "'''\n" + s + "'''"
	}
	return strings.ReplaceAll(string(value.AppendString(nil, s)), "\x7f", `\u007F`) // a JSON string is a basic one of TOML, but for DEL
}
