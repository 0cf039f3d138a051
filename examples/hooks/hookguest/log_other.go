//go:build !wasm

package hookguest

import "os"

func hostLog(level uint32, line string) {
	names := [...]string{"debug", "info", "warn", "error"}
	os.Stderr.WriteString("hook: " + names[level] + ": " + line + "\n")
}
