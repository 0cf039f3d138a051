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
	maxLocals = 50_000  // of a function
)

// startFuel is how many times the work of a call a module may do while it starts.
const startFuel = 5

// meter rewrites a module so that it counts what it does: a unit at each entry of
// a function and at each turn of a loop, and one for 64 bytes that a bulk operation
// moves. What has used up its fuel ends in the instruction unreachable. A compiled
// loop cannot be interrupted otherwise without stopping Go's garbage collector with
// it, and a chain of calls without any loop could not at all.
//
// It begins with start units. The counter is one more global, behind all others, so that no index shifts. What
// the meter does not know it refuses; wazero checks what it has written once more.
func meter(module []byte, start int64) ([]byte, error) {
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
			s.content, err = m.code(s.content)
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
	types   []uint32 // of each function that the module has itself
	globals uint32   // there are, imported ones too
	placed  bool     // the global section is written
	start   int64    // units to begin with
	scratch []byte
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
			n := r.u32()
			r.bytes(n)
			m.params = append(m.params, n)
			r.bytes(r.u32())
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

func (m *metering) code(content []byte) ([]byte, error) {
	r := &reader{data: content}
	n := r.u32()
	if int(n) != len(m.types) {
		return nil, errors.New("it has another number of functions than of their bodies")
	}
	out := appendU32(make([]byte, 0, len(content)+len(content)/4), n)
	for i := range m.types {
		body, err := m.function(r.bytes(r.u32()), m.types[i])
		if r.err != nil {
			return nil, r.err
		}
		if err != nil {
			return nil, fmt.Errorf("function %d: %w", i, err)
		}
		out = appendU32(out, uint32(len(body)))
		out = append(out, body...)
	}
	return out, nil
}

// function meters one body: its locals, to which one may be added, and its
// instructions.
func (m *metering) function(body []byte, kind uint32) ([]byte, error) {
	if int(kind) >= len(m.params) {
		return nil, errors.New("it has no type")
	}
	r := &reader{data: body}
	groups := r.u32()
	first := r.at
	locals := uint64(m.params[kind])
	for range groups {
		if !r.more() {
			break
		}
		locals += uint64(r.u32())
		r.byte()
	}
	if r.err != nil || locals > maxLocals {
		return nil, errors.Join(r.err, errTooManyLocals(locals))
	}
	declared := body[first:r.at]
	m.scratch = m.charge(m.scratch[:0])
	bulk := false
	for r.more() {
		start := r.at
		kind := r.instruction()
		if r.err != nil {
			return nil, r.err
		}
		if kind == instrBulk {
			m.scratch = m.chargeBulk(m.scratch, uint32(locals))
			bulk = true
		}
		m.scratch = append(m.scratch, body[start:r.at]...)
		if kind == instrLoop {
			m.scratch = m.charge(m.scratch)
		}
	}
	if bulk {
		groups++
	}
	out := appendU32(make([]byte, 0, len(m.scratch)+len(declared)+8), groups)
	out = append(out, declared...)
	if bulk {
		out = append(out, 1, 0x7f) // one i32
	}
	return append(out, m.scratch...), nil
}

func errTooManyLocals(n uint64) error {
	if n > maxLocals {
		return errors.New("it has too many local variables")
	}
	return nil
}

// charge takes a unit, and ends where there is none left.
func (m *metering) charge(b []byte) []byte {
	b = appendU32(append(b, 0x23), m.globals) // global.get
	b = append(b, 0x42, 1, 0x7d)              // i64.const 1, i64.sub
	b = appendU32(append(b, 0x24), m.globals) // global.set
	return m.stop(b)
}

func (m *metering) stop(b []byte) []byte {
	b = appendU32(append(b, 0x23), m.globals)
	return append(b, 0x42, 0, 0x53, 0x04, 0x40, 0x00, 0x0b) // i64.const 0, i64.lt_s, if, unreachable, end
}

// chargeBulk takes a unit for 64 bytes of what stands on the stack.
func (m *metering) chargeBulk(b []byte, local uint32) []byte {
	b = appendU32(append(b, 0x22), local) // local.tee
	b = appendU32(append(b, 0x23), m.globals)
	b = appendU32(append(b, 0x20), local)    // local.get
	b = append(b, 0x41, 6, 0x76, 0xad, 0x7d) // i32.const 6, i32.shr_u, i64.extend_i32_u, i64.sub
	b = appendU32(append(b, 0x24), m.globals)
	return m.stop(b)
}
