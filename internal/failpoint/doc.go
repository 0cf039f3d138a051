// Package failpoint lets tests stop the program where a crash would hurt most,
// and lose what a network or a disk could lose.
//
// The points are compiled in with the build tag failpoints alone; without it
// every call is nothing. With it, QARION_FAILPOINTS says what happens at which
// point, at its first hit or another:
//
//	QARION_FAILPOINTS="attempt.made=kill;dispatch=kill@2;attempt.unacknowledged=fail;worker.offer=fail@*;attempt.made=wait:/tmp/go"
//
//	kill       the process ends at once, as by kill -9
//	fail       Fails reports true
//	wait:FILE  the goroutine stands still until the file is there
//
// @N is the hit at which it happens, @* every one.
package failpoint
