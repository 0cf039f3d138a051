// Package nearest finds the name that a mistyped one most likely means.
package nearest

import (
	"maps"
	"slices"
	"strings"
)

// Meant returns the known name that an unknown one most likely means: the same
// in another spelling (retryCount, retry-count), by a table of the words that
// other tools have for it, or the nearest.
func Meant(name string, known []string, words map[string]string) string {
	plain := snake(name)
	if slices.Contains(known, plain) && plain != name {
		return plain
	}
	if word := words[plain]; slices.Contains(known, word) {
		return word
	}
	if near := Name(name, known); near != "" || len(plain) < longWord {
		return near
	}
	for _, foreign := range slices.Sorted(maps.Keys(words)) { // mistyped, and of another tool
		if word := words[foreign]; len(foreign) >= longWord && distance(plain, foreign, 1) == 1 && slices.Contains(known, word) {
			return word
		}
	}
	return ""
}

// longWord is from how many letters on a word of another tool may be mistyped:
// short ones are near to too much.
const longWord = 8

// snake is a name in lower case with underscores.
func snake(s string) string {
	var b strings.Builder
	for i, c := range []byte(s) {
		switch {
		case c == '-' || c == ' ' || c == '.':
			b.WriteByte('_')
		case 'A' <= c && c <= 'Z':
			if i > 0 && ('a' <= s[i-1] && s[i-1] <= 'z' || '0' <= s[i-1] && s[i-1] <= '9') {
				b.WriteByte('_')
			}
			b.WriteByte(c + 'a' - 'A')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Name returns the known name that a mistyped one most likely means, or ""
// when none is near: at most a quarter of its letters may differ, in short ones
// one (insertions, deletions, changes and swaps of neighbours: the restricted
// Damerau-Levenshtein distance).
func Name(name string, known []string) string {
	best, limit := "", max(1, len(name)/4)
	for _, k := range known {
		if k == name {
			continue
		}
		if d := distance(name, k, limit); d <= limit && (best == "" || d < limit || k < best) {
			if d < limit || best == "" {
				best, limit = k, d
			} else {
				best = min(best, k)
			}
		}
	}
	return best
}

// maxName is the longest name that is compared, in bytes.
const maxName = 256

// distance counts the edits between two names; past limit it stops early and
// returns any larger number. Only the band of the table is computed in which a
// distance within the limit can lie.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit || len(a) > maxName || len(b) > maxName {
		return limit + 1
	}
	beyond := int16(min(limit, maxName) + 1)
	var rows [3][maxName + 2]int16
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range min(len(b), limit) + 1 {
		last[j] = int16(j)
	}
	last[min(len(b), limit)+1] = beyond
	nearestBefore := int16(0)
	for i := 1; i <= len(a); i++ {
		from, to := max(1, i-limit), min(len(b), i+limit)
		row[from-1] = beyond
		if from == 1 {
			row[0] = min(int16(i), beyond)
		}
		nearestHere := row[from-1]
		for j := from; j <= to; j++ {
			cost := int16(1)
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
			nearestHere = min(nearestHere, d)
		}
		row[to+1] = beyond
		if nearestHere >= beyond && nearestBefore >= beyond { // two rows: a swap reaches over one
			return limit + 1
		}
		nearestBefore = nearestHere
		before, last, row = last, row, before
	}
	return int(last[len(b)])
}
