//go:build failpoints

package testkit

// buildTags: the program is built as the tests are.
const buildTags = "failpoints"
