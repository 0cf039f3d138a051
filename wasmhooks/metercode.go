package wasmhooks

import (
	"errors"
	"fmt"
	"slices"
)

// What a function may have, so that it is compiled in good time.
const (
	maxLocals = 10_000    // variables
	maxValues = 128       // parameters, and results
	maxBody   = 128 << 10 // bytes
	maxForks  = 4_000     // blocks, branches and their targets
	maxLoops  = 100       // loops and conditions within one another
	maxPages  = 4096      // of memory, by the highest limit there is
)

// A region is code that is charged at once: it is entered at its begin alone, and
// nothing in it runs twice. What it costs is the sum of all that stands in it, so a
// jump over a part of it pays for what it leaves out; to keep that small a region ends
// at the next fork when it costs more than smallRegion.
//
// While a function runs it counts in a variable of its own, which the compiler keeps in
// a register: the counter of the module has the truth when another function begins or
// goes on, and only then.
const smallRegion = 24

// smallLeaf is what a function may cost that does not look whether there is fuel left:
// who calls it does.
const smallLeaf = 64

// frame is a block that is open.
type frame struct {
	op     byte // of its begin
	region int  // in which it begins
}

// codeMeter meters the instructions of one function.
type codeMeter struct {
	*metering
	out     []byte
	frames  []frame
	region  int    // the number of the one that is open
	cost    int64  // of it
	at      int    // where in out its charge stands; 0: it costs nothing yet
	counter uint32 // the variable that counts
	moved   uint32 // the variable that holds what is moved
	moves   bool   // it is used
	told    bool   // the counter of the module says the same
	stops   [2]int // in out: where the begin of the function ends what has no fuel left
	leaf    bool   // nothing is called, and nothing runs twice
	total   int64  // of all regions
	forks   int    // that there are
	loops   int    // loops and conditions that are open
}

func (m *metering) code(content []byte, free bool) ([]byte, error) {
	if free {
		return content, nil
	}
	r := &reader{data: content}
	n := r.u32()
	if int(n) != len(m.types) {
		return nil, errors.New("it has another number of functions than of their bodies")
	}
	c := &codeMeter{metering: m}
	out := appendU32(make([]byte, 0, len(content)+len(content)/2), n)
	for i := range m.types {
		size := r.u32()
		if size > maxBody {
			return nil, fmt.Errorf("function %d: it has %d bytes of code, at most %d are allowed", i, size, maxBody)
		}
		body := r.bytes(size)
		if r.err != nil {
			return nil, r.err
		}
		var err error
		if out, err = c.function(out, body, m.types[i]); err != nil {
			return nil, fmt.Errorf("function %d: %w", i, err)
		}
	}
	return out, nil
}

// function writes one body metered: its locals, to which one may be added, and its
// instructions.
func (c *codeMeter) function(out, body []byte, kind uint32) ([]byte, error) {
	if int(kind) >= len(c.params) {
		return nil, errors.New("it has no type")
	}
	r := &reader{data: body}
	groups := r.u32()
	first := r.at
	locals := uint64(c.params[kind])
	for range groups {
		if !r.more() {
			break
		}
		locals += uint64(r.u32())
		r.byte()
	}
	if locals > maxLocals {
		r.fail(errors.New("it has too many local variables"))
	}
	declared := body[first:r.at]
	*c = codeMeter{metering: c.metering, out: c.out[:0], frames: append(c.frames[:0], frame{}), counter: uint32(locals), moved: uint32(locals) + 1, leaf: true}
	c.tell(0x23, 0x21) // global.get, local.set: what there is to begin with
	c.begin(6+int64(c.values[kind]), false)
	c.stops[0] = len(c.out)
	c.stop()
	c.stops[1] = len(c.out)
	for r.more() {
		start := r.at
		in := r.instruction()
		if r.err != nil {
			return nil, r.err
		}
		if err := c.instruction(in, body[start:r.at]); err != nil {
			return nil, err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	c.settle()
	if c.leaf && c.total <= smallLeaf {
		c.out = slices.Delete(c.out, c.stops[0], c.stops[1])
	}
	own := []byte{1, 0x7e} // one i64
	if c.moves {
		own = append(own, 1, 0x7f) // one i32
	}
	groups += uint32(len(own) / 2)
	size := len(appendU32(nil, groups)) + len(declared) + len(own) + len(c.out)
	out = appendU32(appendU32(out, uint32(size)), groups)
	out = append(append(out, declared...), own...)
	return append(out, c.out...), nil
}

// instruction writes one instruction, and before or behind it what charges.
func (c *codeMeter) instruction(in instr, text []byte) error {
	op := text[0]
	cost := in.cost
	if in.typed {
		if int(in.index) >= len(c.values) {
			return errors.New("a block has no type")
		}
		cost += 2 * int64(c.values[in.index])
	}
	if cost > 0 {
		c.add(cost)
	}
	if in.moves != movesNothing || op == opGrow {
		c.chargeMoved(in.moves, op == opGrow)
	}
	calls := op == opCall || op == opCallIndirect
	if calls || c.leaves(op, in.depth) {
		c.tell(0x20, 0x24) // local.get, global.set
	}
	c.out = append(c.out, text...)
	if calls {
		c.leaf = false
		c.tell(0x23, 0x21) // global.get, local.set
	}
	if c.forks += in.forks; c.forks > maxForks {
		return fmt.Errorf("it has more than %d blocks and branches", maxForks)
	}
	if op == opLoop || op == opIf {
		if c.loops++; c.loops > maxLoops {
			return fmt.Errorf("more than %d loops and conditions lie within one another", maxLoops)
		}
	}
	switch op {
	case opBlock, opIf:
		c.frames = append(c.frames, frame{op, c.region})
		if op == opIf {
			c.fork()
		}
	case opLoop:
		c.frames = append(c.frames, frame{op, -1})
		c.leaf = false
		c.begin(3+cost, true)
	case opBranchIf:
		c.fork()
	case opElse, opEnd:
		if len(c.frames) == 0 {
			return errors.New("it has an end that ends nothing")
		}
		last := c.frames[len(c.frames)-1]
		if op == opEnd {
			c.frames = c.frames[:len(c.frames)-1]
			if last.op == opLoop || last.op == opIf {
				c.loops--
			}
		}
		if last.region != c.region { // jumps lead here from outside of the region
			c.begin(0, false)
		} else {
			c.fork()
		}
		c.told = false // on one of the ways that meet here it may be so
	}
	return nil
}

// fork ends a region that is large where another may begin.
func (c *codeMeter) fork() {
	if c.cost > smallRegion {
		c.begin(0, false)
	}
}

// leaves reports whether an instruction may end the function. depth is that of the
// farthest block that it jumps to.
func (c *codeMeter) leaves(op byte, depth uint32) bool {
	switch op {
	case opReturn:
		return true
	case opEnd:
		return len(c.frames) == 1
	case opBranch, opBranchIf, opBranchTable:
		return int(depth) >= len(c.frames)-1
	}
	return false
}

// tell copies the function's counter into that of the module, or the other way, where
// they may differ.
func (c *codeMeter) tell(from, to byte) {
	a, b := c.counter, c.globals
	if from == 0x23 {
		a, b = b, a
	} else if c.told {
		return
	}
	c.op(from, a)
	c.op(to, b)
	c.told = true
}

// begin begins a region. With stop it ends here what has no fuel left.
func (c *codeMeter) begin(cost int64, stop bool) {
	c.settle()
	c.region++
	c.cost, c.at, c.told = 0, 0, false
	if cost > 0 {
		c.add(cost)
	}
	if stop {
		c.stop()
	}
}

// add charges the region; with its first cost the charge is written, to be filled in.
func (c *codeMeter) add(cost int64) {
	if c.at == 0 {
		c.op(0x20, c.counter)                   // local.get
		c.out = append(c.out, 0x42)             // i64.const
		c.at = len(c.out)                       //
		c.out = append(c.out, 0, 0, 0, 0, 0x7d) // its value, i64.sub
		c.op(0x21, c.counter)                   // local.set
		c.told = false
	}
	c.cost += cost
}

// settle fills in what the region costs: a signed number in four bytes of LEB128,
// enough for a body of maxBody.
func (c *codeMeter) settle() {
	if c.at == 0 {
		return
	}
	for i := range 4 {
		c.out[c.at+i] = byte(c.cost>>(7*i))&0x7f | 0x80
	}
	c.out[c.at+3] &^= 0x80
	c.total += c.cost
}

// stop begins another slice where this one is used up.
func (c *codeMeter) stop() {
	c.op(0x20, c.counter)
	c.out = append(c.out, 0x42, 0, 0x53, 0x04, 0x40) // i64.const 0, i64.lt_s, if
	c.op(0x20, c.counter)
	c.op(opCall, c.imports+uint32(len(c.types)))
	c.op(0x21, c.counter)
	c.out = append(c.out, 0x0b) // end
	c.told = false
}

// chargeMoved charges for what the number on top of the stack says: a step for 8
// bytes, and for an element of a table. Memory that grows is charged by its pages,
// as long as they can be had.
func (c *codeMeter) chargeMoved(what moves, pages bool) {
	c.moves, c.leaf, c.told = true, false, false
	c.op(0x22, c.moved) // local.tee
	c.op(0x20, c.counter)
	c.op(0x20, c.moved)
	switch {
	case pages:
		c.out = append(c.out, 0x41, 0) // i32.const
		c.op(0x20, c.moved)
		c.out = append(appendS64(append(c.out, 0x41), maxPages), 0x49, 0x1b) // i32.lt_u, select: more cannot be had
		c.out = append(c.out, 0xad, 0x42, 13, 0x86)                          // i64.extend_i32_u, i64.const, i64.shl: 64 KiB are 8192 steps
	case what == movesBytes:
		c.out = append(c.out, 0x41, 3, 0x76, 0xad) // i32.const, i32.shr_u, i64.extend_i32_u
	default:
		c.out = append(c.out, 0xad)
	}
	c.out = append(c.out, 0x7d) // i64.sub
	c.op(0x21, c.counter)
	c.stop()
}

// op writes an instruction that has an index.
func (c *codeMeter) op(op byte, index uint32) { c.out = appendU32(append(c.out, op), index) }
