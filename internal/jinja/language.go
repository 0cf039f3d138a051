package jinja

import (
	"maps"
	"slices"
	"sync"
)

// language is what templates know by name. The functions in its tables look
// names up themselves (map knows filters, select knows tests), so they reach
// the tables through the evaluation and not as variables of the package.
type language struct {
	filters map[string]filterFunc // what can follow "|"
	tests   map[string]testFunc   // what can follow "is"
	globals map[string]any        // the functions that every template knows

	// The methods that only read, by the type of their value.
	textMethods map[string]func(s *state, t string, a *args) any
	listMethods map[string]func(s *state, l []any, a *args) any
	mapMethods  map[string]func(s *state, m mapping, a *args) any

	// The methods that change what the template has made.
	listChanges map[string]func(s *state, l *list, a *args) any
	mapChanges  map[string]func(s *state, d *dict, a *args) any
}

// known is the language, made when the first template is parsed.
var known = sync.OnceValue(func() *language {
	return &language{
		filters: filterTable(), tests: testTable(), globals: globalTable(),
		textMethods: textMethodTable(), listMethods: listMethodTable(), mapMethods: mapMethodTable(),
		listChanges: listChangeTable(), mapChanges: mapChangeTable(),
	}
})

func (l *language) filterNames() []string { return slices.Collect(maps.Keys(l.filters)) }

func (l *language) testNames() []string { return slices.Collect(maps.Keys(l.tests)) }
