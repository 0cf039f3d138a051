// Package apicall is the task type api_call: one HTTP request with
// authentication, templates, validation, and failures as data.
//
// Execute makes exactly one attempt and returns; whether another one follows
// is the engine's decision, by the table in retry.go and the flow's retry
// properties. Read in this order: properties.go (what a flow may say),
// prepare.go (checked and parsed once), execute.go (the story of an attempt),
// then the step that interests you: request.go, url.go, body.go; auth.go and
// its siblings; host.go and breaker.go; transport.go, egress.go, redirect.go;
// response.go, document.go, validate.go; retry.go, which holds the one table;
// details.go and redact.go, for what people see of it.
package apicall
