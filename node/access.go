package node

import "path/filepath"

// AccessFile is where a serving node leaves its address and login for the
// commands, in its data directory.
func AccessFile(dataDir string) string { return filepath.Join(dataDir, "serve.json") }
