package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/filestore"
	"github.com/qarion/qarion/kvstore"
)

func (c *checkup) checkObjects(context.Context) (err error) {
	for _, bucket := range []string{kvstore.BucketBlobs, kvstore.BucketHooks} {
		s := c.streams["OBJ_"+bucket]
		if s == nil {
			continue
		}
		o, err := kvstore.OpenObjectFiles(bucket, s, c.Serving)
		if err != nil {
			return err
		}
		c.objects[bucket] = o
		c.scanned(s, o.Scan)
		for _, name := range slices.Sorted(maps.Keys(o.Damaged)) {
			c.add(Finding{Severity: Damaged, Part: s.Name, Problem: fmt.Sprintf("object %s: %s", name, o.Damaged[name]), Hint: restoreHint})
		}
	}
	return nil
}

func (c *checkup) checkCheckpoints(context.Context) (err error) {
	s := c.streams[bus.StreamCheckpoints]
	if s == nil {
		return nil
	}
	if c.marks, err = bus.OpenCheckpointFiles(s, c.Serving); err != nil {
		return err
	}
	c.scanned(s, c.marks.Scan)
	if c.Serving {
		return nil // one may be half written now
	}
	for _, seq := range slices.Sorted(maps.Keys(c.marks.Damaged)) {
		c.add(Finding{Severity: Damaged, Part: s.Name, Problem: fmt.Sprintf("the checkpoint of ledger entry %d: %s", seq, trimKind(c.marks.Damaged[seq])), Hint: "an older one takes its place where there is one: " + restoreHint})
	}
	return nil
}

func (c *checkup) openViews(context.Context) (err error) {
	for _, bucket := range []string{kvstore.BucketRuns, kvstore.BucketXCom} {
		s := c.streams["KV_"+bucket]
		if s == nil {
			continue
		}
		v, err := kvstore.OpenViewFiles(bucket, s, c.Serving)
		if err != nil {
			return err
		}
		c.views[bucket] = v
		c.scanned(s, v.Scan)
	}
	return nil
}

// checkLedger folds the ledger, as a node does at its start, and tells what is
// missing in it and which runs that concerns.
func (c *checkup) checkLedger(ctx context.Context) error {
	s := c.streams[bus.StreamLedger]
	if s == nil {
		return nil
	}
	l, err := bus.OpenLedgerFiles(c.storeDir(), s)
	if err != nil {
		return err
	}
	if blobs := c.objects[kvstore.BucketBlobs]; blobs != nil {
		l.Definition = blobs.Read
	}
	state, err := c.beginning(l)
	if err != nil {
		return err
	}
	facts, err := l.Follow(state.Seq+1, c.Serving, func(e engine.Entry) error {
		for _, effect := range state.Apply(e) {
			if effect.Kind != fold.Show {
				continue
			}
			if err := c.see(ctx, effect.Change); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return c.newer(s, err)
	}
	c.Entries, c.Open = facts.Messages, state.Open()
	for g := range state.Graphs() {
		for _, hash := range modulesOf(g.Flow) {
			c.modules[hash] = g.Flow.ID
		}
	}
	c.installation, c.ledgerLast = state.Installation, facts.Last
	c.Streams = append(c.Streams, StreamChecked{Name: s.Name, Messages: facts.Messages, First: facts.From, Last: facts.Last, Bytes: s.Bytes()})
	for _, p := range facts.Problems {
		c.file(s, p)
	}
	if c.Serving && s.ReadMeta() == nil { // it may have been purged in the meantime
		begin := l.Begin()
		facts.Missing = slices.DeleteFunc(facts.Missing, func(r bus.Range) bool { return r.To < begin })
	}
	for _, r := range facts.Missing {
		c.add(Finding{Severity: Damaged, Part: s.Name, From: r.From, To: r.To, Problem: fmt.Sprintf("entries %d to %d are lost or cannot be read: what they said is not known", r.From, r.To), Hint: restoreHint + "; or go on without, every open run ends as damaged: qarion serve --accept-loss"})
		c.lostRuns(r)
	}
	for _, bad := range facts.Bad {
		c.add(Finding{Severity: Damaged, Part: s.Name, From: bad.Seq, To: bad.Seq, Problem: "a record is as it was written, and cannot be understood: " + bad.Problem})
	}
	if ahead := facts.LastAt.Sub(c.cfg.Now()); facts.Messages > 0 && ahead > clockSlack {
		c.add(Finding{Severity: Broken, Part: "clock", Problem: fmt.Sprintf("the newest ledger entry is from %s in the future: the clock of this machine was put back, or is wrong", ahead.Round(time.Second)), Hint: "set the clock (timedatectl); until it has passed that time, waits last longer"})
	}
	return nil
}

// clockSlack is how far the newest entry may be in the future.
const clockSlack = 5 * time.Second

// newer turns an entry of a newer program into a finding.
func (c *checkup) newer(s *filestore.Stream, err error) error {
	var newer *bus.NewerFormatError
	if !errors.As(err, &newer) {
		return err
	}
	c.add(Finding{Severity: Broken, Part: s.Name, Problem: newer.Error()})
	return nil
}

// beginning is the state at the ledger's beginning: an empty one, or, where it
// was purged, the oldest checkpoint that can be read.
func (c *checkup) beginning(l *bus.LedgerFiles) (*fold.State, error) {
	from := l.Begin()
	if from <= 1 {
		return fold.NewState(), nil
	}
	c.started = map[engine.RunID]bool{}
	if c.marks != nil {
		for _, seq := range c.marks.Good() {
			if seq+1 >= from {
				return c.marks.Load(seq)
			}
		}
	}
	state := fold.NewState()
	state.Seq = from - 1
	if !c.Serving {
		c.add(Finding{Severity: Damaged, Part: bus.StreamCheckpoints, Problem: fmt.Sprintf("the ledger begins at entry %d, and no checkpoint of what was before can be read: runs that were open then are not known", from), Hint: restoreHint})
	}
	return state, nil
}

// see takes a change of the ledger.
func (c *checkup) see(ctx context.Context, change *engine.Change) error {
	if doc := change.Doc; change.Kind == engine.RunDone && doc.Error != nil && doc.Error.Class == "damaged" {
		c.damagedRun(change.Run, change.Flow, doc.Error.Message)
	}
	if change.Kind == engine.AttemptDone && change.Attempt.Blob != nil {
		c.named[change.Attempt.Blob.Name] = change.Run
	}
	if c.started != nil && change.Kind == engine.RunStarted {
		c.started[change.Run] = true
	}
	if c.tables != nil && (c.started == nil || c.started[change.Run]) {
		if err := c.tables.Expect(ctx, change); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			c.noTables(err)
		}
	}
	for _, v := range c.views {
		if err := v.Expect(change); err != nil {
			return err
		}
	}
	return nil
}

func (c *checkup) damagedRun(run engine.RunID, flow engine.FlowID, reason string) {
	if len(c.Runs) < maxDamagedRuns && !slices.ContainsFunc(c.Runs, func(d DamagedRun) bool { return d.Run == run }) {
		c.Runs = append(c.Runs, DamagedRun{run, flow, reason})
	}
}

// lostRuns marks the runs whose documents were made from entries that are lost:
// what they show was true, and nothing proves it any more.
func (c *checkup) lostRuns(r bus.Range) {
	if v := c.views[kvstore.BucketRuns]; v != nil {
		for _, run := range v.Between(r.From, r.To) {
			c.damagedRun(run, "", fmt.Sprintf("ledger entries %d to %d are lost: its document was made from one of them", r.From, r.To))
		}
	}
}

// compareObjects looks for large values that records of runs name, and for modules
// of hooks. Values of runs that are not kept any more are deleted.
func (c *checkup) compareObjects(context.Context) error {
	runs := c.views[kvstore.BucketRuns]
	if c.Serving || runs == nil {
		return nil
	}
	missing := func(bucket, object, what, hint string) {
		if o := c.objects[bucket]; o == nil || !o.Has(object) {
			c.add(Finding{Severity: Damaged, Part: "OBJ_" + bucket, Problem: what + ": it is missing", Hint: hint})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.named)) {
		if runs.HasRun(c.named[name]) {
			missing(kvstore.BucketBlobs, name, "object "+name, restoreHint)
		}
	}
	for _, hash := range slices.Sorted(maps.Keys(c.modules)) {
		missing(kvstore.BucketHooks, kvstore.ModuleObject(hash), fmt.Sprintf("module %.12s of flow %s", hash, c.modules[hash]),
			"a node that is started with its file in the hooks folder stores it again; or "+restoreHint)
	}
	return nil
}

// compareViews holds documents and values against what the ledger makes of
// them.
func (c *checkup) compareViews(context.Context) error {
	ledger := c.streams[bus.StreamLedger]
	if c.Serving || ledger == nil || c.ledgerDamaged() {
		return nil // they show what the ledger said when it was whole
	}
	for _, bucket := range []string{kvstore.BucketRuns, kvstore.BucketXCom} {
		v := c.views[bucket]
		if v == nil {
			continue
		}
		s := c.streams["KV_"+bucket]
		c.Compared += v.Expected()
		list := v.Compare(c.cfg.Now(), false)
		for i, m := range list {
			if i == maxMismatches {
				c.add(Finding{Severity: Damaged, Part: s.Name, Problem: fmt.Sprintf("and %d more entries", len(list)-i)})
				break
			}
			c.add(Finding{Severity: Damaged, Part: s.Name, Problem: fmt.Sprintf("entry %s: %s", m.Key, m.Reason), Hint: "stop the node and delete " + s.Dir + ": it is a view, and made again from the ledger"})
		}
	}
	return nil
}

// maxMismatches is how many entries of a view are named.
const maxMismatches = 20
