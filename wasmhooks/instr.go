package wasmhooks

import (
	"errors"
	"fmt"
)

// instrKind is what the meter must know of an instruction.
type instrKind int8

const (
	instrPlain instrKind = iota
	instrLoop            // a loop begins
	instrBulk            // the number on top of the stack says how much is moved
)

// instruction reads one instruction with what belongs to it (WebAssembly Core
// Specification 2.0, 5.4). One that is not known is an error.
func (r *reader) instruction() instrKind {
	switch op := r.byte(); {
	case op == 0x02 || op == 0x03 || op == 0x04: // block, loop, if
		r.skipInt(33)
		if op == 0x03 {
			return instrLoop
		}
	case op <= 0x01, op == 0x05, op == 0x0b, op == 0x0f, op == 0x1a, op == 0x1b, 0x45 <= op && op <= 0xc4, op == 0xd1:
	case op == 0x0c, op == 0x0d, op == 0x10, 0x20 <= op && op <= 0x26, op == 0xd2: // an index
		r.u32()
	case op == 0x0e: // br_table
		for range r.u32() {
			if !r.more() {
				break
			}
			r.u32()
		}
		r.u32()
	case op == 0x11: // call_indirect
		r.u32()
		r.u32()
	case op == 0x1c: // select with types
		r.bytes(r.u32())
	case 0x28 <= op && op <= 0x3e:
		r.memarg()
	case op == 0x3f, op == 0x40: // memory.size, memory.grow
		r.zero()
	case op == 0x41:
		r.skipInt(32)
	case op == 0x42:
		r.skipInt(64)
	case op == 0x43:
		r.bytes(4)
	case op == 0x44:
		r.bytes(8)
	case op == 0xd0: // ref.null
		r.byte()
	case op == 0xfc:
		return r.bulk()
	case op == 0xfd:
		r.vector()
	default:
		r.fail(fmt.Errorf("it has an instruction 0x%02x that hooks may not have (threads, exceptions, tail calls and garbage collection are not allowed)", op))
	}
	return instrPlain
}

// memarg is the place of a load or a store.
func (r *reader) memarg() {
	if r.u32() >= 64 {
		r.fail(errors.New("it has several memories"))
		return
	}
	r.u32()
}

func (r *reader) zero() {
	if r.byte() != 0 {
		r.fail(errors.New("it has several memories"))
	}
}

// bulk reads conversions, and operations on whole pieces of memory and tables.
func (r *reader) bulk() instrKind {
	switch op := r.u32(); op {
	case 0, 1, 2, 3, 4, 5, 6, 7:
	case 8: // memory.init
		r.u32()
		r.zero()
		return instrBulk
	case 9, 13, 16: // data.drop, elem.drop, table.size
		r.u32()
	case 10: // memory.copy
		r.zero()
		r.zero()
		return instrBulk
	case 11: // memory.fill
		r.zero()
		return instrBulk
	case 12, 14: // table.init, table.copy
		r.u32()
		r.u32()
		return instrBulk
	case 15: // table.grow
		r.fail(errors.New("its table grows, which hooks may not do"))
	case 17: // table.fill
		r.u32()
		return instrBulk
	default:
		r.fail(fmt.Errorf("it has an instruction 0xfc %d that is not known", op))
	}
	return instrPlain
}

// vector reads an instruction of SIMD.
func (r *reader) vector() {
	switch op := r.u32(); {
	case op <= 11, op == 92, op == 93:
		r.memarg()
	case op == 12, op == 13:
		r.bytes(16)
	case 21 <= op && op <= 34:
		r.byte()
	case 84 <= op && op <= 91:
		r.memarg()
		r.byte()
	case op > 255:
		r.fail(fmt.Errorf("it has an instruction 0xfd %d that is not known", op))
	}
}
