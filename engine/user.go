package engine

import (
	"fmt"
	"strings"
	"time"
)

// User is a person who logs in with a password.
type User struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Changed time.Time `json:"changed"`        // when the password or the role was set: logins from before have ended
	Hash    string    `json:"hash,omitempty"` // of the password, by argon2id; lists leave it out
}

// MaxUserName bounds the name of a user, in characters.
const MaxUserName = 64

// ParseUserName checks a name: small letters, digits, - and _. ErrInvalid.
func ParseUserName(name string) (string, error) {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	if name == "" || len(name) > MaxUserName || strings.Trim(name, letters+"-_") != "" || !strings.ContainsRune(letters, rune(name[0])) {
		return "", fmt.Errorf("%w: %.80q is no name of a user: small letters, digits, - and _, at most %d", ErrInvalid, name, MaxUserName)
	}
	return name, nil
}

// Caller is the user, once it has shown its password.
func (u *User) Caller() Caller { return Caller{Name: "user " + u.Name, Role: u.Role, Login: true} }
