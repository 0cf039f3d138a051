package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/node"
)

func (a *app) doctorCommand() *cobra.Command {
	var rebuild bool
	c := &cobra.Command{
		Use: "doctor", Short: "Check everything that the data directory holds",
		Long: "doctor reads every file of the data directory, without changing anything: messages with their checksums, gaps\n" +
			"in streams, checkpoints, large values with their digests, sealed credentials with their key, run documents and\n" +
			"values and SQL tables against what the ledger says, permissions, disk and clock. It names stream and sequences of what is\n" +
			"damaged, and the runs that it concerns. Exit code: 0 nothing is wrong, 1 something is, 3 there is nothing to check.",
		Example: `  qarion doctor
  qarion doctor --output json --jq '.findings[].problem'
  qarion doctor --rebuild-metadata`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if rebuild {
				if err := a.rebuildTables(c.Context()); err != nil {
					return err
				}
			}
			return a.doctor(c.Context())
		},
	}
	c.Flags().BoolVar(&rebuild, "rebuild-metadata", false, "first delete all rows of the SQL tables and make them again from the ledger; no node may serve")
	return c
}

func (a *app) rebuildTables(ctx context.Context) error {
	cfg, err := a.cfg.node(a.cfg.DataDir, quietLogger(a))
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.DataDir); err != nil {
		return nobody(fmt.Errorf("there is no data directory %s", cfg.DataDir), "name it: qarion doctor --data-dir DIR")
	}
	cfg.Holder = a.path
	err = node.RebuildTables(ctx, cfg)
	if isConflict(err) {
		return nobody(err, "stop it first")
	}
	return hintDamaged(err, cfg.DataDir)
}

func (a *app) doctor(ctx context.Context) error {
	cfg, err := a.cfg.node(a.cfg.DataDir, nil)
	if err != nil {
		return err
	}
	check := node.CheckupConfig{DataDir: cfg.DataDir, Key: cfg.Key, Tables: cfg.Tables, Keep: cfg.Keep}
	lock, err := bus.HoldDir(cfg.DataDir, a.path)
	switch {
	case err == nil:
		defer lock.Close()
	case isConflict(err):
		check.Serving, check.Store = true, a.storeOfNode(ctx)
		if !a.flags.quiet && !a.json() {
			a.ui.problem("note", fmt.Errorf("%w: the ends of files and what views show are checked when it is stopped", err))
		}
	case errors.Is(err, fs.ErrNotExist):
		return nobody(fmt.Errorf("there is no data directory %s", cfg.DataDir), "name it: qarion doctor --data-dir DIR")
	case !errors.Is(err, fs.ErrPermission):
		return err
	}
	found, err := node.CheckUp(ctx, check)
	if err != nil {
		return fail(err)
	}
	if a.json() {
		if err := a.printJSON(found); err != nil {
			return err
		}
	} else {
		a.printCheckup(found)
	}
	if !found.OK {
		return &cliError{code: exitFailed, err: errors.New("something is wrong"), silent: true}
	}
	return nil
}

// storeOfNode is what the serving node says of its store, as /readyz does; nil
// when it does not answer.
func (a *app) storeOfNode(ctx context.Context) *bus.Health {
	c, found, err := a.connect()
	if err != nil || !found {
		return nil
	}
	defer c.Close()
	var in nodeInfo
	if err := c.Call(ctx, "node.status", nil, &in); err != nil {
		return nil
	}
	return &in.Store
}

// printCheckup shows what was found, the worst last: there people look first.
func (a *app) printCheckup(found *node.Checkup) {
	w := a.ui.out
	if !a.flags.quiet {
		for _, s := range found.Streams {
			state := "ok"
			if s.Findings > 0 {
				state = "see below"
			}
			fmt.Fprintf(w, "%-22s  %9s  %9s  %s\n", s.Name, plural(int(s.Messages), "message"), bytesize(s.Bytes), state)
		}
	}
	for i := len(found.Findings) - 1; i >= 0; i-- {
		f := found.Findings[i]
		if f.Severity == node.Note && a.flags.quiet {
			continue
		}
		fmt.Fprintf(w, "%s: %s\n", f.Severity, a.ui.paint(findingText(&f), plain))
		if f.Hint != "" {
			fmt.Fprintf(w, "  %s\n", f.Hint)
		}
	}
	for i, r := range found.Runs {
		if i == maxShownRuns && !a.flags.quiet {
			fmt.Fprintf(w, "and %s: qarion doctor --output json --jq '.damaged_runs'\n", plural(len(found.Runs)-i, "more damaged run"))
			break
		}
		fmt.Fprintf(w, "damaged run %s: %s\n", r.Run, r.Reason)
	}
	if a.flags.quiet {
		return
	}
	word := "ok"
	if !found.OK {
		word = "damaged"
		if found.Findings[0].Severity == node.Broken {
			word = "something is wrong"
		}
	}
	fmt.Fprintf(w, "%s: %s, %s, %s, %d open runs, in %s\n", word, plural(len(found.Streams), "stream"), ledgerEntries(found.Entries),
		plural(found.Compared, "row")+" held against the ledger", found.Open, duration(time.Duration(found.TookMS)*time.Millisecond))
}

// maxShownRuns is how many damaged runs are shown.
const maxShownRuns = 20

func ledgerEntries(n uint64) string {
	if n == 1 {
		return "1 ledger entry"
	}
	return thousands(int(n)) + " ledger entries"
}

// findingText is a finding as one line.
func findingText(f *node.Finding) string {
	var b strings.Builder
	b.WriteString(f.Part)
	if f.From > 0 && f.From == f.To {
		fmt.Fprintf(&b, " %d", f.From)
	} else if f.To > 0 {
		fmt.Fprintf(&b, " %d to %d", f.From, f.To)
	} else if f.From > 0 {
		fmt.Fprintf(&b, " from %d on", f.From)
	}
	if f.File != "" {
		b.WriteString(": " + f.File)
	}
	return b.String() + ": " + f.Problem
}
