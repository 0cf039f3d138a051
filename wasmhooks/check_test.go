package wasmhooks

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestCheck_SaysTheVersionOfTheModule, not that of the program. One that is newer in what
// was added works, and the log says so; another major version is refused.
func TestCheck_SaysTheVersionOfTheModule(t *testing.T) {
	for version, note := range map[uint32]string{
		abiMajor << 16:              "",
		abiMajor<<16 | abiMinor + 3: "it is made for version 1.3 of the hook interface, this program has 1.0: what is newer is not there",
	} {
		var log bytes.Buffer
		h := openHost(t, false, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		module := hook(i64c(0), sign(exportVersion, nil, []byte{ti32}, i32c(int64(version))))
		info, err := h.Check(t.Context(), module)
		if err != nil || info.Version != versionText(version) || info.Note != note {
			t.Errorf("%s: %+v, %v", versionText(version), info, err)
		}
		if a := ask(h, module, Validate, "x"); a.Err != nil {
			t.Errorf("%s: %v", versionText(version), a.Err)
		}
		if told := strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), Hash(module)); told != (note != "") {
			t.Errorf("%s: the log says %q", versionText(version), log.String())
		}
	}
}
