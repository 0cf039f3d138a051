package ui

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/value"
)

// TestCredentialNames: wherever a task names one.
func TestCredentialNames(t *testing.T) {
	named := map[string]bool{}
	credentialNames(value.MapOf(
		"credential_id", "shop", "proxy_credential_id", "proxy", "url", "https://x/{{ id }}?k=${credential:bank.token}",
		"headers", value.MapOf("X-A", "v1={{ x | hmac_sha256(\"${credential:signing}\") }}"), "body", value.MapOf("credential", "{{ xcom_a }}", "list", []any{"${credential:deep.a}"}),
	), false, named)
	hookSecrets(value.MapOf("validate", value.MapOf("file", "x.wasm", "secrets", []any{"hooked.key"}), "odd", "x"), named)
	hookSecrets(nil, named)
	if got := strings.Join(slices.Sorted(maps.Keys(named)), " "); got != "bank deep hooked proxy shop signing" {
		t.Errorf("found: %s", got)
	}
}
