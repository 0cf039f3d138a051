package wasmhooks

// A small assembler for modules that no compiler would write.

type wasmFunc struct {
	params, results []byte
	locals          int // i32
	export          string
	body            []byte // without the end
}

type wasmModule struct {
	imports   []wasmImport
	funcs     []wasmFunc
	memory    []byte // limits; nil: none
	noExport  bool   // of the memory
	data      string // at 1024
	extra     []section
	tableSize uint32 // 0: no table
}

type wasmImport struct {
	from, name      string
	params, results []byte
}

const (
	ti32 = 0x7f
	ti64 = 0x7e
)

func wasmVec(parts ...[]byte) []byte {
	out := appendU32(nil, uint32(len(parts)))
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func wasmName(s string) []byte { return append(appendU32(nil, uint32(len(s))), s...) }

func wasmType(params, results []byte) []byte {
	out := append([]byte{0x60}, appendU32(nil, uint32(len(params)))...)
	out = append(out, params...)
	out = appendU32(out, uint32(len(results)))
	return append(out, results...)
}

// build writes the binary.
func (m wasmModule) build() []byte {
	var types, imports, funcs, exports, codes [][]byte
	for _, i := range m.imports {
		types = append(types, wasmType(i.params, i.results))
		imports = append(imports, append(append(append(wasmName(i.from), wasmName(i.name)...), 0), appendU32(nil, uint32(len(types)-1))...))
	}
	for i, f := range m.funcs {
		types = append(types, wasmType(f.params, f.results))
		funcs = append(funcs, appendU32(nil, uint32(len(types)-1)))
		if f.export != "" {
			exports = append(exports, append(append(wasmName(f.export), 0), appendU32(nil, uint32(len(m.imports)+i))...))
		}
		var body []byte
		if f.locals > 0 {
			body = append(appendU32(append(body, 1), uint32(f.locals)), ti32)
		} else {
			body = append(body, 0)
		}
		body = append(append(body, f.body...), 0x0b)
		codes = append(codes, append(appendU32(nil, uint32(len(body))), body...))
	}
	list := []section{{sectionType, wasmVec(types...)}}
	if len(imports) > 0 {
		list = append(list, section{sectionImport, wasmVec(imports...)})
	}
	list = append(list, section{sectionFunction, wasmVec(funcs...)})
	if m.tableSize > 0 {
		list = append(list, section{sectionTable, appendU32([]byte{1, 0x70, 0}, m.tableSize)})
	}
	if m.memory != nil {
		list = append(list, section{sectionMemory, wasmVec(m.memory)})
		if !m.noExport {
			exports = append(exports, append(wasmName("memory"), 2, 0))
		}
	}
	list = append(list, section{sectionExport, wasmVec(exports...)})
	list = append(list, section{sectionCode, wasmVec(codes...)})
	if m.data != "" {
		list = append(list, section{11, append([]byte{1, 0, 0x41, 0x80, 0x08, 0x0b}, wasmName(m.data)...)})
	}
	return join(append(list, m.extra...))
}

func i32c(v int64) []byte { return appendS64([]byte{0x41}, v) }
func i64c(v int64) []byte { return appendS64([]byte{0x42}, v) }

func code(parts ...any) (out []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			out = append(out, byte(p))
		case []byte:
			out = append(out, p...)
		}
	}
	return out
}

// hook is a module whose validate and transform do what body says; the parameters
// are locals 0 to 2.
func hook(body []byte, change ...func(*wasmModule)) []byte {
	call := []byte{ti32, ti32, ti32}
	m := wasmModule{memory: []byte{1, 2, 16}, funcs: []wasmFunc{
		{results: []byte{ti32}, export: exportVersion, body: i32c(1 << 16)},
		{params: []byte{ti32}, results: []byte{ti32}, export: exportAlloc, body: i32c(4096)},
		{params: call, results: []byte{ti64}, locals: 2, export: exportValidate, body: body},
		{params: call, results: []byte{ti64}, locals: 2, export: exportTransform, body: body},
	}}
	for _, c := range change {
		c(&m)
	}
	return m.build()
}

// answer is the packed result for what stands at an address.
func answer(ptr, size int64, failed bool) []byte {
	r := ptr<<32 | size
	if failed {
		r |= 1 << 31
	}
	return i64c(r)
}

// loopForever is for(;;).
var loopForever = code(0x03, 0x40, 0x0c, 0, 0x0b, i64c(0))
