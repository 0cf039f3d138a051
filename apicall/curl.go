package apicall

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// curl is the request as a command line that works when it is pasted: secrets
// are variables of the shell, and the way out is the task's own.
func (a *attempt) curl(req *http.Request, auth shownAuth) string {
	r := redactorAs(func(name string) string { return stand(name, "") }, a.vars.secrets, slices.Concat(a.vars.used, a.vars.leaves)...)
	c := &curlLine{}
	c.add("curl -sS")
	switch req.Method {
	case http.MethodGet:
	case http.MethodHead:
		c.add("--head")
	default:
		c.add("-X " + req.Method)
	}
	c.arg("", r.url(req.URL))
	c.way(a.props(), r)
	if jar := a.props().cookieJar; jar != "" {
		c.arg("-b", jar+".cookies")
		c.arg("-c", jar+".cookies")
	}
	if auth.flags != "" {
		c.add(auth.flags)
	}
	if auth.user != "" {
		c.arg("-u", auth.user)
	}
	if auth.extra != "" {
		c.arg("-H", auth.extra)
	}
	for _, name := range previewHeaders(req.Header) {
		v := strings.Join(req.Header[name], ", ")
		switch {
		case name == "Content-Type" && a.prog.multipart != nil:
			continue // curl writes its own boundary
		case name == keyHeader && a.prog.key == nil:
			v = stand(name, "") // no secret, but for the shell to fill in
		case !standPattern.MatchString(v) && r.header(name, v) != v: // written into the flow file
			v = stand(name, "")
		}
		c.arg("-H", name+": "+r.values(v))
	}
	if req.Host != "" && req.Host != req.URL.Host {
		c.arg("-H", "Host: "+req.Host)
	}
	if a.body != nil {
		c.body(a.body, r)
	}
	return c.String()
}

// way adds what the task says about the way out: certificates and the proxy.
func (c *curlLine) way(p *props, r *redactor) {
	if p.tls.skipVerify {
		c.add("-k")
	}
	for _, f := range [][2]string{{"--cacert", p.tls.caFile}, {"--cert", p.tls.cert}, {"--key", p.tls.key}} {
		if f[1] != "" {
			c.arg(f[0], f[1])
		}
	}
	if p.proxy == "" {
		return
	}
	address := credentialPattern.ReplaceAllStringFunc(p.proxy, func(ref string) string {
		m := credentialPattern.FindStringSubmatch(ref)
		return stand(m[1], m[2])
	})
	if u, err := proxyURL(address); err == nil {
		address = r.url(u)
	}
	c.arg("-x", address)
	if id := p.proxyCredential; id != "" {
		c.arg("--proxy-user", stand(id, "username")+":"+stand(id, "password"))
	}
}

// curlLine is a command line for a shell.
type curlLine struct{ parts []string }

func (c *curlLine) add(s string) { c.parts = append(c.parts, s) }

// arg adds an argument in quotes; secrets become variables.
func (c *curlLine) arg(flag, v string) {
	if flag != "" {
		flag += " "
	}
	if standPattern.MatchString(v) && !strings.Contains(v, "!") { // which a shell would take for its history
		v = strings.NewReplacer("\\", "\\\\", "\"", "\\\"", "$", "\\$", "`", "\\`").Replace(v)
		c.add(flag + `"` + standPattern.ReplaceAllString(v, `$${$1}`) + `"`)
		return
	}
	v = "'" + strings.ReplaceAll(v, "'", `'\''`) + "'"
	c.add(flag + standPattern.ReplaceAllString(v, `'"$${$1}"'`))
}

// body adds the body of a request. Content that is no text is named as a file:
// the task or the path that it comes from.
func (c *curlLine) body(body *content, r *redactor) {
	quoted := strings.NewReplacer("\\", "\\\\", "\"", "\\\"")
	for i := range body.form {
		f := &body.form[i]
		switch {
		case body.hidden:
		case f.segment.open != nil:
			c.arg("-F", fmt.Sprintf("%s=@%s;type=%s;filename=\"%s\"", f.name, f.segment.what, f.kind, quoted.Replace(f.filename)))
		case f.kind == "" && f.filename == "":
			c.arg("--form-string", f.name+"="+r.text(f.shown))
		default:
			v := fmt.Sprintf("%s=\"%s\";type=%s", f.name, quoted.Replace(r.text(f.shown)), f.kind)
			if f.filename != "" {
				v += fmt.Sprintf(";filename=\"%s\"", quoted.Replace(f.filename))
			}
			c.arg("-F", v)
		}
	}
	switch {
	case body.hidden:
		c.arg("--data-binary", "@(hidden: what a sensitive task has left is in it)")
	case body.form != nil:
	case body.segments != nil:
		c.arg("--data-binary", "@"+body.segments[0].what)
	case !utf8.Valid(body.data):
		c.arg("--data-binary", fmt.Sprintf("@(%d bytes of %s)", len(body.data), body.mimeType))
	default:
		c.arg("--data-raw", r.text(string(body.data)))
	}
}

// String breaks the line after the address and after each argument.
func (c *curlLine) String() string {
	at := slices.IndexFunc(c.parts, func(s string) bool { return strings.HasPrefix(s, "'http") || strings.HasPrefix(s, `"http`) })
	return strings.Join(append([]string{strings.Join(c.parts[:at+1], " ")}, c.parts[at+1:]...), " \\\n  ")
}
