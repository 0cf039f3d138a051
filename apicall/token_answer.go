package apicall

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// maxTokenAnswer is how much of a token endpoint's answer is read, in bytes.
const maxTokenAnswer = 1 << 20

// tokenAnswers is the way to a token endpoint. What real endpoints answer
// deviates from RFC 6749, 5.1, in ways that do not matter: a byte order mark, a
// life that is text, has a fraction or is empty, a token in another place. Such
// an answer is put into the form that the OAuth2 library reads.
type tokenAnswers struct {
	next  http.RoundTripper
	agent string   // the User-Agent of the request
	path  string   // of the token in the answer, where it is not access_token
	came  []string // the names in an answer that had no token
	odd   bool     // there was such an answer
}

// RoundTrip implements http.RoundTripper.
func (t *tokenAnswers) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context()) // a RoundTripper changes none
	req.Header.Set("User-Agent", t.agent)
	resp, err := t.next.RoundTrip(req)
	if err != nil || resp.StatusCode < 200 || resp.StatusCode > 299 {
		return resp, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenAnswer))
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	if tidy, ok := t.tidy(resp.Header.Get("Content-Type"), body); ok {
		body = tidy
		resp.Header.Set("Content-Type", "application/json")
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// tidy reads an answer in JSON and writes what counts of it; ok is false for an
// answer of another kind, which stays as it is.
func (t *tokenAnswers) tidy(contentType string, body []byte) (tidy []byte, ok bool) {
	if kind, _, _ := mime.ParseMediaType(contentType); kind == "application/x-www-form-urlencoded" {
		return nil, false
	}
	v, err := value.ParseJSON(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if err != nil {
		return nil, false
	}
	answer, isMap := v.(*value.Map)
	if !isMap {
		return nil, false
	}
	where, token := answer, ""
	if t.path == "" {
		got, _ := answer.Get("access_token")
		token, _ = got.(string)
	} else {
		where, token = at(answer, t.path)
	}
	if token == "" {
		t.came, t.odd = answer.Keys(), answer.Len() > 0
		return nil, false
	}
	out := map[string]any{"access_token": token}
	for _, m := range []*value.Map{answer, where} { // what stands beside the token counts
		if refresh, ok := m.Get("refresh_token"); ok {
			out["refresh_token"] = plainText(refresh)
		}
		for _, name := range []string{"expires_in", "expires"} {
			if life, ok := tokenLife(m, name); ok {
				out["expires_in"] = life
				break
			}
		}
	}
	tidy, err = json.Marshal(out)
	return tidy, err == nil
}

// longestLife is the longest life of a token that is believed, in seconds: some
// thirty years. What is longer is a point in time, or nonsense.
const longestLife = 1e9

// tokenLife is the life of a token in whole seconds; what cannot be read counts
// as none given.
func tokenLife(m *value.Map, name string) (int64, bool) {
	v, ok := m.Get(name)
	if !ok || v == nil {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(plainText(v)), 64)
	if err != nil || f <= 0 || f > longestLife {
		return 0, false
	}
	return int64(f), true
}

// at follows a dotted path to a text and returns the map that it stands in.
func at(m *value.Map, path string) (in *value.Map, text string) {
	in = m
	for {
		name, rest, more := strings.Cut(path, ".")
		v, _ := in.Get(name)
		if !more {
			text, _ = v.(string)
			return in, text
		}
		next, ok := v.(*value.Map)
		if !ok {
			return m, ""
		}
		in, path = next, rest
	}
}

// missing says what came in the place of a token: the names, never the values.
func (t *tokenAnswers) missing() string {
	wanted := t.path
	if wanted == "" {
		wanted = "access_token"
	}
	names := t.came
	if len(names) > maxNamesShown {
		names = append(names[:maxNamesShown:maxNamesShown], "...")
	}
	return fmt.Sprintf("gave no %s (it gave: %s); the credential's token_path says where the token is", wanted, strings.Join(names, ", "))
}

// tokenWay is the task's own way out, with its proxy and its certificates, to a
// token endpoint. A client that says by its certificate who it is (RFC 8705)
// shows that of its credential, else that of the task.
func (o *oauth2Auth) tokenWay() (*http.Transport, error) {
	way := o.way.trusted
	if o.grant.style != engine.StyleTLS {
		return way, nil
	}
	cert, err := o.cred.ClientCertificate()
	switch {
	case err != nil:
		return nil, err
	case cert == nil && len(way.TLSClientConfig.Certificates) == 0:
		return nil, errors.New("auth_style tls needs a client certificate: certificate and private_key of the credential, or client_cert and client_key of the task")
	case cert == nil:
		return way, nil
	}
	own := way.Clone()
	own.TLSClientConfig.Certificates = []tls.Certificate{*cert}
	own.DisableKeepAlives = true // it is for this one request
	return own, nil
}

// tokenClient asks a token endpoint.
func tokenClient(way *http.Transport, answers *tokenAnswers) *http.Client {
	answers.next = way
	return &http.Client{Transport: answers, Timeout: tokenTimeout + time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a client secret is for the endpoint alone
	}}
}
