package engine

import "github.com/qarion/qarion/internal/nearest"

// Nearest returns the known name that a mistyped one most likely means, or ""
// when none is near.
func Nearest(name string, known []string) string { return nearest.Name(name, known) }
