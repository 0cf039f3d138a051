package node

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/metadata"
)

// openTables opens the SQL tables, unless there are to be none. A database that
// is down is no reason not to start.
func (n *Node) openTables() (err error) {
	where := n.cfg.Tables
	switch {
	case where == TablesOff || n.cfg.NoViews:
		return nil
	case where == "" || where == TablesSQLite:
		where = filepath.Join(n.cfg.DataDir, metadata.DefaultFile)
	}
	n.tables, err = metadata.Open(metadata.Config{
		Database: where, Retention: n.cfg.Keep.Runs, Installation: n.installation, Log: n.log,
	})
	return err
}

// installation is the id in the ledger's first record, or, when that was purged
// with the rest of the ledger's beginning, in a checkpoint. ErrNotFound: the
// ledger is new and has none yet.
func (n *Node) installation(ctx context.Context) (string, error) {
	rec, err := n.ledger.Read(ctx, engine.Pos{Seq: 1})
	if errors.Is(err, engine.ErrNotFound) {
		state, loading := n.checkpoints.Load(ctx, math.MaxUint64)
		if loading != nil || state == nil || state.Installation == "" {
			return "", cmp.Or(loading, err)
		}
		return state.Installation, nil
	}
	if err != nil {
		return "", err
	}
	install, ok := rec.(*engine.InstallRecord)
	if !ok {
		return "", fmt.Errorf("%w: the ledger does not begin with its installation record", engine.ErrInvalid)
	}
	return install.ID, nil
}

// tablesWithin is how long a list waits for the tables to show what the engine
// knows. Without them it is made from the runs view, which takes the longer the
// more runs there are.
const tablesWithin = time.Second

// current reports whether the tables are there and show what the engine knows.
func (n *Node) current(ctx context.Context) bool {
	if n.tables == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, tablesWithin)
	defer cancel()
	return n.Engine.Shown(ctx, engine.TablesView) == nil
}

// history is the runs after their end: documents from the runs view, and which
// of them from the tables, where an index finds them.
type history struct {
	engine.Runs // the view
	node        *Node
}

func (n *Node) history() engine.Runs { return &history{n.runs, n} }

// List implements engine.Runs.
func (h *history) List(ctx context.Context, f engine.RunFilter) ([]*engine.RunDoc, error) {
	if !h.node.current(ctx) {
		return h.Runs.List(ctx, f)
	}
	f.Limit = engine.ListLimit(f.Limit)
	ids, err := h.node.tables.Runs(ctx, f)
	if err != nil {
		return h.Runs.List(ctx, f)
	}
	return h.node.runs.Documents(ctx, ids)
}

// Ending implements engine.Runs.
func (h *history) Ending(ctx context.Context, ending string) ([]engine.RunID, error) {
	if h.node.current(ctx) {
		if ids, err := h.node.tables.RunsEnding(ctx, ending); err == nil {
			return ids, nil
		}
	}
	return h.Runs.Ending(ctx, ending)
}

// tableEndpoints are the service's endpoints for the tables.
func (n *Node) tableEndpoints() []bus.Endpoint {
	return []bus.Endpoint{{Name: "query", Handle: n.query}, {Name: "log.list", Handle: n.logList}}
}

// queryWaits is how long a query waits for the tables to show what the engine
// knows. Then it is answered as they are, and says how far they are behind.
const queryWaits = 5 * time.Second

// query answers SQL. The payload is a metadata.Question, or the SQL itself.
func (n *Node) query(ctx context.Context, data []byte) (any, error) {
	var q metadata.Question
	if text := bytes.TrimSpace(data); len(text) == 0 || text[0] != '{' {
		q.SQL = string(text)
	} else if err := bus.Decode(data, &q); err != nil {
		return nil, err
	}
	if n.tables == nil {
		return nil, fmt.Errorf("%w: this node has no SQL tables: [metadata] database is \"off\"", engine.ErrInvalid)
	}
	behind := uint64(0)
	if q.Next == "" {
		behind = n.tablesBehind(ctx)
	}
	answer, err := n.tables.Query(ctx, q)
	if err != nil {
		return nil, err
	}
	answer.Behind = behind
	return answer, nil
}

// tablesBehind waits for the tables and says how many ledger entries they are
// behind all the same.
func (n *Node) tablesBehind(ctx context.Context) uint64 {
	waiting, cancel := context.WithTimeout(ctx, queryWaits)
	defer cancel()
	if n.Engine.Shown(waiting, engine.TablesView) == nil {
		return 0
	}
	st, err := n.Engine.Status(ctx)
	if err != nil {
		return 0
	}
	for _, v := range st.Views {
		if v.View == engine.TablesView {
			return v.Behind
		}
	}
	return 0
}
