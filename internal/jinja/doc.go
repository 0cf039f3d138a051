// Package jinja renders the Jinja2 templates of flow files.
//
// gonja lexes the source. Parser and evaluator are this package's own: strict
// names, Python's types and operators, limits and the origins of values have to
// be in the tree and in every step of its evaluation. The way of a template:
//
//	scan.go       what gonja's lexer gets wrong is put right, or refused
//	parse*.go     tokens become a tree (tree.go)
//	eval*.go, exec.go   the tree is evaluated: state and limits in eval.go,
//	              expressions, access and calls beside it, statements in exec.go
//	filters*.go, tests.go, methods.go, globals.go   what templates can call
//	python*.go    numbers, texts and comparisons as Python has them
//
// The meaning follows Jinja2 3.1 with StrictUndefined; docs/templates.md lists
// where it differs. No Go value, method, file or environment can be reached
// from a template.
package jinja
