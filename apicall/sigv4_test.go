package apicall

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// TestSigV4_PublishedVectors holds signatures against the test suite that AWS has
// published for Signature Version 4.
func TestSigV4_PublishedVectors(t *testing.T) {
	for name, c := range map[string]struct {
		method, url, signed, want string
		headers                   map[string]string
	}{
		"get-vanilla": {"GET", "https://example.amazonaws.com/", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", nil},
		"get-vanilla-query-order-key-case": {"GET", "https://example.amazonaws.com/?Param2=value2&Param1=value1", "host;x-amz-date",
			"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500", nil},
		"post-vanilla": {"POST", "https://example.amazonaws.com/", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", nil},
		"post-header-key-sort": {"POST", "https://example.amazonaws.com/", "host;my-header1;x-amz-date",
			"c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c", map[string]string{"My-Header1": "value1"}},
	} {
		auth, err := newSigV4(nil, engine.Credential{ID: "c", Type: "aws", Data: value.MapOf(
			"access_key_id", "AKIDEXAMPLE", "secret_access_key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "region", "us-east-1", "service", "service")})
		if err != nil {
			t.Fatal(err)
		}
		s := auth.(*sigV4)
		s.now = func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }
		req, err := http.NewRequest(c.method, c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range c.headers {
			req.Header.Set(k, v)
		}
		if err := s.Authenticate(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" + c.signed + ", Signature=" + c.want
		if got := req.Header.Get("Authorization"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
}

// TestSigV4_TheHostSaysWhatIsSignedFor goes through the forms of host names.
func TestSigV4_TheHostSaysWhatIsSignedFor(t *testing.T) {
	for host, want := range map[string]string{
		"dynamodb.eu-west-1.amazonaws.com":               "dynamodb eu-west-1",
		"bucket.name.s3.eu-central-1.amazonaws.com":      "s3 eu-central-1",
		"s3.amazonaws.com":                               "s3 us-east-1",
		"abc123.execute-api.us-gov-west-1.amazonaws.com": "execute-api us-gov-west-1",
		"sqs.cn-north-1.amazonaws.com.cn":                "sqs cn-north-1",
		"xyz.lambda-url.ap-southeast-2.on.aws":           "lambda ap-southeast-2",
		"search-logs-abc.eu-west-1.es.amazonaws.com":     "es eu-west-1",
		"email.us-east-1.amazonaws.com":                  "ses us-east-1",
		"iam.amazonaws.com":                              "iam us-east-1",
		"api.example.com":                                " ",
		"dynamodb.eu-west-1.amazonaws.com.evil.example":  " ",
	} {
		s := &sigV4{}
		service, region := s.scope(host)
		if got := service + " " + region; got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
	s := &sigV4{service: "es", region: "eu-west-1"}
	if service, region := s.scope("dynamodb.us-east-1.amazonaws.com"); service != "es" || region != "eu-west-1" {
		t.Errorf("what is given does not count: %s %s", service, region)
	}
	err := (&sigV4{id: "c"}).Authenticate(t.Context(), &http.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: "api.example.com"}, Header: http.Header{}})
	if err == nil || !strings.Contains(err.Error(), "give region and service") {
		t.Errorf("an unknown host: %v", err)
	}
}
