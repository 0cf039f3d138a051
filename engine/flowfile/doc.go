// Package flowfile reads flow files: TOML 1.1 to engine.Flow, strict, with
// line and column in every message and all errors of a file at once.
//
// Load reads one file, LoadDir a folder, Watch follows a folder while it
// changes. The package knows the grammar of the file and nothing about what
// properties mean: that is the task type's (engine.TaskType).
package flowfile
