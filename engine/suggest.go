package engine

import (
	"slices"

	"github.com/qarion/qarion/internal/nearest"
)

// Nearest returns the known name that a mistyped one most likely means, or ""
// when none is near.
func Nearest(name string, known []string) string { return nearest.Name(name, known) }

// maxComparisons bounds how many pairs of names are compared for the
// suggestions in one flow: a file with thousands of mistakes among thousands of
// tasks has its first ones suggested.
const maxComparisons = 500_000

// suggester finds the nearest of the same names many times.
type suggester struct {
	known []string
	done  int
	cache map[[2]string]string
}

// nearest is Nearest among the known names but one.
func (s *suggester) nearest(name, not string) string {
	key := [2]string{name, not}
	if near, ok := s.cache[key]; ok {
		return near
	}
	if s.done > maxComparisons {
		return ""
	}
	s.done += len(s.known)
	if s.cache == nil {
		s.cache = map[[2]string]string{}
	}
	near := Nearest(name, slices.DeleteFunc(slices.Clone(s.known), func(k string) bool { return k == not }))
	s.cache[key] = near
	return near
}
