package node

import (
	"maps"
	"slices"
)

// Stream is how much a stream of the store holds, as status shows it.
type Stream struct {
	Name     string `json:"stream"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

// streams are those of the store, by name; none while the server is reopened.
func (n *Node) streams() []Stream {
	list := []Stream{}
	f, err := n.Bus.Figures()
	if err != nil {
		return list
	}
	for _, name := range slices.Sorted(maps.Keys(f.Messages)) {
		list = append(list, Stream{name, f.Messages[name], f.Bytes[name]})
	}
	return list
}

// sync says how what the node accepts reaches the disk: "always", before it is
// acknowledged, or within a time span.
func (n *Node) sync() string {
	if n.cfg.Sync == 0 {
		return "always"
	}
	return n.cfg.Sync.String()
}
