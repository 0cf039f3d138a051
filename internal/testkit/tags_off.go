//go:build !failpoints

package testkit

const buildTags = ""
