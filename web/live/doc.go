// Package live tells browsers what happens, as server-sent events: which run,
// task or breaker something has happened to, not what. Pages then ask for what
// they show. One reader of the node's events serves all streams, and only while
// there are any; whoever comes back with the place that it has heard last gets
// what it has missed.
package live
