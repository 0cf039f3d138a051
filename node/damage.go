package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/filestore"
)

// lookFirst looks at the store's files before the server opens them: it leaves
// out streams that it cannot read, and cuts files off where it cannot read
// them, and the node would go on with what is left. What is only a view is made
// again; what is not stops the start, unless losses are accepted.
//
// The ledger's entries are not read here: it knows by itself what it should
// have (bus.Ledger.Verify).
func (n *Node) lookFirst(context.Context) error {
	list, err := filestore.Streams(filepath.Join(n.cfg.DataDir, "nats"))
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("look at the store: %w", err)
	}
	for _, s := range list {
		problems, err := problemsOf(s)
		if err != nil {
			return fmt.Errorf("look at stream %s: %w", s.Name, err)
		}
		for _, p := range problems {
			damage := fmt.Errorf("%w: stream %s: %s", engine.ErrDamaged, s.Name, p.String())
			if !n.cfg.AcceptLoss && !slices.Contains(views, s.Name) {
				return damage
			}
			n.log.Warn("the store is damaged; the node goes on with what is left: qarion doctor", engine.LogErr, damage)
		}
	}
	return nil
}

// alwaysRead is how large a stream is at most that is read to its end at every
// start, in bytes: a second's work for streams of which nothing may be missing.
const alwaysRead = 64 << 20

// problemsOf is what keeps the server from opening a stream, or makes it cut
// something off.
func problemsOf(s *filestore.Stream) (out []filestore.Problem, err error) {
	if p := s.ReadMeta(); p != nil {
		return []filestore.Problem{*p}, nil
	}
	if s.Name == bus.StreamLedger {
		return nil, nil
	}
	quick, sure, err := s.Quick()
	if err != nil || sure && (slices.Contains(views, s.Name) || s.Bytes() > alwaysRead) {
		return quick, err
	}
	scan, err := s.Scan(false, nil)
	if err != nil {
		return nil, err
	}
	for _, p := range scan.Problems {
		// A write that a crash has cut off was never acknowledged.
		crash := p.Kind == filestore.Unfinished && !sure
		if p.Kind != filestore.Index && !crash {
			out = append(out, p)
		}
	}
	if slices.Contains(views, s.Name) {
		out = slices.DeleteFunc(out, func(p filestore.Problem) bool { return p.Kind == filestore.Lost })
	}
	return out, nil
}
