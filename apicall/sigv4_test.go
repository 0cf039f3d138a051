package apicall

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// TestSigV4_PublishedVectors holds signatures against the test suite that AWS has
// published for Signature Version 4, those of paths in their normalized form. Its
// paths with a raw space or letter are no HTTP: TestSigV4_ThePathThatIsSigned has
// what arrives of them.
func TestSigV4_PublishedVectors(t *testing.T) {
	for name, c := range map[string]struct {
		method, target, signed, want string
		headers                      map[string]string
	}{
		"get-vanilla":                      {"GET", "/", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", nil},
		"get-vanilla-query-order-key-case": {"GET", "/?Param2=value2&Param1=value1", "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500", nil},
		"get-vanilla-query-order-encoded":  {"GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", "host;x-amz-date", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac", nil},
		"get-vanilla-empty-query-key":      {"GET", "/?Param1=value1", "host;x-amz-date", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb", nil},
		"get-vanilla-utf8-query":           {"GET", "/?ሴ=bar", "host;x-amz-date", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04", nil},
		"get-unreserved":                   {"GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "host;x-amz-date", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f", nil},
		"get-relative-relative":            {"GET", "/example1/example2/../..", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", nil},
		"get-slashes":                      {"GET", "//example//", "host;x-amz-date", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84", nil},
		"get-slash-pointless-dot":          {"GET", "/./example", "host;x-amz-date", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5", nil},
		"post-vanilla":                     {"POST", "/", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", nil},
		"post-header-key-sort": {"POST", "/", "host;my-header1;x-amz-date", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
			map[string]string{"My-Header1": "value1"}},
		"get-header-value-trim": {"GET", "/", "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
			map[string]string{"My-Header1": " value1", "My-Header2": ` "a   b   c"`}},
	} {
		got := signVector(t, c.method, "https://example.amazonaws.com"+c.target, c.headers)
		want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" + c.signed + ", Signature=" + c.want
		if got.Header.Get("Authorization") != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got.Header.Get("Authorization"), want)
		}
	}
}

// TestSigV4_PublishedVectorWithASessionToken is get-vanilla-with-session-token
// of that suite.
func TestSigV4_PublishedVectorWithASessionToken(t *testing.T) {
	got := signVector(t, "GET", "https://example.amazonaws.com/", nil, "session_token", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267")
	const want = "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"
	if !strings.HasSuffix(got.Header.Get("Authorization"), want) {
		t.Errorf("got  %s\nwant %s", got.Header.Get("Authorization"), want)
	}
}

// signVector signs a request with the credential and at the time of the suite.
func signVector(t *testing.T, method, target string, headers map[string]string, more ...any) *http.Request {
	t.Helper()
	auth, err := newSigV4(nil, engine.Credential{ID: "c", Type: "aws", Data: value.MapOf(append([]any{
		"access_key_id", "AKIDEXAMPLE", "secret_access_key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "region", "us-east-1", "service", "service"}, more...)...)})
	if err != nil {
		t.Fatal(err)
	}
	s := auth.(*sigV4)
	s.now = func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }
	req, err := http.NewRequest(method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	if err := s.Authenticate(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	return req
}

// TestSigV4_WhatIsOnTheWay: headers that caches, proxies and front ends rewrite are
// sent and not signed.
func TestSigV4_WhatIsOnTheWay(t *testing.T) {
	got := signVector(t, "GET", "https://example.amazonaws.com/", map[string]string{
		"Accept": "*/*", "Accept-Encoding": "gzip", "Cookie": "a=b", "X-Forwarded-For": "10.0.0.1", "Traceparent": "00-1-2-01", "User-Agent": "x"})
	if h := got.Header.Get("Authorization"); !strings.Contains(h, "SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73e") || got.Header.Get("Accept-Encoding") != "gzip" || got.Header.Get("Cookie") != "a=b" {
		t.Errorf("got %v", got.Header)
	}
}

// TestSigV4_ThePathThatIsSigned: AWS itself names the first of these in a refusal
// as the string that it expects of Elasticsearch and of S3.
func TestSigV4_ThePathThatIsSigned(t *testing.T) {
	for wire, want := range map[string][2]string{ // what the signer encodes once more; what it takes as it is
		"/_search/%3Fa=b%20c": {"/_search/%3Fa=b%20c", "/_search/%3Fa%3Db%20c"},
		"/a//b/./c/../d/":     {"/a/b/d/", "/a//b/./c/../d/"},
		"/dt=1/a+b:c":         {"/dt=1/a+b:c", "/dt%3D1/a%2Bb%3Ac"},
		"/a%2Fb/%e1%88%b4":    {"/a%2Fb/%e1%88%b4", "/a%2Fb/%E1%88%B4"},
		"":                    {"/", ""},
	} {
		u, err := url.Parse("https://h.example" + wire)
		if err != nil {
			t.Fatal(err)
		}
		for i, service := range []string{"es", "s3"} {
			if got := strings.TrimPrefix(canonicalURL(u, service).Opaque, "//h.example"); got != want[i] {
				t.Errorf("%s for %s: %s, want %s", wire, service, got, want[i])
			}
		}
	}
}

// TestSigV4_NothingOfTheQueryIsLost: what a query may hold by the letter, or not,
// arrives as one name and one value each.
func TestSigV4_NothingOfTheQueryIsLost(t *testing.T) {
	for raw, want := range map[string]string{
		"acl": "acl=", "b=2&a=1": "a=1&b=2", "f=a;b&g=1": "f=a%3Bb&g=1", "q=100%": "q=100%25", "q=a+b": "q=a%20b", "q=%2B": "q=%2B", "a=x=y": "a=x%3Dy",
		"a=2&a=1&A=0": "A=0&a=1&a=2", "": "", "f[0]=x": "f%5B0%5D=x", "&&a=1&": "a=1",
	} {
		got := signVector(t, "GET", "https://example.amazonaws.com/", nil)
		got.URL.RawQuery = raw
		if err := (&sigV4{service: "s", region: "us-east-1", now: time.Now}).Authenticate(t.Context(), got); err != nil || got.URL.RawQuery != want {
			t.Errorf("%q: sent as %q, want %q (%v)", raw, got.URL.RawQuery, want, err)
		}
	}
}

// TestSigV4_TheHostSaysWhatIsSignedFor goes through the forms of host names.
func TestSigV4_TheHostSaysWhatIsSignedFor(t *testing.T) {
	for host, want := range map[string]string{
		"dynamodb.eu-west-1.amazonaws.com":                      "dynamodb eu-west-1",
		"bucket.name.s3.eu-central-1.amazonaws.com":             "s3 eu-central-1",
		"s3.amazonaws.com":                                      "s3 us-east-1",
		"abc123.execute-api.us-gov-west-1.amazonaws.com":        "execute-api us-gov-west-1",
		"sqs.cn-north-1.amazonaws.com.cn":                       "sqs cn-north-1",
		"xyz.lambda-url.ap-southeast-2.on.aws":                  "lambda ap-southeast-2",
		"search-logs-abc.eu-west-1.es.amazonaws.com":            "es eu-west-1",
		"email.us-east-1.amazonaws.com":                         "ses us-east-1",
		"iam.amazonaws.com":                                     "iam us-east-1",
		"b.s3.dualstack.us-west-2.amazonaws.com":                "s3 us-west-2",
		"b.s3-fips.dualstack.us-west-2.amazonaws.com":           "s3 us-west-2",
		"s3-eu-west-1.amazonaws.com":                            "s3 eu-west-1",
		"p-123.s3-accesspoint.us-west-2.amazonaws.com":          "s3 us-west-2",
		"kms-fips.us-east-1.amazonaws.com":                      "kms us-east-1",
		"bedrock-runtime.us-east-1.amazonaws.com":               "bedrock us-east-1",
		"abc.appsync-api.eu-west-1.amazonaws.com":               "appsync eu-west-1",
		"aps-workspaces.eu-west-1.amazonaws.com":                "aps eu-west-1",
		"dynamodb.eusc-de-east-1.amazonaws.eu":                  "dynamodb eusc-de-east-1",
		"xyz.eu-west-1.aoss.amazonaws.com":                      "aoss eu-west-1",
		"vpce-0e4-brk.execute-api.us-east-1.vpce.amazonaws.com": "execute-api us-east-1",
		"b.bucket.vpce-1a2-5e6.s3.us-east-1.vpce.amazonaws.com": "s3 us-east-1",
		"api.example.com":                                       " ",
		"dynamodb.eu-west-1.amazonaws.com.evil.example":         " ",
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

// TestSigV4_LargeBodiesAreReadOnce: S3 takes them unsigned over TLS; where there is
// none, and for all other services, they are hashed before they are sent.
func TestSigV4_LargeBodiesAreReadOnce(t *testing.T) {
	for _, c := range []struct {
		service, scheme, want string
		reads                 int
	}{
		{"s3", "https", "UNSIGNED-PAYLOAD", 0},
		{"s3", "http", "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603", 1},
		{"aoss", "https", "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603", 1},
		{"vpc-lattice-svcs", "https", "UNSIGNED-PAYLOAD", 0},
		{"execute-api", "https", "", 1},
	} {
		reads := 0
		body := &content{segments: []segment{{size: 2, what: "x", open: func(context.Context) (io.ReadCloser, error) {
			reads++
			return io.NopCloser(strings.NewReader("ab")), nil
		}}}}
		s := &sigV4{service: c.service, region: "us-east-1", now: time.Now, body: body}
		req := &http.Request{Method: "PUT", URL: &url.URL{Scheme: c.scheme, Host: "h.example", Path: "/x"}, Header: http.Header{}, ContentLength: 2}
		if err := s.Authenticate(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		if got := req.Header.Get("X-Amz-Content-Sha256"); got != c.want || reads != c.reads {
			t.Errorf("%s over %s: %q, read %d times", c.service, c.scheme, got, reads)
		}
	}
}
