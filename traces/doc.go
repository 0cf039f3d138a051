// Package traces makes OpenTelemetry spans of runs, tasks, attempts and the
// requests that they send, and sends them by OTLP (http/protobuf), as the
// standard OTEL_ variables say.
//
// It is a view of the ledger: a span is made when its end is in there, so the
// way of a task pays nothing for it. Only the spans of requests are made while
// they are sent, since they carry their place in the trace to the server. Every
// id follows from the run, the task and the attempt: a node that was killed and
// started again goes on in the same trace, and nothing has to be remembered.
//
// What it sends may be lost, as telemetry may. The operation log may not.
package traces
