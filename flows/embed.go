// Package flows holds the example flows, for the demo.
package flows

import "embed"

// Files are the flow files of this folder.
//
//go:embed *.toml
var Files embed.FS
