package validate

import (
	"unsafe"

	"github.com/qarion/qarion/examples/hooks/hookguest/internal/wire"
)

//go:wasmexport qarion_validate
func export(p unsafe.Pointer, metaLen, bodyLen uint32) uint64 {
	doc, failed := Call(wire.Input(p, metaLen, bodyLen))
	if doc == nil {
		return 0
	}
	return wire.Give(doc, failed)
}
