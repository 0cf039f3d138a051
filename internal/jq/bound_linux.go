package jq

import "syscall"

// rlimitData is RLIMIT_DATA: what a process may map for itself.
const rlimitData = 2

// bound lets the system refuse memory far beyond the limit, which ends the
// process. The Go runtime needs some of its own, and freed memory counts until
// it is given back.
func bound(limit int64) {
	var r syscall.Rlimit
	if syscall.Getrlimit(rlimitData, &r) != nil {
		return
	}
	r.Cur = min(r.Max, uint64(4*limit+512<<20))
	_ = syscall.Setrlimit(rlimitData, &r)
}
