package engine

import (
	"slices"

	"github.com/qarion/qarion/internal/nearest"
)

// Nearest returns the known name that a mistyped one most likely means, or ""
// when none is near.
func Nearest(name string, known []string) string { return nearest.Name(name, known) }

// Meant is Nearest with a table of the words that other tools have for what is
// meant, by the word in lower case with underscores; names that are spelt
// retryCount or retry-count are understood too.
func Meant(name string, known []string, words map[string]string) string {
	return nearest.Meant(name, known, words)
}

// NearestType is the task type that an unknown one most likely means, by its
// name or by what other tools call it.
func NearestType(name string, known []string) string { return Meant(name, known, typeWords) }

var typeWords = map[string]string{
	"http": "api_call", "https": "api_call", "rest": "api_call", "rest_api": "api_call", "api": "api_call", "call": "api_call",
	"request": "api_call", "http_request": "api_call", "http_call": "api_call", "http_operator": "api_call", "simple_http_operator": "api_call",
	"httpoperator": "api_call", "simplehttpoperator": "api_call", "http_sensor": "api_call", "uri": "api_call", "curl": "api_call", "fetch": "api_call",
	"n8n_nodes_base_http_request": "api_call", "io_kestra_plugin_core_http_request": "api_call", "request_call": "api_call",
	"sql": "transformation", "query": "transformation", "database": "transformation", "transform": "transformation", "postgres": "transformation",
	"sqlite": "transformation", "sql_operator": "transformation", "sqlexecute_query_operator": "transformation", "dbt": "transformation",
}

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
