package wasmhooks

import (
	"errors"
	"fmt"
)

// The parts of a WebAssembly binary (WebAssembly Core Specification 2.0, chapter
// 5) that the meter must understand.

// wasmHeader is the magic number and the version of core modules.
const wasmHeader = "\x00asm\x01\x00\x00\x00"

// Sections by their id.
const (
	sectionCustom   = 0
	sectionType     = 1
	sectionImport   = 2
	sectionFunction = 3
	sectionTable    = 4
	sectionMemory   = 5
	sectionGlobal   = 6
	sectionExport   = 7
	sectionCode     = 10
)

// section is a part of a binary; its content is not copied.
type section struct {
	id      byte
	content []byte
}

var errShort = errors.New("it ends in the middle of something")

// reader reads a binary. The first mistake stays in err, and everything read
// after it is zero.
type reader struct {
	data []byte
	at   int
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err, r.data = err, r.data[:min(r.at, len(r.data))]
	}
}

func (r *reader) more() bool { return r.err == nil && r.at < len(r.data) }

func (r *reader) byte() byte {
	if r.at >= len(r.data) {
		r.fail(errShort)
		return 0
	}
	b := r.data[r.at]
	r.at++
	return b
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.data)-r.at) {
		r.fail(errShort)
		return nil
	}
	b := r.data[r.at : r.at+int(n)]
	r.at += int(n)
	return b
}

// u32 reads an unsigned LEB128 number.
func (r *reader) u32() uint32 {
	var v uint64
	for shift := 0; ; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		switch {
		case r.err != nil:
			return 0
		case b < 0x80 && v <= 1<<32-1:
			return uint32(v)
		case shift >= 28:
			r.fail(errors.New("a number is too long"))
			return 0
		}
	}
}

// skipInt reads a signed LEB128 number of at most bits and forgets it.
func (r *reader) skipInt(bits int) {
	for n := 0; ; n += 7 {
		b := r.byte()
		if r.err != nil || b < 0x80 {
			return
		}
		if n+7 >= bits {
			r.fail(errors.New("a number is too long"))
			return
		}
	}
}

func (r *reader) name() string { return string(r.bytes(r.u32())) }

// limits reads those of a memory or a table, and returns the lower one.
func (r *reader) limits() uint32 {
	flags := r.byte()
	if flags > 1 {
		r.fail(errors.New("it uses a memory or a table of a kind that hooks may not have (shared, or of 64 bits)"))
		return 0
	}
	low := r.u32()
	if flags == 1 {
		r.u32()
	}
	return low
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// appendS64 is a signed LEB128 number.
func appendS64(b []byte, v int64) []byte {
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if v == 0 && low&0x40 == 0 || v == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}

// sections takes a binary apart.
func sections(module []byte) ([]section, error) {
	if err := checkHeader(module); err != nil {
		return nil, err
	}
	r := &reader{data: module, at: len(wasmHeader)}
	var out []section
	for r.more() {
		id := r.byte()
		out = append(out, section{id, r.bytes(r.u32())})
	}
	return out, r.err
}

// checkHeader tells what a file is that is no core module.
func checkHeader(module []byte) error {
	switch {
	case len(module) == 0:
		return errors.New("the file is empty")
	case len(module) < 8 || string(module[:4]) != wasmHeader[:4]:
		return errors.New("it is no WebAssembly module")
	case module[6] == 1:
		return errors.New("it is a component; build a core module (in Rust: target wasm32-unknown-unknown)")
	case string(module[:8]) != wasmHeader:
		return fmt.Errorf("it has version %d of WebAssembly, want 1", module[4])
	}
	return nil
}

// join puts sections together again.
func join(list []section) []byte {
	size := len(wasmHeader)
	for _, s := range list {
		size += len(s.content) + 6
	}
	out := append(make([]byte, 0, size), wasmHeader...)
	for _, s := range list {
		out = append(out, s.id)
		out = appendU32(out, uint32(len(s.content)))
		out = append(out, s.content...)
	}
	return out
}
