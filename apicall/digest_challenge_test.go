package apicall

import (
	"strings"
	"testing"
)

// FuzzChallenges: any texts that are put into a challenge by the rules are read
// back as they were, whatever stands before and behind, and nothing that a
// server sends stops the reader.
func FuzzChallenges(f *testing.F) {
	f.Add("shop", `a\b"c`, `Basic realm="x", `)
	f.Add("", "n=,==", `Negotiate abc==, Bearer`)
	f.Add("\xf6", "\t", `"`)
	f.Fuzz(func(t *testing.T, realm, nonce, before string) {
		parseChallenges(before)
		parseChallenges(before + " Digest realm=" + realm)
		whole := `Basic realm="x", Digest realm="` + quoted(realm) + `",nonce = "` + quoted(nonce) + `" qop=auth, Bearer a="b"`
		all := parseChallenges(whole)
		if len(all) != 3 || all[1].scheme != "Digest" {
			t.Fatalf("%q: %+v", whole, all)
		}
		c := newChallenge(all[1].params)
		if c.realm != realm || c.nonce != nonce || strings.Join(c.qop, "") != "auth" {
			t.Errorf("%q: read as %+v", whole, c)
		}
	})
}
