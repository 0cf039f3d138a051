// Package web is the node's HTTP door: health, metrics and the API of
// /api/v1. It asks the same endpoints as the NATS service, through Backend, and
// changes nothing on the way of a task: what a browser or a scraper wants never
// holds up a call.
//
// It is bounded on every side: what may connect, how long a request may take to
// arrive, how large it may be, how long its answer may take to leave. Off
// loopback it demands TLS and a login; on loopback it answers to the names of
// loopback only, so that no page from elsewhere reads it.
package web
