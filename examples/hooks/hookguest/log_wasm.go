//go:build wasm

package hookguest

import (
	"runtime"
	"unsafe"
)

//go:wasmimport qarion log
func qarionLog(level uint32, ptr unsafe.Pointer, n uint32)

func hostLog(level uint32, line string) {
	qarionLog(level, unsafe.Pointer(unsafe.StringData(line)), uint32(len(line)))
	runtime.KeepAlive(line)
}
