package node

import (
	"context"
	"fmt"

	"github.com/qarion/qarion/engine"
)

// endedTasks lists the tasks of a run that has ended from the tables, by their
// ids. engine.ErrUnavailable: they do not show it now.
func (n *Node) endedTasks(ctx context.Context, id engine.RunID, f engine.TaskFilter) (*engine.TaskPage, error) {
	if !n.current(ctx) {
		return nil, fmt.Errorf("%w: the SQL tables do not show the tasks of run %s now", engine.ErrUnavailable, id)
	}
	return n.tables.Tasks(ctx, id, f)
}
