package wasmhooks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// The interface that modules and the host speak (docs/hooks.md).
const (
	abiMajor = 1
	abiMinor = 0

	exportVersion   = "qarion_abi_version"
	exportAlloc     = "qarion_alloc"
	exportValidate  = "qarion_validate"
	exportTransform = "qarion_transform"
	exportStart     = "_initialize"
)

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// signatures are those of all exports that mean something. Nothing checks them
// when a function is called.
var signatures = map[string]struct{ params, results []api.ValueType }{
	exportVersion:   {nil, []api.ValueType{i32}},
	exportAlloc:     {[]api.ValueType{i32}, []api.ValueType{i32}},
	exportValidate:  {[]api.ValueType{i32, i32, i32}, []api.ValueType{i64}},
	exportTransform: {[]api.ValueType{i32, i32, i32}, []api.ValueType{i64}},
	exportStart:     {nil, nil},
}

// imports are the functions that a module may ask for.
var imports = map[string]struct{ params, results []api.ValueType }{
	"env.abort":  {[]api.ValueType{i32, i32, i32, i32}, nil},
	"qarion.log": {[]api.ValueType{i32, i32, i32}, nil},
}

const wasi = "wasi_snapshot_preview1"

// conforms holds a compiled module against the interface.
func conforms(m wazero.CompiledModule, l *Limits) error {
	for _, f := range m.ImportedFunctions() {
		from, name, _ := f.Import()
		want, known := imports[from+"."+name]
		switch {
		case from == wasi:
		case !known:
			return fmt.Errorf("it imports %s.%s, which hooks may not have (there are: %s.*, env.abort, qarion.log)", from, name, wasi)
		case !sameType(f, want.params, want.results):
			return fmt.Errorf("it imports %s.%s as %s, want %s", from, name, shape(f.ParamTypes(), f.ResultTypes()), shape(want.params, want.results))
		}
	}
	if len(m.ImportedMemories()) > 0 {
		return fmt.Errorf("it imports its memory; export it instead")
	}
	memory, ok := m.ExportedMemories()["memory"]
	if !ok {
		return fmt.Errorf(`it exports no memory under the name "memory"`)
	}
	if need := uint64(memory.Min()) * wasmPage; need > uint64(l.Memory) {
		return fmt.Errorf("it needs %d KiB of memory to begin with, at most %d are allowed", need>>10, l.Memory>>10)
	}
	exports := m.ExportedFunctions()
	for _, name := range []string{exportVersion, exportAlloc} {
		if exports[name] == nil {
			return fmt.Errorf("it does not export %s", name)
		}
	}
	if exports[exportValidate] == nil && exports[exportTransform] == nil {
		return fmt.Errorf("it exports neither %s nor %s", exportValidate, exportTransform)
	}
	for _, name := range slices.Sorted(mapKeys(signatures)) {
		if f, want := exports[name], signatures[name]; f != nil && !sameType(f, want.params, want.results) {
			return fmt.Errorf("its export %s is %s, want %s", name, shape(f.ParamTypes(), f.ResultTypes()), shape(want.params, want.results))
		}
	}
	return nil
}

func mapKeys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func sameType(f api.FunctionDefinition, params, results []api.ValueType) bool {
	return slices.Equal(f.ParamTypes(), params) && slices.Equal(f.ResultTypes(), results)
}

// shape writes a signature: "(i32, i32) -> i64".
func shape(params, results []api.ValueType) string {
	names := func(list []api.ValueType) string {
		out := make([]string, len(list))
		for i, t := range list {
			out[i] = api.ValueTypeName(t)
		}
		return strings.Join(out, ", ")
	}
	if len(results) == 0 {
		return "(" + names(params) + ")"
	}
	return "(" + names(params) + ") -> " + names(results)
}

// checkVersion holds a module's version of the interface against the host's.
func checkVersion(v uint32) error {
	if v>>16 != abiMajor {
		return fmt.Errorf("it speaks version %s of the hook interface, this program %s", versionText(v), versionText(abiMajor<<16|abiMinor))
	}
	return nil
}

// newerVersion is the note on a module with a newer minor version than the host's,
// which works with what both know.
func newerVersion(v uint32) string {
	if v&0xffff <= abiMinor {
		return ""
	}
	return fmt.Sprintf("it is made for version %s of the hook interface, this program has %s: what is newer is not there", versionText(v), versionText(abiMajor<<16|abiMinor))
}

func versionText(v uint32) string { return fmt.Sprintf("%d.%d", v>>16, v&0xffff) }

// wasmPage is the unit of memory, in bytes.
const wasmPage = 64 << 10
