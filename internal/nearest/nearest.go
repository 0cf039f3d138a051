// Package nearest finds the name that a mistyped one most likely means.
package nearest

// Name returns the known name that a mistyped one most likely means, or ""
// when none is near: at most a third of its letters may differ (insertions,
// deletions, changes and swaps of neighbours: the restricted
// Damerau-Levenshtein distance).
func Name(name string, known []string) string {
	best, limit := "", max(1, (len(name)+1)/3)
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

// distance counts the edits between two names; past limit it may stop early
// and return any larger number.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit || len(a) > 256 || len(b) > 256 {
		return limit + 1
	}
	var rows [3][258]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
