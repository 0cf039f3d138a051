// Package secret knows the names under which secrets stand.
package secret

import "strings"

// words make a header, a parameter or a key secret by its name.
var words = []string{
	"authorization", "cookie", "token", "password", "passwd", "passphrase", "pwd", "secret", "api_key", "apikey", "api-key",
	"credential", "private_key", "private-key", "signature", "session", "jwt",
}

// Pattern matches one of the words, in a regular expression without case.
func Pattern() string { return strings.Join(words, "|") }

// Name reports whether what stands under a name must not be shown.
func Name(name string) bool {
	name = strings.ToLower(name)
	for _, w := range words {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}

// Hidden stands for what is not shown.
const Hidden = "***"
