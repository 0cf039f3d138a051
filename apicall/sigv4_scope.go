package apicall

import (
	"cmp"
	"regexp"
	"strings"
)

// The host names of AWS say what is signed for: service.region.amazonaws.com,
// with more in front of it for some, and url-id.lambda-url.region.on.aws.
// Between the two may stand that the host also has an IPv6 address, behind them
// that it is an endpoint in a private network, and in the service's name that its
// cryptography is a certified one. Buckets in older regions have s3-region too.
var (
	awsHost   = regexp.MustCompile(`(?:^|\.)([a-z0-9-]+?)(?:-fips)?(?:\.dualstack)?\.(` + awsRegion + `)\.(?:(?:vpce\.)?amazonaws\.com(?:\.cn)?|amazonaws\.eu|api\.aws|on\.aws)$`)
	awsOldS3  = regexp.MustCompile(`(?:^|\.)(s3)-(` + awsRegion + `)\.amazonaws\.com$`)
	awsTurned = regexp.MustCompile(`\.(` + awsRegion + `)\.(es|aoss|elasticbeanstalk)\.amazonaws\.com$`)
	awsGlobal = regexp.MustCompile(`(?:^|\.)(iam|sts|s3|route53|cloudfront|organizations|budgets)\.amazonaws\.com$`)
)

const awsRegion = `[a-z]{2,4}(?:-[a-z]+)+-\d`

// awsSignsAs is the name in the signature where it is another than in the host
// name.
func awsSignsAs(name string) string {
	switch name {
	case "lambda-url":
		return "lambda"
	case "email":
		return "ses"
	case "search":
		return "es"
	case "appsync-api", "appsync-realtime-api":
		return "appsync"
	case "aps-workspaces":
		return "aps"
	case "s3-accesspoint", "s3-control":
		return "s3"
	}
	if strings.HasPrefix(name, "bedrock-") && !strings.HasPrefix(name, "bedrock-agentcore") {
		return "bedrock"
	}
	return name
}

// scope is the service and the region that are signed for.
func (s *sigV4) scope(host string) (service, region string) {
	host = strings.ToLower(host)
	if m := awsHost.FindStringSubmatch(host); m != nil {
		service, region = awsSignsAs(m[1]), m[2]
	} else if m := awsOldS3.FindStringSubmatch(host); m != nil {
		service, region = m[1], m[2]
	} else if m := awsTurned.FindStringSubmatch(host); m != nil {
		service, region = m[2], m[1]
	} else if m := awsGlobal.FindStringSubmatch(host); m != nil {
		service, region = m[1], "us-east-1"
	}
	return cmp.Or(s.service, service), cmp.Or(s.region, region)
}
