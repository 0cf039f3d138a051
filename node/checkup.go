package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/filestore"
	"github.com/qarion/qarion/kvstore"
	"github.com/qarion/qarion/metadata"
)

// CheckupConfig is what a checkup looks at. It needs no node, starts none and
// changes nothing.
type CheckupConfig struct {
	DataDir string
	Key     kvstore.KeyConfig // the zero value is the data directory's own
	Tables  string            // as Config.Tables
	Keep    Retention
	// Serving: a node is writing while the checkup reads. Then views are not
	// held against the ledger, and ends of files are left alone.
	Serving bool
	Store   *bus.Health      // as the serving node says; nil where it was not asked
	Now     func() time.Time // default time.Now
}

// Severity says what a finding means.
type Severity string

// The severities. A checkup with anything but notes says that something is
// wrong.
const (
	Damaged Severity = "damaged" // something stored is lost, or is not as it was written
	Broken  Severity = "broken"  // a node cannot work like this, though nothing is lost
	Note    Severity = "note"    // worth knowing
)

// Finding is one thing that a checkup has found.
type Finding struct {
	Severity Severity `json:"severity"`
	Part     string   `json:"part"` // stream, or "key", "disk", "clock", "permissions", "tables", "store"
	File     string   `json:"file,omitempty"`
	From     uint64   `json:"from,omitempty"` // sequences of the stream
	To       uint64   `json:"to,omitempty"`
	Problem  string   `json:"problem"`
	Hint     string   `json:"hint,omitempty"`
}

// StreamChecked is a stream that was read to its end.
type StreamChecked struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	First    uint64 `json:"first"`
	Last     uint64 `json:"last"`
	Bytes    int64  `json:"bytes"`
	Findings int    `json:"findings"`
}

// DamagedRun is a run of which something is not known.
type DamagedRun struct {
	Run    engine.RunID  `json:"run_id"`
	Flow   engine.FlowID `json:"flow_id,omitempty"`
	Reason string        `json:"reason"`
}

// Checkup is what was found.
type Checkup struct {
	DataDir  string          `json:"data_dir"`
	Serving  bool            `json:"serving"`
	OK       bool            `json:"ok"` // nothing but notes
	Streams  []StreamChecked `json:"streams"`
	Entries  uint64          `json:"ledger_entries"`
	Compared int             `json:"rows_compared"` // documents, values and rows of the tables that were held against the ledger
	Open     int             `json:"open_runs"`
	Findings []Finding       `json:"findings"`
	Runs     []DamagedRun    `json:"damaged_runs"`
	Store    bus.Health      `json:"store"`
	TookMS   int64           `json:"took_ms"`
}

// maxDamagedRuns is how many damaged runs are named.
const maxDamagedRuns = 1000

// views are streams that are made again from the ledger.
var views = []string{"KV_" + kvstore.BucketRuns, "KV_" + kvstore.BucketXCom, bus.StreamEvents}

// mustBe are streams that every data directory has once a node was in it.
var mustBe = []string{bus.StreamLedger, bus.StreamCheckpoints, "KV_" + kvstore.BucketCredentials, "KV_" + kvstore.BucketRuns, "KV_" + kvstore.BucketXCom, "OBJ_" + kvstore.BucketBlobs, bus.StreamEvents}

type checkup struct {
	Checkup
	cfg          CheckupConfig
	streams      map[string]*filestore.Stream
	views        map[string]*kvstore.ViewFiles
	objects      map[string]*kvstore.ObjectFiles // by bucket
	tables       *metadata.Comparison            // nil where they are not compared
	tablesFile   string                          // where they lie; "" in a database of their own
	installation string                          // of the ledger
	ledgerLast   uint64                          // its last sequence
	started      map[engine.RunID]bool           // runs whose beginning the ledger has; nil: all of them
	named        map[string]engine.RunID         // large values that records name
	modules      map[string]engine.FlowID        // of hooks, by hash: those that flows in use are pinned to
	marks        *bus.CheckpointFiles
}

// CheckUp reads everything in a data directory. The caller holds its lock,
// unless Serving. Errors are those of a directory that cannot be read at all.
func CheckUp(ctx context.Context, cfg CheckupConfig) (*Checkup, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Key.File = cmp.Or(cfg.Key.File, filepath.Join(cfg.DataDir, "key"))
	began := time.Now()
	c := &checkup{cfg: cfg, streams: map[string]*filestore.Stream{}, views: map[string]*kvstore.ViewFiles{}, named: map[string]engine.RunID{},
		objects: map[string]*kvstore.ObjectFiles{}, modules: map[string]engine.FlowID{}}
	c.DataDir, c.Serving = cfg.DataDir, cfg.Serving
	c.Findings, c.Runs, c.Streams = []Finding{}, []DamagedRun{}, []StreamChecked{}
	info, err := os.Stat(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if c.tables != nil {
			_ = c.tables.Close()
		}
	}()
	c.permissions(cfg.DataDir, info)
	for _, step := range []func(context.Context) error{c.openStreams, c.checkObjects, c.checkCheckpoints, c.openViews, c.openTables, c.checkLedger, c.compareViews, c.compareObjects, c.compareTables, c.checkKey, c.checkRest, c.checkRoom} {
		if err := step(ctx); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	c.finish()
	c.TookMS = time.Since(began).Milliseconds()
	return &c.Checkup, nil
}

func (c *checkup) finish() {
	c.OK = !slices.ContainsFunc(c.Findings, func(f Finding) bool { return f.Severity != Note })
	rank := map[Severity]int{Damaged: 0, Broken: 1, Note: 2}
	slices.SortStableFunc(c.Findings, func(a, b Finding) int { return rank[a.Severity] - rank[b.Severity] })
	for i := range c.Streams {
		for _, f := range c.Findings {
			if f.Part == c.Streams[i].Name {
				c.Streams[i].Findings++
			}
		}
	}
	slices.SortFunc(c.Streams, func(a, b StreamChecked) int { return cmp.Compare(a.Name, b.Name) })
}

func (c *checkup) add(f Finding) { c.Findings = append(c.Findings, f) }

// permissions looks who else may read or change what lies in the directory.
func (c *checkup) permissions(dir string, info os.FileInfo) {
	if runtime.GOOS == "windows" {
		return
	}
	if info.Mode().Perm()&0o022 != 0 {
		c.add(Finding{Severity: Broken, Part: "permissions", File: dir, Problem: fmt.Sprintf("others may write into it (%o)", info.Mode().Perm()), Hint: "chmod 700 " + dir})
	} else if info.Mode().Perm()&0o055 != 0 {
		c.add(Finding{Severity: Note, Part: "permissions", File: dir, Problem: fmt.Sprintf("others may look into it (%o): it holds what flows have received", info.Mode().Perm()), Hint: "chmod 700 " + dir})
	}
	if f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0); err == nil {
		f.Close()
	} else if errors.Is(err, os.ErrPermission) {
		c.add(Finding{Severity: Broken, Part: "permissions", File: filepath.Join(dir, "lock"), Problem: "it may not be written by this user: the directory belongs to another one", Hint: "run qarion as the user who owns " + dir})
	}
}

// openStreams reads what streams there are.
func (c *checkup) openStreams(context.Context) error {
	list, err := filestore.Streams(c.storeDir())
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(c.storeDir(), "ledger.end")); err == nil {
			c.add(Finding{Severity: Damaged, Part: "store", File: filepath.Join(c.storeDir(), "jetstream"), Problem: "the streams are gone: ledger.end shows that there was a ledger", Hint: restoreHint})
			return nil
		}
		c.add(Finding{Severity: Note, Part: "store", File: c.storeDir(), Problem: "nothing is stored here yet"})
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range list {
		c.streams[s.Name] = s
		if p := s.ReadMeta(); p != nil {
			c.file(s, *p)
		}
	}
	for _, name := range mustBe {
		if c.streams[name] == nil && !c.Serving {
			c.add(c.missingStream(name))
		}
	}
	return nil
}

const restoreHint = "bring the data directory back from a backup: qarion restore"

func (c *checkup) missingStream(name string) Finding {
	f := Finding{Severity: Damaged, Part: name, File: c.storeDir(), Problem: "the stream is missing: what was in it is lost", Hint: restoreHint}
	if slices.Contains(views, name) {
		f.Problem, f.Hint = "the stream is missing", "start the node: it is a view, and made again from the ledger"
	}
	if name == bus.StreamCheckpoints {
		f.Problem, f.Hint = "the stream is missing", "start the node: the state is made again from the ledger, as far as it goes back"
	}
	return f
}

// file takes a problem of a stream's files.
func (c *checkup) file(s *filestore.Stream, p filestore.Problem) {
	f := Finding{Severity: Damaged, Part: s.Name, File: p.File, From: p.From, To: p.To, Problem: p.Reason, Hint: restoreHint}
	if slices.Contains(views, s.Name) {
		f.Hint = "stop the node and delete " + s.Dir + ": it is a view, and made again from the ledger"
	}
	switch {
	case p.Kind == filestore.Index:
		f.Severity, f.Hint = Note, ""
		f.Problem += "; it is made again at the next start, and until then files that are missing as a whole are not noticed"
	case p.Kind == filestore.Unfinished && (slices.Contains(views, s.Name) || s.Name == bus.StreamLedger):
		// A view is written again from its position; the end of the ledger is known.
		f.Severity, f.Hint = Note, ""
	case p.Kind == filestore.Lost && p.File == filepath.Join(s.Dir, "msgs", "index.db") && slices.Contains(views, s.Name):
		f.Severity, f.Hint = Note, ""
		f.Problem += ": a view is written asynchronously, and goes on from where it is"
	case p.Kind == filestore.Lost && s.Name == bus.StreamLedger:
		return // the ledger knows better what it should have
	}
	c.add(f)
}

// scanned notes that a stream was read.
func (c *checkup) scanned(s *filestore.Stream, scan *filestore.Scan) {
	for _, p := range scan.Problems {
		c.file(s, p)
	}
	c.Streams = append(c.Streams, StreamChecked{Name: s.Name, Messages: scan.Messages, First: scan.First, Last: scan.Last, Bytes: s.Bytes()})
}

func (c *checkup) storeDir() string { return filepath.Join(c.cfg.DataDir, "nats") }
