//go:build !failpoints

package failpoint

// Here is a point at which the program may be stopped.
func Here(string) {}

// Fails reports whether what follows is to fail.
func Fails(string) bool { return false }
