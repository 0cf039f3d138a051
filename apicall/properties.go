package apicall

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// Defaults of the properties, as docs/api-call.md names them.
const (
	DefaultTimeout          = 30 * time.Second
	DefaultConnectTimeout   = 10 * time.Second
	DefaultRetryDelay       = time.Second
	DefaultRetryBackoff     = 1.0
	DefaultRetryMaxDelay    = 300 * time.Second
	DefaultRetryAfterMax    = 300 * time.Second
	DefaultMaxResponseBytes = 10 << 20
	DefaultMaxRedirects     = 10
	DefaultBreakerMaxWait   = time.Hour
)

// Property is a row of the property table.
type Property struct {
	Name    string
	Type    string // as the documentation names it
	Default string
	Doc     string
}

// Properties is the table of everything an api_call may say, in the order of
// the documentation.
var properties = []Property{
	{"url", "string", "required", "http or https address"},
	{"operation", "string", "get", "get, post, put, patch, delete, head or options"},
	{"auth_type", "string", "none", "none, basic, digest, oauth2, api_key, bearer or aws_sigv4"},
	{"credential_id", "string", "", "which stored credential to use"},
	{"region", "string", "", "with aws_sigv4: of the service; else the credential's, or that of the host name"},
	{"service", "string", "", "with aws_sigv4: its name in the signature, such as execute-api; else as region"},
	{"headers", "dict", "", "request headers"},
	{"cookie_jar", "string", "", "name of a cookie jar that the tasks of a run share"},
	{"params", "dict", "", "query parameters; a list repeats the key, null leaves it out"},
	{"body", "any", "", "request body"},
	{"body_format", "string", "json", "json, form, raw, xml or multipart"},
	{"form_style", "string", "", "how a form holds what is nested: brackets (a[b][0]=x), dots (a.b[0]=x) or json"},
	{"timeout", "duration", "30", "of the whole attempt"},
	{"connect_timeout", "duration", "10", "until the connection stands"},
	{"retry_count", "integer", "0", "tries after the first"},
	{"retry_delay", "duration", "1.0", "before a retry"},
	{"retry_backoff", "float", "1.0", "factor by which the delay grows with each retry"},
	{"retry_max_delay", "duration", "300", "the longest planned delay"},
	{"retry_jitter", "string", "none", "none, equal or full; equal when retry_backoff is over 1"},
	{"retry_on_status", "list", "", "more statuses that are retried"},
	{"fail_on_status", "list", "", "statuses that are never retried"},
	{"retry_on_validation", "boolean", "false", "retry when the response fails its checks"},
	{"retry_after_max", "duration", "300", "the longest Retry-After that is waited for"},
	{"refresh_on_status", "list", "[401]", "statuses on which an OAuth2 token is renewed once"},
	{"idempotency_key", "boolean or string", "false", "true sends a key that is the same in all attempts; or a template"},
	{"on_lost", "string", "auto", "ask: a call that was sent and whose answer is lost, for whatever reason, waits for a person"},
	{"on_interrupted", "string", "auto", "auto, retry or fail: what happens when the outcome of a call is unknown"},
	{"safe", "boolean", "false", "this post or patch only reads and may be repeated"},
	{"paginate", "dict", "", "reads a list that comes in pages; see [Pages](#pages)"},
	{"poll", "dict", "", "waits for the end of a job that the request starts; see [Polls](#polls)"},
	{"breaker", "boolean or string", "true", "false switches the circuit breaker off; a name shares one"},
	{"breaker_max_wait", "duration", "3600", "how long a task waits for an open breaker"},
	{"limit", "string", "", "the rate limit of qarion.toml that its calls fall under; else the host decides"},
	{"xcom_pull", "list", "", "tasks whose values are read"},
	{"xcom_pull_key", "string", "", "the key to take from the pulled value"},
	{"response_handling", "string", "store", "store, validate or ignore"},
	{"response_validation", "dict", "", "expected_status_code, required_fields, field_checks"},
	{"response_format", "string", "auto", "auto (by content type), json, text, bytes, xml, csv, ndjson or form"},
	{"response_charset", "string", "", "charset of the response, whatever it says itself"},
	{"csv_delimiter", "string", ",", "with csv: the character between fields"},
	{"csv_header", "boolean", "true", "with csv: the first row names the columns; false gives lists"},
	{"xml_prefixes", "boolean", "false", "with xml: keep the namespace prefixes of names"},
	{"xml_lists", "list", "", "with xml: elements that are a list also where there is one"},
	{"store_as", "string", "value", "value, or object: streamed to the object store unread, of any size"},
	{"select", "string", "", "jq expression that is applied before storing"},
	{"max_response_bytes", "integer", "10485760", "of the decoded body; of an object only if given"},
	{"follow_redirects", "boolean or string", "true", "false takes a redirect as the answer; same-method fails where it would change the method"},
	{"max_redirects", "integer", "10", "in a row"},
	{"verify_tls", "boolean", "true", "check the server's certificate"},
	{"ca_file", "string", "", "PEM file of certificate authorities to trust"},
	{"client_cert", "string", "", "PEM file of the client certificate"},
	{"client_key", "string", "", "PEM file of its key"},
	{"proxy", "string", "", "http or https address of a proxy; may hold ${credential:ID.field}"},
	{"proxy_credential_id", "string", "", "a basic_auth credential that the proxy gets to see"},
}

// Table returns the property table, for documentation.
func Table() []Property { return slices.Clone(properties) }

// jarName is what cookie jars may be called.
var jarName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// The words that properties take.
var (
	operations  = []string{"get", "post", "put", "patch", "delete", "head", "options"}
	bodyFormats = []string{"json", "form", "raw", "xml", "multipart"}
	authTypes   = []string{"none", "basic", "digest", "oauth2", "api_key", "bearer", "aws_sigv4"}
	handlings   = []string{"store", "validate", "ignore"}
	storages    = []string{"value", "object"}
	interrupts  = []string{"auto", "retry", "fail"}
	losses      = []string{"auto", "ask"}
	jitters     = []string{"none", "equal", "full"}
)

// props are the properties of one task, read and checked.
type props struct {
	url, operation, method     string
	authType, credentialID     string
	region, service            string // of aws_sigv4
	cookieJar                  string // "" for none
	headers, params            *value.Map
	body                       any
	hasBody                    bool
	bodyFormat                 string
	formStyle                  string
	timeout, connectTimeout    time.Duration
	retry                      engine.RetryPolicy
	retryOn, failOn, refreshOn []int
	retryOnValidation          bool
	keyed                      bool
	keyTemplate                string
	onlyReads                  bool    // safe = true
	paging                     *paging // nil: one call
	polling                    *polling
	onInterrupted              string
	asks                       bool   // on_lost = "ask"
	breaker                    string // "" for the host's own
	noBreaker                  bool
	breakerMaxWait             time.Duration
	pulls                      []string
	pullKey                    string
	handling                   string
	rules                      *rules
	responseFormat             string
	responseCharset            string
	csvDelimiter               rune
	csvHeader                  bool
	xmlPrefixes                bool
	xmlLists                   []string
	selects                    string
	maxResponse                int64
	storeAs                    string
	objectLimit                int64 // of a value that is stored as an object; 0: none
	redirects                  int   // 0: none are followed
	sameMethod                 bool  // those that change the method are refused
	tls                        tlsOptions
	proxy, proxyCredential     string
	limit                      string // that it names
}

func propertyNames() []string {
	names := make([]string, len(properties))
	for i, p := range properties {
		names[i] = p.Name
	}
	return names
}

// readProperties reads and checks everything that a task says.
func readProperties(task *engine.Task) (*props, *reader) {
	r := newReader(task.ID, nil, "properties")
	r.From = r.readable(r.Path, task.Properties)
	r.unknown("property", propertyNames())
	p := &props{
		url: r.Text("url", ""), operation: r.Word("operation", "get", operations...),
		authType: r.Word("auth_type", "none", authTypes...), credentialID: r.Text("credential_id", ""),
		cookieJar: r.Text("cookie_jar", ""),
		region:    r.Text("region", ""), service: r.Text("service", ""),
		headers: r.Table("headers"), params: r.Table("params"),
		bodyFormat: r.Word("body_format", "json", bodyFormats...), formStyle: r.formStyle(),
		timeout: r.Span("timeout", DefaultTimeout, time.Millisecond),
		retryOn: r.statuses("retry_on_status", nil), failOn: r.statuses("fail_on_status", nil),
		refreshOn:         r.statuses("refresh_on_status", []int{401}),
		retryOnValidation: r.Flag("retry_on_validation", false),
		breakerMaxWait:    r.Span("breaker_max_wait", DefaultBreakerMaxWait, 0),
		limit:             r.Text("limit", ""),
		pulls:             r.Names("xcom_pull"), pullKey: r.Text("xcom_pull_key", ""),
		handling: r.Word("response_handling", "store", handlings...),
		storeAs:  r.Word("store_as", "value", storages...),
		selects:  r.Text("select", ""),
	}
	p.method = strings.ToUpper(p.operation)
	p.connectTimeout = r.Span("connect_timeout", min(DefaultConnectTimeout, p.timeout), time.Millisecond)
	p.body, p.hasBody = r.From.Get("body")
	p.hasBody = p.hasBody && r.readsBody()
	p.asks = r.Word("on_lost", "auto", losses...) == "ask"
	if on := r.Word("on_interrupted", "auto", interrupts...); on != "auto" {
		p.onInterrupted = on
	}
	r.readRedirects(p)
	r.readRetry(p)
	r.readKey(p)
	p.onlyReads = r.Flag("safe", false)
	r.readBreaker(p)
	r.readProxy(p)
	p.tls = tlsOptions{
		skipVerify: !r.Flag("verify_tls", true), caFile: r.Text("ca_file", ""),
		cert: r.Text("client_cert", ""), key: r.Text("client_key", ""), proxy: p.proxy, connectTimeout: p.connectTimeout,
	}
	p.rules = r.readRules()
	r.readFormat(p)
	r.readPaginate(p)
	r.readPoll(p)
	r.readObject(p)
	r.check(p)
	return p, r
}

// formStyle reads how what is nested in a form is written.
func (r *reader) formStyle() string {
	v, given := r.Get("form_style")
	if !given {
		return formFlat
	}
	if _, isText := v.(string); !isText {
		r.WrongType("form_style", v, "a string")
		return formFlat
	}
	return r.Word("form_style", formFlat, formStyles...)
}

// readRedirects reads which redirects are followed.
func (r *reader) readRedirects(p *props) {
	limit := int(r.Whole("max_redirects", DefaultMaxRedirects, 1, 100))
	switch v, given := r.Get("follow_redirects"); {
	case !given || v == true:
		p.redirects = limit
	case v == "same-method":
		p.redirects, p.sameMethod = limit, true
	case v != false:
		r.WrongType("follow_redirects", v, "true, false or \"same-method\"")
	}
}

func (r *reader) readRetry(p *props) {
	p.retry = engine.RetryPolicy{
		Count: int(r.Whole("retry_count", 0, 0, 1000)), Delay: r.Span("retry_delay", DefaultRetryDelay, 0),
		Backoff:  r.Fraction("retry_backoff", DefaultRetryBackoff, 1),
		MaxDelay: r.Span("retry_max_delay", DefaultRetryMaxDelay, 0), AfterMax: r.Span("retry_after_max", DefaultRetryAfterMax, 0),
	}
	jitter := "none"
	if p.retry.Backoff > 1 {
		jitter = "equal"
	}
	p.retry.Jitter = engine.Jitter(r.Word("retry_jitter", jitter, jitters...))
}

// readFormat reads what the response is, and how.
func (r *reader) readFormat(p *props) {
	p.responseFormat = r.Word("response_format", "auto", responseFormats...)
	p.responseCharset = strings.TrimSpace(r.Text("response_charset", ""))
	if p.responseCharset != "" && !isUTF8(p.responseCharset) && charset(p.responseCharset) == nil {
		r.Problem("response_charset", "unknown-word", "the charset %s is not known", value.Quoted(p.responseCharset))
	}
	var err error
	if p.csvDelimiter, err = readDelimiter(r.Text("csv_delimiter", ",")); err != nil {
		r.Problem("csv_delimiter", "bad-delimiter", "csv_delimiter: %v", err)
	}
	p.csvHeader, p.xmlPrefixes, p.xmlLists = r.Flag("csv_header", true), r.Flag("xml_prefixes", false), r.Names("xml_lists")
	for _, of := range [][2]string{{"csv_delimiter", "csv"}, {"csv_header", "csv"}, {"xml_prefixes", "xml"}, {"xml_lists", "xml"}} {
		key, format := of[0], of[1]
		if _, given := r.Get(key); given && p.responseFormat != format && r.Judges(key, "response_format") {
			r.Problem(key, "unused", "%s needs response_format = %q", key, format)
		}
	}
	if p.responseCharset != "" && p.responseFormat == "bytes" && r.Judges("response_charset") {
		r.Problem("response_charset", "unused", "response_format = \"bytes\" has no charset")
	}
}

// readObject reads how much of a response is taken, and what an object rules
// out: it goes to the object store unread.
func (r *reader) readObject(p *props) {
	if p.storeAs != "object" || p.paging != nil { // a page is read, the object is made of all of them
		p.maxResponse = r.Whole("max_response_bytes", DefaultMaxResponseBytes, 1, 1<<30)
		return
	}
	p.maxResponse = DefaultMaxResponseBytes // of an answer that is a failure
	if p.objectLimit = r.Whole("max_response_bytes", 0, 1, 1<<50); p.objectLimit > 0 {
		p.maxResponse = min(p.objectLimit, p.maxResponse)
	}
	reads := ""
	switch {
	case p.selects != "":
		reads = "select"
	case p.responseFormat != "auto" && p.responseFormat != "bytes":
		reads = "response_format"
	case p.responseCharset != "":
		reads = "response_charset"
	case p.rules != nil && (len(p.rules.required) > 0 || len(p.rules.checks) > 0):
		reads = "response_validation"
	case p.handling == "ignore":
		r.Problem("store_as", "unused", "response_handling is \"ignore\": nothing is stored")
	case p.operation == "head":
		r.Problem("store_as", "unused", "the answer to a head request has no body")
	}
	if reads != "" && r.Judges(reads, "store_as") {
		r.Problem(reads, "unused", "store_as = \"object\" stores the response unread, but %s reads it", reads)
	}
}

// readsBody reports whether the body can be looked at.
func (r *reader) readsBody() bool {
	_, _ = r.Get("body") // fails one that could not be read
	return r.Judges("body")
}

func (r *reader) readKey(p *props) {
	switch v, _ := r.Get("idempotency_key"); v := v.(type) {
	case nil:
	case bool:
		p.keyed = v
	case string:
		p.keyed, p.keyTemplate = true, v
		if v == "" {
			r.Problem("idempotency_key", "empty", "idempotency_key is empty, want true, false or a template")
		}
	default:
		r.WrongType("idempotency_key", v, "true, false or a string")
	}
}

// maxBreakerName is the longest name of a shared breaker, in bytes.
const maxBreakerName = 128

func (r *reader) readBreaker(p *props) {
	switch v, _ := r.Get("breaker"); v := v.(type) {
	case nil:
	case bool:
		p.noBreaker = !v
	case string:
		p.breaker = v
		if len(v) > maxBreakerName {
			r.Problem("breaker", "too-long", "breaker is a name of %d bytes, at most %d are possible", len(v), maxBreakerName)
		}
	default:
		r.WrongType("breaker", v, "true, false or a name")
	}
}

// check holds properties against each other.
func (r *reader) check(p *props) {
	if p.url == "" && r.Judges("url") && !r.otherwise("url") {
		r.Problem("url", "missing", "url is missing")
	}
	if p.hasBody && (p.operation == "get" || p.operation == "head") && r.Judges("operation") && !r.otherwise("operation") {
		r.Problem("body", "body-not-allowed", "a %s request has no body; did you mean params?", p.operation)
	}
	if err := engine.CheckCredentialID(p.credentialID); p.credentialID != "" && err != nil {
		r.Problem("credential_id", "bad-id", "%v", err)
	}
	switch {
	case !r.Judges("auth_type", "credential_id"):
	case p.authType != "none" && p.credentialID == "":
		r.Problem("auth_type", "missing", "auth_type %q needs credential_id", p.authType)
	case p.authType == "none" && p.credentialID != "":
		r.Problem("credential_id", "unused", "credential_id is given, but auth_type is missing (basic, digest, oauth2, api_key, bearer or aws_sigv4)")
	}
	if _, given := r.Get("cookie_jar"); given && r.Judges("cookie_jar") && !jarName.MatchString(p.cookieJar) {
		r.Problem("cookie_jar", "bad-id", "cookie_jar is %s, want 1 to 64 letters, digits, _ and -", value.Quoted(cut(p.cookieJar, 80)))
	}
	for _, key := range []string{"region", "service"} {
		if _, given := r.Get(key); given && p.authType != "aws_sigv4" && r.Judges(key, "auth_type") {
			r.Problem(key, "unused", "%s needs auth_type = \"aws_sigv4\"", key)
		}
	}
	if p.asks && p.onInterrupted != "" {
		r.Problem("on_interrupted", "unused", "on_interrupted = %q and on_lost = \"ask\" exclude each other", p.onInterrupted)
	}
	if p.retry.Count > 0 && p.unrepeatable() && !p.asks && r.Judges("retry_count", "operation", "idempotency_key") {
		r.Add("retry_count", engine.Problem{Code: "repeatable", Warning: true, Message: fmt.Sprintf(
			"retry_count on a %s: it may be repeated when its answer is lost: add idempotency_key = true", p.method)})
	}
	if p.pullKey != "" && len(p.pulls) == 0 && r.Judges("xcom_pull_key", "xcom_pull") {
		r.Problem("xcom_pull_key", "unused", "xcom_pull_key needs xcom_pull")
	}
	if (p.tls.cert == "") != (p.tls.key == "") && r.Judges("client_cert", "client_key") {
		given := "client_cert"
		if p.tls.cert == "" {
			given = "client_key"
		}
		r.Problem(given, "missing", "client_cert and client_key go together")
	}
	if p.handling == "ignore" && p.rules != nil && (len(p.rules.required) > 0 || len(p.rules.checks) > 0) && r.Judges("response_handling") {
		r.Problem("response_handling", "unused", "response_handling is \"ignore\", but response_validation reads the response")
	}
}
