package node

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
	"github.com/qarion/qarion/metadata"
)

// BackupConfig is how a backup is made.
type BackupConfig struct {
	DataDir string
	To      string            // a folder, or, where it ends in ArchiveExt, a file; it must not be there
	Key     kvstore.KeyConfig // the zero value is the data directory's own
	WithKey bool              // take the key file along
	Tables  string            // as Config.Tables
	Version string            // of the program
	Node    *bus.Client       // that serves the directory; nil: nobody does, and the caller holds its lock
}

// ArchiveExt is what the name of a backup ends in that is one file.
const ArchiveExt = ".tar.zst"

// ManifestFile closes a backup: without it, it is none.
const ManifestFile = "backup.json"

// Manifest is what a backup says of itself.
type Manifest struct {
	Format   int                   `json:"format"`
	Version  string                `json:"version"` // of the program
	MadeAt   string                `json:"made_at"`
	Serving  bool                  `json:"serving"` // it was made beside a node
	Ledger   uint64                `json:"ledger_seq"`
	OpenRuns int                   `json:"open_runs"`
	WithKey  bool                  `json:"with_key"`
	Tables   string                `json:"tables"` // sqlite: they are in it; off; elsewhere
	Bytes    int64                 `json:"bytes"`
	Files    map[string]BackupFile `json:"files"` // by path, with / in it
}

// BackupFile is a file of a backup.
type BackupFile struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

const backupFormat = 1

// backupTries is how often the streams of a node that goes on working are
// copied until they fit together: it may purge what was copied by half.
const backupTries = 3

// Backup copies everything that a data directory remembers, and reads it back.
// Nothing stands under the name To until it is whole. engine.ErrConflict: To is
// there. engine.ErrDamaged: what there is to copy is damaged.
func Backup(ctx context.Context, cfg BackupConfig) (*Manifest, error) {
	if _, err := os.Lstat(cfg.To); err == nil {
		return nil, fmt.Errorf("%w: %s is there already", engine.ErrConflict, cfg.To)
	}
	key := cfg.Key
	key.File = cmp.Or(key.File, filepath.Join(cfg.DataDir, "key"))
	part := cfg.To + ".part"
	for try := 1; ; try++ {
		if err := beginBackup(part); err != nil {
			return nil, err
		}
		m, err := backupInto(ctx, cfg, key, part)
		if err == nil {
			err = closeBackup(cfg, m, part)
		}
		if err == nil {
			return m, nil
		}
		if cfg.Node != nil && errors.Is(err, engine.ErrDamaged) && try < backupTries && ctx.Err() == nil {
			continue
		}
		return nil, errors.Join(err, discard(part))
	}
}

// madeHere is a file that says of a folder that a backup was made in it: it goes last.
const madeHere = ".qarion-backup"

// discard deletes a folder that a backup was made in, however far it had come.
func discard(part string) error {
	list, err := os.ReadDir(part)
	for _, e := range list {
		if e.Name() != madeHere {
			err = errors.Join(err, os.RemoveAll(filepath.Join(part, e.Name())))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(part)
}

// beginBackup makes the folder that a backup is made in. One that an earlier backup
// has left, cut off, makes room; anything else of that name is somebody's.
func beginBackup(part string) error {
	if _, err := os.Lstat(filepath.Join(part, madeHere)); err == nil {
		if err := discard(part); err != nil {
			return err
		}
	}
	info, err := os.Lstat(part)
	if err == nil && info.IsDir() {
		err = os.Remove(part) // an empty one is nobody's
		info = nil
	}
	if info != nil || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is there already, and no backup has left it: move it away", engine.ErrConflict, part)
	}
	if err := os.MkdirAll(part, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(part, madeHere), nil, 0o600)
}

// closeBackup gives a backup its name.
func closeBackup(cfg BackupConfig, m *Manifest, part string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(part, ManifestFile), append(text, '\n')); err != nil {
		return err
	}
	if !strings.HasSuffix(cfg.To, ArchiveExt) {
		if err := syncTree(part); err != nil {
			return err
		}
		if err := os.Rename(part, cfg.To); err != nil {
			return err
		}
		return errors.Join(os.Remove(filepath.Join(cfg.To, madeHere)), syncFolder(filepath.Dir(cfg.To)))
	}
	file := filepath.Join(part, "archive")
	if err := pack(part, m, file); err != nil {
		return err
	}
	if err := os.Rename(file, cfg.To); err != nil {
		return err
	}
	return errors.Join(syncFolder(filepath.Dir(cfg.To)), discard(part))
}

// backupInto copies everything into a folder and checks it.
func backupInto(ctx context.Context, cfg BackupConfig, key kvstore.KeyConfig, dir string) (*Manifest, error) {
	m := &Manifest{Format: backupFormat, Version: cfg.Version, MadeAt: engine.FormatTime(time.Now()), Serving: cfg.Node != nil, Tables: cfg.Tables, Files: map[string]BackupFile{}}
	if err := copyTables(ctx, cfg, m, dir); err != nil { // before the ledger, which they follow
		return nil, err
	}
	store := filepath.Join(dir, "nats")
	var err error
	if cfg.Node != nil {
		err = cfg.Node.SnapshotStore(ctx, store)
	} else {
		err = copyTree(filepath.Join(cfg.DataDir, "nats"), store)
	}
	if err != nil {
		return nil, err
	}
	if cfg.WithKey {
		if err := copyKey(key, filepath.Join(dir, "key"), m); err != nil {
			return nil, err
		}
	}
	found, err := CheckUp(ctx, CheckupConfig{DataDir: dir, Key: key})
	if err != nil {
		return nil, err
	}
	if err := damageOf(found); err != nil {
		return nil, err
	}
	m.OpenRuns = found.Open
	for _, s := range found.Streams {
		if s.Name == bus.StreamLedger {
			m.Ledger = s.Last
		}
	}
	if m.Ledger == 0 {
		return nil, fmt.Errorf("%w: there is nothing to back up in %s", engine.ErrNotFound, cfg.DataDir)
	}
	if err := bus.WriteLedgerEnd(store, m.Ledger); err != nil {
		return nil, err
	}
	return m, m.list(dir)
}

// damageOf is what of a checkup says that something is lost.
func damageOf(found *Checkup) error {
	i := slices.IndexFunc(found.Findings, func(f Finding) bool { return f.Severity == Damaged })
	if i < 0 {
		return nil
	}
	f := found.Findings[i]
	return fmt.Errorf("%w: %s: %s", engine.ErrDamaged, f.Part, f.Problem)
}

func copyTables(ctx context.Context, cfg BackupConfig, m *Manifest, dir string) error {
	switch {
	case metadata.IsURL(cfg.Tables):
		m.Tables = "elsewhere"
		return nil
	case cfg.Tables == TablesOff:
		return nil
	}
	m.Tables = TablesSQLite
	err := metadata.CopySQLite(ctx, filepath.Join(cfg.DataDir, metadata.DefaultFile), filepath.Join(dir, metadata.DefaultFile))
	if errors.Is(err, fs.ErrNotExist) {
		m.Tables = TablesOff
		return nil
	}
	return err
}

func copyKey(key kvstore.KeyConfig, to string, m *Manifest) error {
	if key.Text != "" {
		return fmt.Errorf("%w: the key comes from QARION_KEY and is in no file: keep it where it comes from, and leave --with-key out", engine.ErrInvalid)
	}
	data, err := os.ReadFile(key.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was sealed yet
	}
	if err != nil {
		return err
	}
	m.WithKey = true
	return os.WriteFile(to, data, 0o600)
}

// list notes every file of a backup.
func (m *Manifest) list(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == filepath.Join(dir, madeHere) {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, err := describe(path)
		if err != nil {
			return err
		}
		m.Files[filepath.ToSlash(rel)] = f
		m.Bytes += f.Size
		return nil
	})
}

func describe(path string) (out BackupFile, err error) {
	f, err := os.Open(path)
	if err != nil {
		return out, err
	}
	defer f.Close()
	h := sha256.New()
	out.Size, err = io.Copy(h, f)
	out.SHA256 = hex.EncodeToString(h.Sum(nil))
	return out, err
}
