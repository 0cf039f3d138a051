// Package flows holds the example flows, for the demo.
package flows

import "embed"

// Files are the flow files of this folder, and in hooks/ the modules that they name.
//
//go:embed *.toml hooks/*.wasm
var Files embed.FS
