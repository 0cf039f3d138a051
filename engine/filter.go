package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// RunFilter chooses runs. A zero field chooses all.
type RunFilter struct {
	Flow    FlowID
	Status  Status    // one of ListStatuses
	Since   time.Time // started at or after
	Trigger string    // type or id of what has started it; only where there are SQL tables
	Before  RunID     // older than this run: the next page
	Limit   int       // at most so many, the newest; 0 means DefaultRunLimit
}

// Bounds of the number of runs in a list.
const (
	DefaultRunLimit = 50
	MaxRunLimit     = 1000
)

// ListLimit is how many runs a list gives for a limit. It may be one more than
// the most, so that a caller sees whether there are more.
func ListLimit(limit int) int {
	if limit <= 0 {
		limit = DefaultRunLimit
	}
	return min(limit, MaxRunLimit+1)
}

// Matches reports whether a run with these properties is chosen.
func (f RunFilter) Matches(id RunID, flow FlowID, status Status) bool {
	return (f.Flow == "" || f.Flow == flow) && (f.Status == "" || f.Status == status) &&
		(f.Before == "" || id < f.Before) && (f.Since.IsZero() || !id.Time().Before(f.Since.Truncate(time.Millisecond)))
}

// Names of projections that others wait for: the one that Runs reads, and the
// SQL tables.
const (
	RunsView   = "runs"
	TablesView = "tables"
)

// Runs is what is known of runs after the fold has let go of them: the view
// that runs.get and runs.list read.
type Runs interface {
	// Get returns a run's last document; ErrNotFound.
	Get(ctx context.Context, id RunID) (*RunDoc, error)
	// List returns documents without tasks, newest first.
	List(ctx context.Context, filter RunFilter) ([]*RunDoc, error)
	// Ending returns the runs whose id ends so, at most two of them.
	Ending(ctx context.Context, ending string) ([]RunID, error)
}

// minEnding is the shortest ending of a run id that names a run.
const minEnding = 4

// FindRun turns what a person wrote for a run into its id: "last", a run id,
// or an ending of one, of at least 4 characters, that fits one run alone.
func FindRun(ctx context.Context, runs Runs, name string) (RunID, error) {
	if id, err := ParseRunID(strings.ToUpper(name)); err == nil {
		return id, nil
	}
	if name == "last" {
		list, err := runs.List(ctx, RunFilter{Limit: 1})
		if err != nil {
			return "", err
		}
		if len(list) == 0 {
			return "", fmt.Errorf("%w: there is no run yet", ErrNotFound)
		}
		return list[0].RunID, nil
	}
	ending := strings.ToUpper(name)
	if len(name) < minEnding || len(name) > 26 || strings.Trim(ending, crockford) != "" {
		return "", fmt.Errorf("%w: %.40q names no run: give \"last\", a run id, or at least its last %d characters", ErrInvalid, name, minEnding)
	}
	ids, err := runs.Ending(ctx, ending)
	switch {
	case err != nil:
		return "", err
	case len(ids) == 0:
		return "", fmt.Errorf("%w: no run ends in %s", ErrNotFound, ending)
	case len(ids) > 1:
		return "", fmt.Errorf("%w: several runs end in %s, such as %s and %s: give more of the id", ErrInvalid, ending, ids[0], ids[1])
	}
	return ids[0], nil
}

// Time is when the run's id was made, in milliseconds.
func (id RunID) Time() time.Time {
	var ms int64
	for i := 0; i < 10 && i < len(id); i++ {
		ms = ms<<5 | int64(strings.IndexByte(crockford, id[i]))
	}
	return time.UnixMilli(ms).UTC()
}

// ParseSince reads a point in the past: RFC 3339, or an age such as 90s, 2h or
// 30d before now.
func ParseSince(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	age, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		age = time.Duration(n * float64(24*time.Hour))
	}
	if err != nil || age < 0 {
		return time.Time{}, fmt.Errorf("%w: time %.40q: want an age such as 90s, 2h or 30d, or a time such as 2026-01-31T12:00:00Z", ErrInvalid, text)
	}
	return now.Add(-age), nil
}
