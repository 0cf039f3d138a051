package apicall

// PropertyNames implements engine.PropertyNamer.
func (t *TaskType) PropertyNames() []string { return propertyNames() }

// propertyWords are the words of other tools, such as Airflow, n8n, Kestra,
// Ansible, Postman, curl, Python's requests and axios, for what is a property or
// a rule here.
var propertyWords = map[string]string{
	"endpoint": "url", "uri": "url", "address": "url", "base_url": "url", "path": "url", "href": "url", "api_url": "url",
	"method": "operation", "http_method": "operation", "verb": "operation", "request_method": "operation",
	"data": "body", "json": "body", "payload": "body", "content": "body", "json_body": "body", "request_body": "body", "form": "body", "form_data": "body",
	"files": "body", "body_parameters": "body", "data_raw": "body", "data_binary": "body", "post_data": "body",
	"content_type": "body_format", "body_type": "body_format", "send_body_as": "body_format",
	"query": "params", "query_params": "params", "query_parameters": "params", "query_string": "params", "parameters": "params", "search_params": "params",
	"header": "headers", "header_parameters": "headers", "request_headers": "headers", "http_headers": "headers", "extra_headers": "headers",
	"auth": "auth_type", "authentication": "auth_type", "authorization": "auth_type",
	"http_conn_id": "credential_id", "conn_id": "credential_id", "connection": "credential_id", "connection_id": "credential_id",
	"credential": "credential_id", "credentials": "credential_id", "secret_id": "credential_id",
	"retries": "retry_count", "retry": "retry_count", "max_retries": "retry_count", "max_attempts": "retry_count", "max_attempt": "retry_count",
	"max_tries": "retry_count", "attempts": "retry_count", "num_retries": "retry_count", "number_of_retries": "retry_count", "retry_on_fail": "retry_count",
	"retry_delay_seconds": "retry_delay", "retry_interval": "retry_delay", "wait_between_tries": "retry_delay", "delay": "retry_delay", "backoff": "retry_backoff",
	"retry_exponential_backoff": "retry_backoff", "backoff_factor": "retry_backoff", "retry_backoff_factor": "retry_backoff", "backoff_rate": "retry_backoff",
	"max_retry_delay": "retry_max_delay", "max_backoff": "retry_max_delay", "jitter": "retry_jitter", "retry_jitter_factor": "retry_jitter",
	"retry_status": "retry_on_status", "retry_on": "retry_on_status", "status_forcelist": "retry_on_status", "retry_status_codes": "retry_on_status",
	"execution_timeout": "timeout", "timeout_seconds": "timeout", "request_timeout": "timeout", "read_timeout": "timeout", "max_time": "timeout", "deadline": "timeout",
	"verify": "verify_tls", "verify_ssl": "verify_tls", "ssl_verify": "verify_tls", "validate_certs": "verify_tls", "insecure": "verify_tls",
	"insecure_skip_verify": "verify_tls", "allow_unauthorized_certs": "verify_tls", "reject_unauthorized": "verify_tls", "tls_verify": "verify_tls",
	"ca": "ca_file", "ca_cert": "ca_file", "cacert": "ca_file", "ca_path": "ca_file", "ca_bundle": "ca_file",
	"cert": "client_cert", "certificate": "client_cert", "client_certificate": "client_cert", "key": "client_key", "private_key": "client_key",
	"allow_redirects": "follow_redirects", "redirects": "follow_redirects", "follow_redirect": "follow_redirects", "location": "follow_redirects",
	"maximum_redirects": "max_redirects", "proxies": "proxy", "https_proxy": "proxy", "http_proxy": "proxy", "circuit_breaker": "breaker",
	"response_check": "response_validation", "validate": "response_validation", "validation": "response_validation", "assertions": "response_validation",
	"success_condition": "response_validation", "validate_status": "response_validation", "expect": "response_validation",
	"response_filter": "select", "jq": "select", "json_path": "select", "jsonpath": "select", "filter": "select", "output": "select", "transform": "select", "extract": "select",
	"response_type": "response_format", "output_format": "response_format", "encoding": "response_charset", "charset": "response_charset",
	"max_size": "max_response_bytes", "max_content_length": "max_response_bytes", "xcom": "xcom_pull", "inputs": "xcom_pull",
	"idempotent": "idempotency_key", "idempotency": "idempotency_key", "download": "store_as", "output_file": "store_as",
	"status": "expected_status_code", "status_code": "expected_status_code", "status_codes": "expected_status_code", "expected_status": "expected_status_code",
	"expected_statuses": "expected_status_code", "ok_status": "expected_status_code", "response_codes": "expected_status_code",
	"required": "required_fields", "fields": "required_fields", "must_have": "required_fields", "checks": "field_checks", "schema": "field_checks",
	"cookies": "cookie_jar", "session": "cookie_jar", "pagination": "paginate",
}

// valueWords are such words for what properties may be.
var valueWords = map[string]string{
	"token": "bearer", "jwt": "bearer", "bearer_token": "bearer", "oauth": "oauth2", "client_credentials": "oauth2", "basic_auth": "basic",
	"apikey": "api_key", "header": "api_key", "aws": "aws_sigv4", "sigv4": "aws_sigv4", "no": "none", "null": "none", "anonymous": "none",
	"urlencoded": "form", "form_urlencoded": "form", "x_www_form_urlencoded": "form", "application/x_www_form_urlencoded": "form",
	"form_data": "multipart", "multipart/form_data": "multipart", "text": "raw", "binary": "raw", "plain": "raw", "application/json": "json",
	"application/xml": "xml", "blob": "bytes", "buffer": "bytes", "file": "object", "stream": "object", "jsonl": "ndjson", "jsonlines": "ndjson",
	"brackets_indices": "brackets", "dot": "dots",
}
