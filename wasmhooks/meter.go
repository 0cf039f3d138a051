package wasmhooks

import (
	"errors"
	"fmt"
)

// The names under which the meter exports its counters: the steps that are left of a
// slice, and those that are left beside it.
const (
	fuelGlobal    = "qarion.fuel"
	reserveGlobal = "qarion.reserve"
)

// slice is how many steps a module takes before it lets Go do what it has to: some
// milliseconds of work. Compiled code cannot be interrupted, and while it runs no
// collection of garbage can begin, for which everything else would wait.
const slice = 2_000_000

// Tables lie outside of the memory that is limited.
const (
	maxTables = 8
	maxTable  = 1 << 18 // elements
)

// startFuel is how many times the work of a call a module may do while it starts.
const startFuel = 5

// meter rewrites a module so that it counts what it does, in steps: one for most
// instructions, more for slow ones, and one for 8 bytes that a bulk operation moves
// (metercode.go). Host functions count what they do themselves (hostfuncs.go). What
// has used up its fuel ends in the instruction unreachable. Nothing else would end
// compiled code that loops, or that calls itself without any loop.
//
// Fuel is given in slices. A slice is followed by the next in a function that the meter
// adds: it also lets Go do what it has to.
//
// It begins with start steps. free leaves the code as it is, so that a benchmark
// sees what paying costs. What is added - two globals, a type, a function - stands
// behind all others, so that no index shifts. What the meter does not know it refuses;
// wazero checks what it has written once more.
func meter(module []byte, start int64, free bool) ([]byte, error) {
	list, err := sections(module)
	if err != nil {
		return nil, err
	}
	m := &metering{start: start}
	for i := range list {
		if err := m.look(&list[i]); err != nil {
			return nil, err
		}
	}
	out := make([]section, 0, len(list)+1)
	for _, s := range list {
		if !m.placed && s.id != sectionCustom && s.id > sectionGlobal {
			out = append(out, section{sectionGlobal, m.global([]byte{0})})
		}
		switch s.id {
		case sectionType:
			s.content = more(s.content, 0x60, 1, 0x7e, 1, 0x7e) // (i64) -> i64
		case sectionFunction:
			s.content = more(s.content, appendU32(nil, uint32(len(m.params)))...)
		case sectionGlobal:
			s.content = m.global(s.content)
		case sectionExport:
			s.content, err = m.export(s.content)
		case sectionCode:
			if s.content, err = m.code(s.content, free); err == nil {
				s.content = more(s.content, m.nextSlice()...)
			}
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return join(out), nil
}

// metering is what the meter learns of a module before it changes it.
type metering struct {
	params  []uint32 // of each type
	values  []uint32 // of each type: parameters and results
	types   []uint32 // of each function that the module has itself
	globals uint32   // there are, imported ones too
	imports uint32   // functions that it imports
	memory  bool     // there is one
	placed  bool     // the global section is written
	start   int64    // steps to begin with
}

// more appends one element to those of a section.
func more(content []byte, element ...byte) []byte {
	r := &reader{data: content}
	n := r.u32()
	out := appendU32(make([]byte, 0, len(content)+len(element)+5), n+1)
	return append(append(out, content[r.at:]...), element...)
}

// look reads what a section says.
func (m *metering) look(s *section) error {
	r := &reader{data: s.content}
	switch s.id {
	case sectionType:
		for range r.u32() {
			if !r.more() {
				break
			}
			if r.byte() != 0x60 {
				return errors.New("it has a type that is no function")
			}
			params := r.u32()
			r.bytes(params)
			results := r.u32()
			r.bytes(results)
			if params > maxValues || results > maxValues {
				return fmt.Errorf("it has functions or blocks with more than %d parameters or results", maxValues)
			}
			m.params, m.values = append(m.params, params), append(m.values, params+results)
		}
	case sectionImport:
		for range r.u32() {
			if !r.more() {
				break
			}
			r.name()
			r.name()
			switch r.byte() {
			case 0:
				r.u32()
				m.imports++
			case 1:
				r.byte()
				r.limits()
			case 2:
				r.limits()
				m.memory = true
			case 3:
				r.bytes(2)
				m.globals++
			default:
				return errors.New("it imports something of an unknown kind")
			}
		}
	case sectionFunction:
		for range r.u32() {
			if !r.more() {
				break
			}
			m.types = append(m.types, r.u32())
		}
	case sectionTable:
		n := r.u32()
		if n > maxTables {
			return fmt.Errorf("it has %d tables, at most %d are allowed", n, maxTables)
		}
		for range n {
			r.byte()
			if size := r.limits(); size > maxTable {
				return fmt.Errorf("it has a table of %d elements, at most %d are allowed", size, maxTable)
			}
		}
	case sectionMemory:
		if r.u32() > 0 {
			r.limits()
			m.memory = true
		}
	case sectionGlobal:
		m.globals += r.u32()
	}
	return r.err
}

// global adds the counters to the global section.
func (m *metering) global(content []byte) []byte {
	for _, steps := range []int64{min(m.start, slice), max(m.start-slice, 0)} {
		content = more(content, append(appendS64([]byte{0x7e, 1, 0x42}, steps), 0x0b)...) // i64, mutable, i64.const
	}
	m.placed = true
	return content
}

// nextSlice is the body of the function that has a slice of steps follow one that is
// used up. It is given the steps that are left of that, none or less, and returns those
// of the next. Where there are no more it ends the module.
func (m *metering) nextSlice() []byte {
	reserve := m.globals + 1
	b := []byte{1, 1, 0x7e}                                              // one local: i64
	b = appendU32(append(b, 0x20, 0, 0x23), reserve)                     // local.get 0, global.get
	b = append(b, 0x7c, 0x22, 0, 0x42, 0, 0x53, 0x04, 0x40)              // i64.add, local.tee 0, i64.const 0, i64.lt_s, if
	b = appendU32(append(b, 0x42, 0x7f, 0x24), m.globals)                // i64.const -1, global.set
	b = append(appendU32(append(b, 0x42, 0, 0x24), reserve), 0x00, 0x0b) // i64.const 0, global.set, unreachable, end
	if m.memory {                                                        // memory that grows by nothing: a call of Go without a function of the host
		b = append(b, 0x41, 0, opGrow, 0, 0x1a) // i32.const 0, memory.grow, drop
	}
	b = appendS64(append(b, 0x20, 0, 0x42), slice)                   // local.get 0, i64.const
	b = appendS64(append(b, 0x20, 0, 0x42), slice)                   // local.get 0, i64.const
	b = append(b, 0x53, 0x1b, 0x21, 1, 0x20, 0, 0x20, 1, 0x7d, 0x24) // i64.lt_s, select, local.set 1, local.get 0, local.get 1, i64.sub, global.set
	b = append(appendU32(b, reserve), 0x20, 1, 0x0b)                 // local.get 1, end
	return append(appendU32(nil, uint32(len(b))), b...)
}

func (m *metering) export(content []byte) ([]byte, error) {
	r := &reader{data: content}
	for range r.u32() {
		if !r.more() {
			break
		}
		if name := r.name(); name == fuelGlobal || name == reserveGlobal {
			return nil, fmt.Errorf("it exports %q, which is not its to export", name)
		}
		r.byte()
		r.u32()
	}
	if r.err != nil {
		return nil, r.err
	}
	for i, name := range []string{fuelGlobal, reserveGlobal} {
		content = more(content, appendU32(append(append(appendU32(nil, uint32(len(name))), name...), 3), m.globals+uint32(i))...)
	}
	return content, nil
}
