package wasmhooks

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestVerdict_OfVeryManyErrors: a verdict as large as one may be, of the smallest errors
// that there are, costs the host no more than its own size a few times.
func TestVerdict_OfVeryManyErrors(t *testing.T) {
	l := DefaultLimits()
	answer := []byte(`{"errors":[{"message":"first"}` + strings.Repeat(",{}", l.Output/3-20) + `]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	v, bad := l.verdict(answer)
	runtime.ReadMemStats(&after)
	if bad != nil || len(v.Errors) != l.MaxErrors || v.Errors[0].Message != "first" {
		t.Fatalf("%d errors, %v", len(v.Errors), bad)
	}
	if took := int(after.TotalAlloc - before.TotalAlloc); took > 8*len(answer) {
		t.Errorf("%d MB were taken to read %d MB", took>>20, len(answer)>>20)
	}
}

// TestVerdict_ThatIsNone: what stands in the place of errors and is no list of them.
func TestVerdict_ThatIsNone(t *testing.T) {
	l := DefaultLimits()
	for text, want := range map[string]string{
		`{"errors":{}}`: "its errors are no list", `{"errors":7}`: "its errors are no list", `{"errors":"x"}`: "its errors are no list",
		`{"errors":[7]}`: "one of its errors cannot be read", `{"errors":[{"message":7}]}`: "one of its errors cannot be read",
		`{"errors":[]`: "it cannot be read", `{"errors":null}`: "", `{"errors":[]}`: "", `{"ok":true}`: "", `{}`: "",
	} {
		v, bad := l.verdict([]byte(text))
		if want == "" && (bad != nil || len(v.Errors) > 0) || want != "" && (bad == nil || bad.Class != ClassProtocol || !strings.HasSuffix(bad.Message, want)) {
			t.Errorf("%s: %+v, %v, want %s", text, v, bad, want)
		}
	}
	if v, bad := l.verdict([]byte(`{"ok":false}`)); bad != nil || len(v.Errors) != 1 {
		t.Errorf("not ok without errors: %+v, %v", v, bad)
	}
}

// TestOpen_FoldersAreItsOwn: what was compiled lies where nobody else can put something in
// its place, also when the folder was there.
func TestOpen_FoldersAreItsOwn(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such permissions")
	}
	for _, folder := range []string{"hooks", "modules"} {
		dir := filepath.Join(t.TempDir(), folder)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		openHost(t, false, func(c *Config) { c.Cache, c.Copies = dir, dir })
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", folder, info.Mode(), err)
		}
	}
}
