package transform

import (
	"unsafe"

	"github.com/qarion/qarion/examples/hooks/hookguest/internal/wire"
)

//go:wasmexport qarion_transform
func export(p unsafe.Pointer, metaLen, bodyLen uint32) uint64 {
	out, failed := Call(wire.Input(p, metaLen, bodyLen))
	if out == nil {
		return 0
	}
	return wire.Give(out, failed)
}
