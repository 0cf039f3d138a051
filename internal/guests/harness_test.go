package guests

import (
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/qarion/qarion/wasmhooks"
)

// engines are wazero's two, by whether they interpret.
var engines = map[string]bool{"compiler": false, "interpreter": true}

// hooked is a module in a host of its own, with one instance.
type hooked struct {
	host *wasmhooks.Host
	hash string
}

// TestMain gives the tests one folder for compiled modules.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "qarion-guests-")
	if err != nil {
		panic(err)
	}
	os.Setenv(cacheEnv, dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

const cacheEnv = "QARION_GUESTS_CACHE"

// start loads a module as a node does.
func start(t testing.TB, engine string, module []byte) *hooked {
	t.Helper()
	return startWith(t, module, wasmhooks.Config{Interpreter: engines[engine], Cache: os.Getenv(cacheEnv),
		Limits: wasmhooks.Limits{Instances: 1, RecycleAt: 1 << 30}})
}

func startWith(t testing.TB, module []byte, cfg wasmhooks.Config) *hooked {
	t.Helper()
	host, err := wasmhooks.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	info, err := host.Check(t.Context(), module)
	if err != nil {
		t.Fatal(err)
	}
	return &hooked{host, info.Hash}
}

// ask makes the call of a row.
func (h *hooked) ask(t testing.TB, r row) wasmhooks.Answer {
	return h.host.Call(t.Context(), h.hash, r.kind(), r.meta(), []byte(r.body))
}

// memoryKiB is how large the instance is now.
func (h *hooked) memoryKiB(t testing.TB, module []byte) int64 {
	t.Helper()
	info, err := h.host.Check(t.Context(), module)
	if err != nil {
		t.Fatal(err)
	}
	return info.MemoryKiB
}

// oneLine is what the host makes of the text of a hook: control characters
// become spaces.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s))
}
