package apicall

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/qarion/qarion/engine"
)

// sigV4 signs requests as AWS services ask for it (AWS Signature Version 4).
type sigV4 struct {
	id              string
	keys            aws.Credentials
	region, service string
	body            *content // of the request; nil: none
	now             func() time.Time
}

func newSigV4(_ *TaskType, c engine.Credential) (Authenticator, error) {
	return &sigV4{
		id:     c.ID,
		keys:   aws.Credentials{AccessKeyID: field(c, "access_key_id"), SecretAccessKey: field(c, "secret_access_key"), SessionToken: field(c, "session_token")},
		region: field(c, "region"), service: field(c, "service"), now: time.Now,
	}, nil
}

// binds implements binder: the address is signed.
func (s *sigV4) binds() bool { return true }

// Authenticate implements Authenticator.
func (s *sigV4) Authenticate(ctx context.Context, req *http.Request) error {
	service, region := s.scope(req.URL.Hostname())
	if service == "" || region == "" {
		return &AuthError{Credential: s.id, Message: "the host name does not say what to sign for: give region and service, in the task or in the credential"}
	}
	for _, name := range amzHeaders {
		req.Header.Del(name)
	}
	sum, err := s.bodyHash(ctx, req, service)
	if err != nil {
		return &AuthError{Credential: s.id, Message: "sign the body: " + innermost(err)}
	}
	if saysBodyHash(service) {
		req.Header.Set("X-Amz-Content-Sha256", sum)
	}
	signed := &http.Request{Method: req.Method, Host: req.Host, URL: canonicalURL(req.URL, service), Header: signedHeaders(req.Header)}
	err = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = decodesPath(service) }).
		SignHTTP(ctx, s.keys, signed, sum, service, region, s.now())
	if err != nil {
		return &AuthError{Credential: s.id, Message: "sign the request: " + innermost(err)}
	}
	for _, name := range amzHeaders {
		if v := signed.Header[name]; v != nil {
			req.Header[name] = v
		}
	}
	u := *req.URL // it is shared
	u.RawQuery, u.ForceQuery = signed.URL.RawQuery, false
	req.URL, req.Host = &u, signed.Host
	return nil
}

// amzHeaders are the headers that make up a signature.
var amzHeaders = []string{"Authorization", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token"}

// unsigned are headers that say nothing of what is asked for, and that those on
// the way rewrite: caches and proxies, Google's and Cloudflare's front ends
// before their own S3, load balancers. A signature over them would not fit what
// arrives.
var unsigned = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Connection", "Cookie", "Forwarded", "Keep-Alive", "Pragma", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Via", "Traceparent", "Tracestate", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto",
}

// signedHeaders are the headers that a signature is over.
func signedHeaders(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, v := range h {
		if !slices.Contains(unsigned, http.CanonicalHeaderKey(name)) {
			out[name] = v
		}
	}
	return out
}

// saysBodyHash reports whether a service wants the hash of the body in a header.
func saysBodyHash(service string) bool {
	return decodesPath(service) || slices.Contains([]string{"aoss", "glacier", "vpc-lattice-svcs"}, service)
}

// decodesPath reports whether a service takes the path of a request as the name
// of an object, and signs it encoded once. All others sign what stands on the
// wire, encoded once more and without what a path need not have.
func decodesPath(service string) bool {
	return slices.Contains([]string{"s3", "s3express", "s3-object-lambda", "s3-outposts"}, service)
}

// canonicalURL is an address in the form that is signed. What the author of a
// flow may write as it is, as in /year=2026/a:b?acl, has one form there.
func canonicalURL(u *url.URL, service string) *url.URL {
	p := shortPath(u.EscapedPath())
	if decodesPath(service) {
		segments := strings.Split(u.EscapedPath(), "/")
		for i, s := range segments {
			if name, err := url.PathUnescape(s); err == nil {
				segments[i] = strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
			}
		}
		p = strings.Join(segments, "/")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Opaque: "//" + u.Host + p, RawQuery: canonicalQuery(u.RawQuery)}
}

// canonicalQuery writes every parameter as name=value in the one encoding that
// no reader takes for anything else.
func canonicalQuery(raw string) string {
	plain := func(s string) string {
		if text, err := url.QueryUnescape(s); err == nil {
			return url.QueryEscape(text)
		}
		return url.QueryEscape(s)
	}
	var out []string
	for part := range strings.SplitSeq(raw, "&") {
		if name, v, _ := strings.Cut(part, "="); part != "" {
			out = append(out, plain(name)+"="+plain(v))
		}
	}
	return strings.Join(out, "&")
}

// shortPath is a path without empty segments and those of dots (RFC 3986, 5.2.4).
func shortPath(p string) string {
	short := path.Clean("/" + p)
	if short != "/" && strings.HasSuffix(p, "/") {
		short += "/"
	}
	return short
}

// unsignedBody stands for the hash of a body that is not signed.
const unsignedBody = "UNSIGNED-PAYLOAD"

// bodyHash is the SHA-256 of what will be sent, in hexadecimal. S3 takes large
// bodies over TLS unsigned, so that they need not be read twice.
func (s *sigV4) bodyHash(ctx context.Context, req *http.Request, service string) (string, error) {
	h := sha256.New()
	switch {
	case service == "vpc-lattice-svcs":
		return unsignedBody, nil // it takes no other
	case s.body == nil || req.ContentLength <= 0:
	case s.body.segments != nil && decodesPath(service) && req.URL.Scheme == "https":
		return unsignedBody, nil
	default:
		r := s.body.reader(ctx)
		_, err := io.Copy(h, r)
		if end := r.Close(); err == nil {
			err = end
		}
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
