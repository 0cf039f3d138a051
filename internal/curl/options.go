package curl

import (
	"errors"
	"net/url"
	"strings"
)

// option is what an option does: with a value behind it, or without.
type option struct {
	value func(p *parser, v string) error
	flag  func(p *parser) error
}

func set(to func(r *Request) *string) option {
	return option{value: func(p *parser, v string) error { *to(&p.r) = v; return nil }}
}

func on(do func(p *parser)) option {
	return option{flag: func(p *parser) error { do(p); return nil }}
}

// silent is an option about what curl prints or keeps, not about the request.
var silent, silentValue = on(func(*parser) {}), option{value: func(*parser, string) error { return nil }}

// dropped are options that change a request in a way that is not carried over.
func dropped(name, why string) option {
	return on(func(p *parser) { p.left(name, why) })
}

func droppedValue(name, why string) option {
	return option{value: func(p *parser, _ string) error { p.left(name, why); return nil }}
}

func refusedOption(why string) option {
	return option{flag: func(*parser) error { return errors.New(why) }}
}

// shorts are the options of one letter.
var shorts = map[string]string{
	"X": "request", "H": "header", "d": "data", "F": "form", "u": "user", "b": "cookie", "c": "cookie-jar", "A": "user-agent", "e": "referer",
	"G": "get", "I": "head", "k": "insecure", "L": "location", "m": "max-time", "x": "proxy", "U": "proxy-user", "E": "cert", "T": "upload-file",
	"r": "range", "s": "silent", "S": "show-error", "v": "verbose", "i": "include", "f": "fail", "g": "globoff", "N": "no-buffer", "o": "output",
	"O": "remote-name", "J": "remote-header-name", "w": "write-out", "D": "dump-header", "#": "progress-bar", "q": "disable", "n": "netrc",
	"0": "http1.0", "1": "tlsv1", "4": "ipv4", "6": "ipv6", "K": "config", ":": "next", "C": "continue-at", "z": "time-cond", "y": "speed-time",
	"Y": "speed-limit", "a": "append", "M": "manual", "V": "version", "j": "junk-session-cookies", "l": "list-only", "R": "remote-time", "p": "proxytunnel", "Z": "parallel", "h": "help",
}

var options = map[string]option{
	"request":        set(func(r *Request) *string { return &r.Method }),
	"url":            {value: func(p *parser, v string) error { p.urls = append(p.urls, v); return nil }},
	"header":         {value: (*parser).header},
	"data":           {value: func(p *parser, v string) error { return p.addData(v, true, true) }},
	"data-ascii":     {value: func(p *parser, v string) error { return p.addData(v, true, true) }},
	"data-binary":    {value: func(p *parser, v string) error { return p.addData(v, true, false) }},
	"data-raw":       {value: func(p *parser, v string) error { return p.addData(v, false, false) }},
	"data-urlencode": {value: (*parser).urlencode},
	"json": {value: func(p *parser, v string) error {
		if err := p.addData(v, true, false); err != nil {
			return err
		}
		p.r.Type = "application/json"
		p.r.Headers = append(p.r.Headers, Header{Name: "Accept", Value: "application/json"})
		return nil
	}},
	"form":        {value: func(p *parser, v string) error { return p.form(v, false) }},
	"form-string": {value: func(p *parser, v string) error { return p.form(v, true) }},
	"get":         on(func(p *parser) { p.get = true }),
	"head":        on(func(p *parser) { p.head = true }),
	"url-query":   {value: func(p *parser, v string) error { return p.query(v) }},
	"upload-file": {value: func(p *parser, v string) error {
		data, err := p.read(v)
		p.upload, p.r.Data, p.r.Type = v, data, "application/octet-stream"
		return err
	}},
	"user":   {value: func(p *parser, v string) error { p.r.User, p.r.UserGiven = v, true; return nil }},
	"digest": on(func(p *parser) { p.r.Digest = true }), "basic": silent, "anyauth": on(func(p *parser) { p.r.Digest = true }),
	"oauth2-bearer": set(func(r *Request) *string { return &r.Bearer }),
	"aws-sigv4":     set(func(r *Request) *string { return &r.SigV4 }),
	"ntlm":          refusedOption("NTLM is no authentication that api_call has"), "negotiate": refusedOption("Negotiate (Kerberos) is no authentication that api_call has"),
	"cookie": {value: func(p *parser, v string) error {
		if strings.Contains(v, "=") || strings.HasPrefix(v, "\x00") {
			p.r.Cookie = v
		} else {
			p.jarRead = v
		}
		return nil
	}},
	"cookie-jar": {value: func(p *parser, v string) error { p.jar = v; return nil }},
	"user-agent": {value: func(p *parser, v string) error { return p.header("User-Agent: " + v) }},
	"referer":    {value: func(p *parser, v string) error { return p.header("Referer: " + strings.TrimSuffix(v, ";auto")) }},
	"range":      {value: func(p *parser, v string) error { return p.header("Range: bytes=" + v) }},
	"insecure":   on(func(p *parser) { p.r.Insecure = true }),
	"cacert":     set(func(r *Request) *string { return &r.CAFile }),
	"cert": {value: func(p *parser, v string) error {
		path, password, has := strings.Cut(v, ":")
		if has && len(path) > 1 {
			p.left("the password of --cert", "client_key is a PEM file without one: openssl pkey -in key.pem")
			v = path
		}
		_ = password
		p.r.Cert = v
		return nil
	}},
	"key": set(func(r *Request) *string { return &r.Key }), "proxy": set(func(r *Request) *string { return &r.Proxy }),
	"proxy-user": set(func(r *Request) *string { return &r.ProxyUser }), "max-time": set(func(r *Request) *string { return &r.MaxTime }),
	"connect-timeout": set(func(r *Request) *string { return &r.ConnectTimeout }), "max-redirs": set(func(r *Request) *string { return &r.MaxRedirects }),
	"retry": set(func(r *Request) *string { return &r.Retries }), "retry-delay": set(func(r *Request) *string { return &r.RetryDelay }),

	"next": refusedOption("the command makes several requests: write a task for each"),

	// What curl prints, keeps, or does by itself.
	"silent": silent, "show-error": silent, "verbose": silent, "include": silent, "show-headers": silent, "fail": silent, "fail-with-body": silent,
	"globoff": silent, "no-buffer": silent, "remote-name": silent, "remote-header-name": silent, "progress-bar": silent, "disable": silent,
	"location": silent, "compressed": silent, "http1.1": silent, "http2": silent, "http2-prior-knowledge": silent, "http1.0": silent, "http3": silent,
	"tlsv1": silent, "tlsv1.0": silent, "tlsv1.1": silent, "tlsv1.2": silent, "tlsv1.3": silent, "ssl-reqd": silent, "ssl": silent, "ipv4": silent, "ipv6": silent,
	"retry-all-errors": silent, "retry-connrefused": silent, "tcp-nodelay": silent, "tcp-fastopen": silent, "raw": silent, "path-as-is": silent,
	"remote-time": silent, "create-dirs": silent, "output": silentValue, "write-out": silentValue, "dump-header": silentValue, "trace": silentValue, "trace-ascii": silentValue,
	"stderr": silentValue, "output-dir": silentValue, "tls-max": silentValue, "keepalive-time": silentValue, "expect100-timeout": silentValue, "parallel": silent, "styled-output": silent,

	"location-trusted": dropped("--location-trusted", "credentials stay with the origin that they are for"),
	"post301":          dropped("--post301", "a redirect turns a POST into a GET as in browsers"), "post302": dropped("--post302", "a redirect turns a POST into a GET as in browsers"),
	"post303": dropped("--post303", "a redirect turns a POST into a GET as in browsers"), "netrc": dropped("--netrc", "store a credential"),
	"proxytunnel": silent, "junk-session-cookies": silent, "append": silent, "list-only": silent,
	"resolve": droppedValue("--resolve", "names are looked up as everywhere"), "connect-to": droppedValue("--connect-to", "names are looked up as everywhere"),
	"interface": droppedValue("--interface", "the system chooses"), "dns-servers": droppedValue("--dns-servers", "names are looked up as everywhere"),
	"unix-socket": droppedValue("--unix-socket", "requests go over the network"), "ciphers": droppedValue("--ciphers", "TLS 1.2 and later with their usual ciphers"),
	"limit-rate": droppedValue("--limit-rate", "there is no such limit"), "max-filesize": droppedValue("--max-filesize", "write max_response_bytes"),
	"retry-max-time": droppedValue("--retry-max-time", "retry_count and retry_max_delay bound it"), "config": droppedValue("--config", "its options are not looked at"),
	"request-target": droppedValue("--request-target", "the target is that of the address"), "pass": droppedValue("--pass", "client_key is a PEM file without a password: openssl pkey -in key.pem"),
	"cert-type": droppedValue("--cert-type", "PEM is read"), "key-type": droppedValue("--key-type", "PEM is read"), "capath": droppedValue("--capath", "write ca_file, a PEM file"),
	"continue-at": droppedValue("--continue-at", `store_as = "object" goes on with what broke off`), "time-cond": droppedValue("--time-cond", "write a header If-Modified-Since"),
	"speed-time": silentValue, "speed-limit": silentValue, "variable": droppedValue("--variable", "write a flow variable"), "socks5": droppedValue("--socks5", "proxy is an http or https address"),
	"socks5-hostname": droppedValue("--socks5-hostname", "proxy is an http or https address"), "noproxy": droppedValue("--noproxy", "a proxy is there only where proxy names one"),
	"preproxy": droppedValue("--preproxy", "proxy is an http or https address"), "pinnedpubkey": droppedValue("--pinnedpubkey", "write ca_file"), "crlfile": droppedValue("--crlfile", "there is no such check"),
	"help": silent, "version": silent, "manual": silent,
}

// header reads -H: "Name: value", "Name;" for an empty one, "Name:" for one that
// curl shall not send, @file for a file of them.
func (p *parser) header(v string) error {
	if file, ok := strings.CutPrefix(v, "@"); ok {
		data, err := p.read(file)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimRight(line, "\r\n"); line != "" {
				if err := p.header(line); err != nil {
					return err
				}
			}
		}
		return nil
	}
	name, value, has := strings.Cut(v, ":")
	if strings.HasPrefix(v, ":") { // of HTTP/2, as some browsers copy them
		return nil
	}
	if !has {
		if empty, ok := strings.CutSuffix(v, ";"); ok {
			p.r.Headers = append(p.r.Headers, Header{Name: empty})
			return nil
		}
		return errors.New("a header is written as \"Name: value\"")
	}
	value = strings.TrimSpace(value)
	p.r.Headers = append(p.r.Headers, Header{Name: strings.TrimSpace(name), Value: value, Drop: value == ""})
	return nil
}

// addData adds a piece of a body; @file is the content of one, of which -d leaves
// line breaks out.
func (p *parser) addData(v string, files, strip bool) error {
	if name, ok := strings.CutPrefix(v, "@"); ok && files {
		data, err := p.read(name)
		if err != nil {
			return err
		}
		p.left("@"+name, "its content stands in the flow as it is now")
		if v = string(data); strip {
			v = strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(v)
		}
	}
	if p.r.Type == "" {
		p.r.Type = "application/x-www-form-urlencoded"
	}
	p.data = append(p.data, v)
	return nil
}

// urlencode reads content, =content, name=content, @file and name@file.
func (p *parser) urlencode(v string) error {
	encoded, err := p.encode(v)
	if err != nil {
		return err
	}
	return p.addData(encoded, false, false)
}

func (p *parser) encode(v string) (string, error) {
	at := strings.IndexAny(v, "=@")
	switch {
	case at < 0:
		return escapeText(v), nil
	case v[at] == '=':
		name := v[:at]
		if name != "" {
			name += "="
		}
		return name + escapeText(v[at+1:]), nil
	}
	data, err := p.read(v[at+1:])
	if err != nil {
		return "", err
	}
	name := v[:at]
	if name != "" {
		name += "="
	}
	return name + escapeText(string(data)), nil
}

// escapeText is percent-encoding that leaves shell variables alone.
func escapeText(s string) string {
	parts := strings.Split(s, "\x00")
	for i := range parts {
		if i%2 == 0 {
			parts[i] = url.QueryEscape(parts[i])
		}
	}
	return strings.Join(parts, "\x00")
}

func (p *parser) query(v string) error {
	if plain, ok := strings.CutPrefix(v, "+"); ok {
		p.r.Query = append(p.r.Query, plain)
		return nil
	}
	encoded, err := p.encode(v)
	p.r.Query = append(p.r.Query, encoded)
	return err
}

// form reads -F: name=value, name=@file, name=<file, with ;type= and ;filename=.
func (p *parser) form(v string, plain bool) error {
	name, content, ok := strings.Cut(v, "=")
	if !ok {
		return errors.New("a part is written as name=value")
	}
	part := Part{Name: name, Value: content}
	if plain {
		p.r.Form = append(p.r.Form, part)
		return nil
	}
	content, rest := partContent(content)
	for attr := range strings.SplitSeq(rest, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(attr), "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(key) {
		case "":
		case "type":
			part.Type = value
		case "filename":
			part.Filename = value
		default:
			p.left(";"+key+"= of -F", "a part has a type and a file name")
		}
	}
	switch {
	case strings.HasPrefix(content, "@"):
		part.File, part.Value = true, content[1:]
	case strings.HasPrefix(content, "<"):
		data, err := p.read(content[1:])
		if err != nil {
			return err
		}
		part.Value = string(data)
	default:
		part.Value = content
	}
	p.r.Form = append(p.r.Form, part)
	return nil
}

// partContent cuts a part's content from its attributes; in quotes it may hold
// semicolons.
func partContent(s string) (content, rest string) {
	prefix := ""
	if strings.HasPrefix(s, "@") || strings.HasPrefix(s, "<") {
		prefix, s = s[:1], s[1:]
	}
	if !strings.HasPrefix(s, `"`) {
		content, rest, _ = strings.Cut(s, ";")
		return prefix + content, rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			return prefix + b.String(), strings.TrimPrefix(s[i+1:], ";")
		default:
			b.WriteByte(s[i])
		}
	}
	return prefix + b.String(), ""
}
