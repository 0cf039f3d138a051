package node

import (
	"archive/tar"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
)

// RestoreConfig is how a backup is brought back.
type RestoreConfig struct {
	From    string // a folder or a file that Backup has made
	DataDir string
	Holder  string            // who restores, for those who find the directory in use
	Key     kvstore.KeyConfig // as BackupConfig.Key
	Replace bool              // put what is in the directory aside
	Now     func() time.Time  // default time.Now
}

// Restored is what was brought back.
type Restored struct {
	Manifest *Manifest `json:"backup"`
	OpenRuns int       `json:"open_runs"`
	Aside    string    `json:"aside,omitempty"` // where what was in the directory is now
	NeedsKey string    `json:"needs_key,omitempty"`
}

// restoring is what bus.RestoringFile holds.
type restoring struct {
	Aside string `json:"aside,omitempty"`
	Moved bool   `json:"moved"` // what was there is aside; what is there now is the backup's
}

// Restore brings a backup back into an empty directory. Until it is whole,
// nobody can open the directory; begun anew it goes on. engine.ErrConflict: the
// directory is in use, or not empty. engine.ErrDamaged: the backup is not whole.
func Restore(ctx context.Context, cfg RestoreConfig) (*Restored, error) {
	m, err := ReadManifest(cfg.From)
	if err != nil {
		return nil, err
	}
	marker := filepath.Join(cfg.DataDir, bus.RestoringFile)
	begun, err := begunBefore(marker)
	if err != nil {
		return nil, err
	}
	used, err := entries(cfg.DataDir, m.WithKey)
	if err != nil {
		return nil, err
	}
	if begun == nil && len(used) > 0 && !cfg.Replace {
		return nil, fmt.Errorf("%w: the data directory %s is not empty", engine.ErrConflict, cfg.DataDir)
	}
	lock, err := bus.LockDir(cfg.DataDir, bus.LockConfig{Holder: cfg.Holder, Restoring: true})
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	out := &Restored{Manifest: m}
	if begun == nil {
		begun = new(restoring)
		if len(used) > 0 {
			now := time.Now
			if cfg.Now != nil {
				now = cfg.Now
			}
			begun.Aside = "before-restore-" + now().UTC().Format("20060102T150405Z")
		}
		if err := begun.save(marker); err != nil {
			return nil, err
		}
	}
	if err := begun.clearAway(cfg.DataDir, marker, m.WithKey); err != nil {
		return nil, err
	}
	if err := fetch(ctx, cfg.From, m, cfg.DataDir); err != nil {
		return nil, err
	}
	key := cfg.Key
	key.File = cmp.Or(key.File, filepath.Join(cfg.DataDir, "key"))
	found, err := CheckUp(ctx, CheckupConfig{DataDir: cfg.DataDir, Key: key})
	if err == nil {
		err = damageOf(found)
	}
	if err != nil {
		return nil, err
	}
	out.OpenRuns = found.Open
	for _, f := range found.Findings {
		if f.Part == "key" {
			out.NeedsKey = f.Problem
		}
	}
	if begun.Aside != "" {
		out.Aside = filepath.Join(cfg.DataDir, begun.Aside)
	}
	if err := syncTree(filepath.Join(cfg.DataDir, "nats")); err != nil {
		return nil, err
	}
	return out, errors.Join(os.Remove(marker), syncFolder(cfg.DataDir))
}

// begunBefore is the restore that was cut off here, nil where there was none.
func begunBefore(marker string) (*restoring, error) {
	data, err := os.ReadFile(marker)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := new(restoring)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%w: %s cannot be read: a restore was cut off there; delete it when the directory is as you want it", engine.ErrDamaged, marker)
	}
	return r, nil
}

func (r *restoring) save(marker string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp := marker + ".part"
	if err := writeSynced(tmp, data); err != nil {
		return err
	}
	return errors.Join(os.Rename(tmp, marker), syncFolder(filepath.Dir(marker)))
}

// ours are entries of a data directory that a restore leaves where they are.
func ours(name string) bool {
	return name == "lock" || name == ".gitignore" || strings.HasPrefix(name, bus.RestoringFile) || strings.HasPrefix(name, "before-restore-")
}

// entries are what is in a data directory, but for what every one has, and,
// unless the backup brings one, a key.
func entries(dir string, withKey bool) (names []string, err error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range list {
		key := e.Name() == "key" || e.Name() == "key.new"
		if !ours(e.Name()) && e.Name() != "lost+found" && (!key || withKey) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// clearAway puts aside what was in the directory before, and deletes what an
// earlier restore has left by half.
func (r *restoring) clearAway(dir, marker string, withKey bool) error {
	names, err := entries(dir, withKey)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		switch {
		case r.Moved:
			err = os.RemoveAll(path)
		default:
			if err = os.MkdirAll(filepath.Join(dir, r.Aside), 0o700); err == nil {
				err = os.Rename(path, filepath.Join(dir, r.Aside, name))
			}
		}
		if err != nil {
			return err
		}
	}
	r.Moved = true
	return r.save(marker)
}

// ReadManifest reads what a backup says of itself. engine.ErrInvalid: it is
// none, or not whole.
func ReadManifest(from string) (*Manifest, error) {
	var data []byte
	info, err := os.Stat(from)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		data, err = os.ReadFile(filepath.Join(from, ManifestFile))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s is no whole backup: it has no %s", engine.ErrInvalid, from, ManifestFile)
		}
	} else {
		err = readArchive(from, func(name string, r io.Reader) (bool, error) {
			if name != ManifestFile {
				return false, fmt.Errorf("%w: %s is no backup: it does not begin with %s", engine.ErrInvalid, from, ManifestFile)
			}
			data, err = io.ReadAll(r)
			return false, err
		})
	}
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	if err := json.Unmarshal(data, m); err != nil || len(m.Files) == 0 {
		return nil, fmt.Errorf("%w: %s is no backup: its %s cannot be read", engine.ErrInvalid, from, ManifestFile)
	}
	if m.Format > backupFormat {
		return nil, fmt.Errorf("%w: the backup was made by qarion %s and has format %d; this program reads up to %d: use a newer one", engine.ErrInvalid, m.Version, m.Format, backupFormat)
	}
	for name := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(name)) || ours(name) {
			return nil, fmt.Errorf("%w: the backup names %q", engine.ErrInvalid, name)
		}
	}
	return m, nil
}

// fetch copies the files of a backup and holds each against its checksum.
func fetch(ctx context.Context, from string, m *Manifest, to string) error {
	left := len(m.Files)
	take := func(name string, r io.Reader) (more bool, err error) {
		want, ok := m.Files[name]
		if !ok {
			return true, nil
		}
		path := filepath.Join(to, filepath.FromSlash(name))
		if err := writeFrom(path, io.LimitReader(r, want.Size+1)); err != nil {
			return false, err
		}
		if got, err := describe(path); err != nil || got != want {
			return false, errors.Join(err, fmt.Errorf("%w: %s of the backup is not what was backed up", engine.ErrDamaged, name))
		}
		left--
		return ctx.Err() == nil, ctx.Err()
	}
	if info, err := os.Stat(from); err != nil {
		return err
	} else if !info.IsDir() {
		if err := readArchive(from, take); err != nil {
			return err
		}
	} else {
		for name := range m.Files {
			f, err := os.Open(filepath.Join(from, filepath.FromSlash(name)))
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w: %s of the backup is missing", engine.ErrDamaged, name)
			}
			if err != nil {
				return err
			}
			_, err = take(name, f)
			f.Close()
			if err != nil {
				return err
			}
		}
	}
	if left > 0 {
		return fmt.Errorf("%w: %d files of the backup are missing", engine.ErrDamaged, left)
	}
	return nil
}

// readArchive hands out the files of a backup that is one file, until it is
// told to stop.
func readArchive(path string, take func(name string, r io.Reader) (more bool, err error)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	unzip, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer unzip.Close()
	in := tar.NewReader(unzip)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return cutOff(path, err)
		}
		more, err := take(h.Name, &archived{in, path})
		if err != nil || !more {
			return err
		}
	}
}

// archived reads a file of an archive. What cannot be read was cut off, or
// changed.
type archived struct {
	io.Reader
	path string
}

// Read implements io.Reader.
func (a *archived) Read(buf []byte) (int, error) {
	n, err := a.Reader.Read(buf)
	if err != nil && !errors.Is(err, io.EOF) {
		err = cutOff(a.path, err)
	}
	return n, err
}

func cutOff(path string, err error) error {
	return fmt.Errorf("%w: %s is no whole backup: %w", engine.ErrDamaged, path, err)
}
