//go:build !linux

package jq

// bound does nothing where the system has no limit of this kind: there the
// worker's own watch is all.
func bound(int64) {}
