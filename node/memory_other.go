//go:build !linux

package node

// containerMemory is 0: only Linux limits the memory of a group of processes
// in a way that can be read here.
func containerMemory() int64 { return 0 }
