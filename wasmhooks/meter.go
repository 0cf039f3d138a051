package wasmhooks

import (
	"errors"
	"fmt"
)

// fuelGlobal is the name under which the meter exports its counter.
const fuelGlobal = "qarion.fuel"

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
// has used up its fuel ends in the instruction unreachable. A compiled loop cannot be
// interrupted otherwise without stopping Go's garbage collector with it, and code
// without any loop could not at all.
//
// It begins with start steps. free leaves the code as it is, so that a benchmark
// sees what paying costs. The counter is one more global, behind all others, so
// that no index shifts. What the meter does not know it refuses; wazero checks what
// it has written once more.
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
		case sectionGlobal:
			s.content = m.global(s.content)
		case sectionExport:
			s.content, err = m.export(s.content)
		case sectionCode:
			if !free {
				s.content, err = m.code(s.content)
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
	placed  bool     // the global section is written
	start   int64    // steps to begin with
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
			case 1:
				r.byte()
				r.limits()
			case 2:
				r.limits()
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
		}
	case sectionGlobal:
		m.globals += r.u32()
	}
	return r.err
}

// global adds the counter to the global section.
func (m *metering) global(content []byte) []byte {
	r := &reader{data: content}
	n := r.u32()
	out := appendU32(nil, n+1)
	out = append(out, content[r.at:]...)
	out = append(out, 0x7e, 1, 0x42) // i64, mutable, i64.const
	out = appendS64(out, m.start)
	m.placed = true
	return append(out, 0x0b)
}

func (m *metering) export(content []byte) ([]byte, error) {
	r := &reader{data: content}
	n := r.u32()
	first := r.at
	for range n {
		if !r.more() {
			break
		}
		if r.name() == fuelGlobal {
			return nil, fmt.Errorf("it exports %q, which is not its to export", fuelGlobal)
		}
		r.byte()
		r.u32()
	}
	if r.err != nil {
		return nil, r.err
	}
	out := appendU32(nil, n+1)
	out = append(out, content[first:]...)
	out = appendU32(out, uint32(len(fuelGlobal)))
	out = append(append(out, fuelGlobal...), 3)
	return appendU32(out, m.globals), nil
}
