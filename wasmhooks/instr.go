package wasmhooks

import (
	"errors"
	"fmt"
)

// Instructions that the meter must know by name.
const (
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBranch       = 0x0c
	opBranchIf     = 0x0d
	opBranchTable  = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opGrow         = 0x40
)

// instr is what the meter must know of an instruction.
type instr struct {
	cost  int64  // steps: one takes about a nanosecond at most, without what it moves
	moves moves  // what the number on top of the stack counts
	forks int    // ways that lead on from here
	depth uint32 // of the farthest block that it jumps to
	typed bool   // a block whose type is that of a function ...
	index uint32
}

// moves is what an instruction moves at once.
type moves int8

const (
	movesNothing moves = iota
	movesBytes
	movesElements
)

// instruction reads one instruction with what belongs to it (WebAssembly Core
// Specification 2.0, 5.4). One that is not known is an error.
func (r *reader) instruction() (in instr) {
	switch op := r.byte(); {
	case op == opBlock || op == opLoop || op == opIf:
		in.index, in.typed = r.blockType()
		in.forks = 1
		if op == opIf {
			in.cost = 1
		}
	case op == 0x01, op == opElse, op == opEnd: // nop
	case op == 0x00, op == opReturn, op == 0x1a, op == 0x1b, op == 0xd1:
		in.cost = 1
	case 0x45 <= op && op <= 0xc4:
		in.cost = arithmetic(op)
	case op == opBranch, op == opBranchIf:
		in.depth = r.u32()
		in.cost, in.forks = 1, 1
	case 0x20 <= op && op <= 0x22: // an index
		r.u32()
		in.cost = 1
	case op == 0x23, op == 0x24, op == opCall: // globals
		r.u32()
		in.cost = 2
	case op == 0x25, op == 0x26: // tables
		r.u32()
		in.cost = 5
	case op == 0xd2: // ref.func
		r.u32()
		in.cost = 1000
	case op == opBranchTable:
		for range r.u32() {
			if !r.more() {
				break
			}
			in.depth = max(in.depth, r.u32())
			in.forks++
		}
		in.depth = max(in.depth, r.u32())
		in.cost = 3
	case op == opCallIndirect:
		r.u32()
		r.u32()
		in.cost = 8
	case op == 0x1c: // select with types
		r.bytes(r.u32())
		in.cost = 1
	case 0x28 <= op && op <= 0x3e:
		r.memarg()
		in.cost = 2
	case op == 0x3f: // memory.size
		r.zero()
		in.cost = 2
	case op == opGrow:
		r.zero()
		in.cost = 200
	case op == 0x41:
		r.skipInt(32)
		in.cost = 1
	case op == 0x42:
		r.skipInt(64)
		in.cost = 1
	case op == 0x43:
		r.bytes(4)
		in.cost = 1
	case op == 0x44:
		r.bytes(8)
		in.cost = 1
	case op == 0xd0: // ref.null
		r.byte()
		in.cost = 1
	case op == 0xfc:
		in.cost, in.moves = r.bulk()
	case op == 0xfd:
		in.cost = r.vector()
	default:
		r.fail(fmt.Errorf("it has an instruction 0x%02x that hooks may not have (threads, exceptions, tail calls and garbage collection are not allowed)", op))
	}
	return in
}

// arithmetic is what an instruction costs that computes with numbers.
func arithmetic(op byte) int64 {
	switch {
	case 0x6d <= op && op <= 0x70, 0x7f <= op && op <= 0x82: // whole numbers are divided
		return 10
	case op == 0x91, op == 0x95, op == 0x9f, op == 0xa3: // roots, and division with fractions
		return 8
	case 0xa8 <= op && op <= 0xbf: // conversions
		return 3
	}
	return 1
}

// blockType reads the type of a block, which may be that of a function.
func (r *reader) blockType() (index uint32, typed bool) {
	if r.at < len(r.data) && r.data[r.at]&0xc0 == 0x40 { // one byte, and negative: nothing or a single value
		r.at++
		return 0, false
	}
	return r.u32(), true
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
func (r *reader) bulk() (cost int64, what moves) {
	switch op := r.u32(); op {
	case 0, 1, 2, 3, 4, 5, 6, 7:
		return 3, movesNothing
	case 8: // memory.init
		r.u32()
		r.zero()
		return 100, movesBytes
	case 9, 13, 16: // data.drop, elem.drop, table.size
		r.u32()
		return 5, movesNothing
	case 10: // memory.copy
		r.zero()
		r.zero()
		return 10, movesBytes
	case 11: // memory.fill
		r.zero()
		return 10, movesBytes
	case 12, 14: // table.init, table.copy
		r.u32()
		r.u32()
		return 100, movesElements
	case 15: // table.grow
		r.fail(errors.New("its table grows, which hooks may not do"))
	case 17: // table.fill
		r.u32()
		return 100, movesElements
	default:
		r.fail(fmt.Errorf("it has an instruction 0xfc %d that is not known", op))
	}
	return 0, movesNothing
}

// vector reads an instruction of SIMD, and returns what it costs.
func (r *reader) vector() int64 {
	switch op := r.u32(); {
	case op <= 11, op == 92, op == 93:
		r.memarg()
		return 2
	case op == 12, op == 13:
		r.bytes(16)
		return 2
	case 21 <= op && op <= 34:
		r.byte()
		return 2
	case 84 <= op && op <= 91:
		r.memarg()
		r.byte()
		return 3
	case op > 255:
		r.fail(fmt.Errorf("it has an instruction 0xfd %d that is not known", op))
	case op == 227, op == 231, op == 239, op == 243: // roots and division
		return 16
	}
	return 5
}
