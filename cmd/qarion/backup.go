package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/metadata"
	"github.com/qarion/qarion/node"
)

func (a *app) backupCommand() *cobra.Command {
	var withKey bool
	c := &cobra.Command{
		Use: "backup DIR|FILE" + node.ArchiveExt, Short: "Copy everything that the data directory remembers",
		Long: "backup copies the data directory, of a node that serves or of one that is stopped, reads the copy back, and checks\n" +
			"it as doctor does. Nothing stands under the name until it is whole. Flow files and configuration are not in it.",
		Example: `  qarion backup /backups/monday
  qarion backup /backups/monday.tar.zst --with-key`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.backup(c.Context(), args[0], withKey) },
	}
	c.Flags().BoolVar(&withKey, "with-key", false, "take the key of the credentials along: whoever has the backup can open them")
	return c
}

func (a *app) backup(ctx context.Context, to string, withKey bool) error {
	cfg, err := a.cfg.node(a.cfg.DataDir, nil)
	if err != nil {
		return err
	}
	b := node.BackupConfig{DataDir: cfg.DataDir, To: filepath.Clean(to), Key: cfg.Key, WithKey: withKey, Tables: cfg.Tables, Version: cfg.Version}
	lock, err := bus.HoldDir(cfg.DataDir, a.path)
	switch {
	case err == nil:
		defer lock.Close()
	case isConflict(err):
		c, found, failed := a.connect()
		if failed != nil {
			return failed
		}
		if !found {
			return nobody(err, "stop it, or wait until it has ended")
		}
		defer c.Close()
		b.Node = c
	case errors.Is(err, fs.ErrNotExist):
		return nobody(fmt.Errorf("there is no data directory %s", cfg.DataDir), "name it: qarion backup --data-dir DIR "+to)
	default:
		return fail(err)
	}
	m, err := node.Backup(ctx, b)
	switch {
	case isConflict(err):
		return fail(err, "choose another name: a backup never overwrites one")
	case errors.Is(err, engine.ErrDamaged):
		return fail(fmt.Errorf("there is no backup of what is damaged: %w", err), "see all of it: qarion doctor")
	case err != nil:
		return fail(err)
	}
	if a.json() {
		return a.printJSON(m)
	}
	if a.flags.quiet {
		return nil
	}
	fmt.Fprintf(a.ui.out, "backed up to %s: %s, ledger up to entry %d, %s; read back and checked\n", b.To, bytesize(m.Bytes), m.Ledger, plural(m.OpenRuns, "open run"))
	switch {
	case m.WithKey:
		fmt.Fprintln(a.ui.out, "the key is in it: whoever has the backup can open the stored credentials")
	default:
		fmt.Fprintln(a.ui.out, "the key of the credentials is not in it: keep a copy of it elsewhere (or --with-key)")
	}
	if metadata.IsURL(cfg.Tables) {
		fmt.Fprintln(a.ui.out, "the SQL tables are not in it: they are in a database of their own, and follow from the ledger")
	}
	return nil
}

func (a *app) restoreCommand() *cobra.Command {
	var replace bool
	c := &cobra.Command{
		Use: "restore DIR|FILE", Short: "Bring a backup back into the data directory",
		Long: "restore brings a backup back into a data directory that is empty, and checks it. Runs that were open go on at the\n" +
			"next start; calls that were on their way when the backup was made are treated as after a crash. Calls that were\n" +
			"made since then are not known to the backup: never start a node on it while the one that it was made of goes on.",
		Example: `  qarion restore /backups/monday
  qarion restore /backups/monday.tar.zst --replace`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.restore(c.Context(), args[0], replace) },
	}
	c.Flags().BoolVar(&replace, "replace", false, "into a directory that is not empty: what is in it is put aside, into before-restore-TIME")
	return c
}

func (a *app) restore(ctx context.Context, from string, replace bool) error {
	cfg, err := a.cfg.node(a.cfg.DataDir, nil)
	if err != nil {
		return err
	}
	out, err := node.Restore(ctx, node.RestoreConfig{From: from, DataDir: cfg.DataDir, Holder: a.path, Key: cfg.Key, Replace: replace})
	var path *fs.PathError
	switch {
	case isConflict(err) && !replace:
		return fail(err, "put aside what is in it: qarion restore --replace "+from, "or choose another place: --data-dir")
	case isConflict(err):
		return nobody(err, "stop it first")
	case errors.As(err, &path) && errors.Is(err, fs.ErrNotExist):
		return fail(fmt.Errorf("there is no backup %s", path.Path))
	case err != nil:
		return fail(err)
	}
	if a.json() {
		return a.printJSON(out)
	}
	if a.flags.quiet {
		return nil
	}
	fmt.Fprintf(a.ui.out, "restored %s from %s, made %s: ledger up to entry %d, %s\n", cfg.DataDir, from, out.Manifest.MadeAt, out.Manifest.Ledger, plural(out.OpenRuns, "open run"))
	if out.Aside != "" {
		fmt.Fprintf(a.ui.out, "what was in it is in %s: delete that when all is well\n", out.Aside)
	}
	if out.NeedsKey != "" {
		fmt.Fprintf(a.ui.out, "stored credentials cannot be opened yet: %s\n", out.NeedsKey)
	}
	if out.Manifest.Tables == "elsewhere" {
		fmt.Fprintln(a.ui.out, "the SQL tables are in a database of their own, and may be ahead of the backup: let them be made again: qarion doctor --rebuild-metadata")
	}
	return nil
}
