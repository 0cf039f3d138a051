package wasmhooks

import (
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// TestWASI_HasAllFunctions: modules that compilers make link with it as with the
// full one.
func TestWASI_HasAllFunctions(t *testing.T) {
	ctx := t.Context()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer rt.Close(ctx)
	full, err := wasi_snapshot_preview1.NewBuilder(rt).Compile(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(full.ExportedFunctions()); n != len(wasiSignatures) {
		t.Errorf("there are %d functions, %d are known", n, len(wasiSignatures))
	}
	for name, f := range full.ExportedFunctions() {
		var params []api.ValueType
		for _, c := range wasiSignatures[name] {
			params = append(params, map[rune]api.ValueType{'i': i32, 'I': i64}[c])
		}
		if !slices.Equal(params, f.ParamTypes()) || len(f.ResultTypes()) != 1 && name != "proc_exit" {
			t.Errorf("%s takes %v, known is %v", name, f.ParamTypes(), params)
		}
	}
	for name := range wasiFunctions {
		if _, known := wasiSignatures[name]; !known {
			t.Errorf("%s is not one of them", name)
		}
	}
}
