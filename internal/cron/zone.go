package cron

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/qarion/qarion/internal/nearest"
)

// Zones are time zones by their names, each read once. The zero value is ready.
// It belongs to one goroutine.
type Zones struct{ known map[string]*time.Location }

// Load is the zone of a name of the IANA database; "" is UTC. The zone of the
// machine has no name here: a flow means the same wherever it runs.
func (z *Zones) Load(name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	if loc := z.known[name]; loc != nil {
		return loc, nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		if near := meant(name); near != "" {
			return nil, fmt.Errorf("timezone %.80q: unknown (did you mean %q?)", name, near)
		}
		return nil, fmt.Errorf(`timezone %.80q: unknown (want a name such as "Europe/Berlin")`, name)
	}
	if z.known == nil {
		z.known = map[string]*time.Location{}
	}
	z.known[name] = loc
	return loc, nil
}

// regions are where cities are looked for that are named without one.
var regions = []string{"Europe", "America", "Asia", "Africa", "Australia", "Pacific", "Atlantic", "Indian", "America/Argentina", "America/Indiana"}

// meant is the zone that an unknown name most likely means.
func meant(name string) string {
	words := strings.FieldsFunc(name, func(c rune) bool { return c == ' ' || c == '_' })
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + strings.ToLower(w[1:])
	}
	city := strings.Join(words, "_")
	for _, region := range regions {
		if _, err := time.LoadLocation(region + "/" + city); err == nil && city != "" {
			return region + "/" + city
		}
	}
	return nearest.Name(name, installed())
}

// installed are the zones that the machine knows; none is no mistake.
func installed() (names []string) {
	_ = fs.WalkDir(os.DirFS("/usr/share/zoneinfo"), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir
		case d.IsDir() && (path == "posix" || path == "right"):
			return fs.SkipDir
		case !d.IsDir() && strings.Contains(path, "/"):
			names = append(names, path)
		}
		return nil
	})
	return names
}
