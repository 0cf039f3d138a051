//go:build wasm

// Package wire holds the exports that every hook has, and the buffers that
// cross between module and host.
package wire

import "unsafe"

// version is qarion-hook/1.0.
const version = 1 << 16

// smallest is the first size of the input buffer: most messages fit, so the
// host asks once.
const smallest = 4096

// in and out are package variables so that the collector sees them while
// the host works with them.
var in, out []byte

//go:wasmexport qarion_abi_version
func abiVersion() uint32 { return version }

//go:wasmexport qarion_alloc
func alloc(n uint32) unsafe.Pointer {
	if uint32(len(in)) < n || len(in) == 0 {
		in = nil // the old buffer may be collected while the new one is made
		in = make([]byte, max(n, smallest))
	}
	return unsafe.Pointer(unsafe.SliceData(in))
}

// Input is what the host wrote behind p: the meta document and the body. The
// body cannot be appended to in place.
func Input(p unsafe.Pointer, metaLen, bodyLen uint32) (meta, body []byte) {
	all := unsafe.Slice((*byte)(p), metaLen+bodyLen)
	return all[:metaLen:metaLen], all[metaLen:]
}

// Give hands bytes to the host, which copies them before it calls again.
func Give(b []byte, failed bool) uint64 {
	out = b
	r := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))<<32 | uint64(len(b))
	if failed {
		r |= 1 << 31
	}
	return r
}
