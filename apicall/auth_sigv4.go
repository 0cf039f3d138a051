package apicall

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"regexp"
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
	for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"} {
		req.Header.Del(name)
	}
	sum, err := s.bodyHash(ctx, req, service)
	if err != nil {
		return &AuthError{Credential: s.id, Message: "sign the body: " + innermost(err)}
	}
	if service == "s3" {
		req.Header.Set("X-Amz-Content-Sha256", sum)
	}
	u := *req.URL // it is shared, and the signer puts the query in order
	req.URL = &u
	err = v4.NewSigner(func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = service == "s3"
	}).SignHTTP(ctx, s.keys, req, sum, service, region, s.now())
	if err != nil {
		return &AuthError{Credential: s.id, Message: "sign the request: " + innermost(err)}
	}
	return nil
}

// bodyHash is the SHA-256 of what will be sent, in hexadecimal. S3 takes large
// bodies over TLS unsigned, so that they need not be read twice.
func (s *sigV4) bodyHash(ctx context.Context, req *http.Request, service string) (string, error) {
	h := sha256.New()
	switch {
	case s.body == nil || req.ContentLength <= 0:
	case s.body.segments != nil && service == "s3" && req.URL.Scheme == "https":
		return "UNSIGNED-PAYLOAD", nil
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

// The host names of AWS say what is signed for: service.region.amazonaws.com,
// with more in front of it for some, and url-id.lambda-url.region.on.aws.
var (
	awsHost    = regexp.MustCompile(`(?:^|\.)([a-z0-9-]+)\.([a-z]{2}(?:-[a-z]+)+-\d)\.(?:amazonaws\.com(?:\.cn)?|api\.aws|on\.aws)$`)
	awsTurned  = regexp.MustCompile(`\.([a-z]{2}(?:-[a-z]+)+-\d)\.(es|aoss|elasticbeanstalk)\.amazonaws\.com$`)
	awsGlobal  = regexp.MustCompile(`(?:^|\.)(iam|sts|s3|route53|cloudfront|organizations|budgets)\.amazonaws\.com$`)
	awsSignsAs = map[string]string{"lambda-url": "lambda", "email": "ses", "search": "es"} // names that differ in the signature
)

// scope is the service and the region that are signed for.
func (s *sigV4) scope(host string) (service, region string) {
	service, region = s.service, s.region
	host = strings.ToLower(host)
	if m := awsHost.FindStringSubmatch(host); m != nil {
		name := m[1]
		if as := awsSignsAs[name]; as != "" {
			name = as
		}
		return cmp.Or(service, name), cmp.Or(region, m[2])
	}
	if m := awsTurned.FindStringSubmatch(host); m != nil {
		return cmp.Or(service, m[2]), cmp.Or(region, m[1])
	}
	if m := awsGlobal.FindStringSubmatch(host); m != nil {
		return cmp.Or(service, m[1]), cmp.Or(region, "us-east-1")
	}
	return service, region
}
