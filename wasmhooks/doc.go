// Package wasmhooks runs hooks: WebAssembly modules of users that check and
// rewrite the bodies of API calls, by the interface qarion-hook/1 (see
// docs/hooks.md). It brings wazero and knows the engine; the task type that has
// hooks states what it calls.
//
// A module is metered before it is compiled (meter.go), held against the
// interface (check.go), and run in instances that are warm, pooled and thrown
// away after anything abnormal (pool.go, call.go). A hostile module costs its own
// task, and nothing else.
package wasmhooks
