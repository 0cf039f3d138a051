package node

import "github.com/qarion/qarion/engine"

// What a node needs of file descriptors: for itself (streams, listener, clients
// of the service), and for each slot: a connection, and one that is being
// closed or asks a name server.
const (
	ownDescriptors  = 40
	slotDescriptors = 2
)

// fitSlots lowers the number of slots where the process may not open as many
// files as they could need, and says so.
func (n *Node) fitSlots() {
	slots := n.cfg.Slots
	if slots <= 0 {
		slots = engine.DefaultSlots
	}
	n.cfg.Slots = slotsFor(descriptors(), slots)
	if n.cfg.Slots < slots {
		n.log.Warn("fewer slots than configured: the process may not open enough files (ulimit -n)",
			"slots", n.cfg.Slots, "configured", slots, "limit", descriptors(), "needed", ownDescriptors+slotDescriptors*slots)
	}
}

func slotsFor(limit, slots int) int {
	if limit == 0 || limit >= ownDescriptors+slotDescriptors*slots {
		return slots
	}
	return max(1, (limit-ownDescriptors)/slotDescriptors)
}
