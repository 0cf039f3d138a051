package bus

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// Lock is the exclusive hold on a data directory. The embedded server does not
// guard its store: two servers on one directory would give out the same
// sequences.
type Lock struct{ file *os.File }

// lockRetry is how often a held lock is tried again.
const lockRetry = 50 * time.Millisecond

// LockConfig is how a data directory is locked.
type LockConfig struct {
	Holder  string        // who takes it, for those who come later: "qarion run"
	Wait    time.Duration // for one that is held
	Waiting func(error)   // is told at once, and once, that it is held; nil for nobody

	Restoring bool // the holder restores a backup
}

// RestoringFile stands in a data directory until a backup was restored into it
// as a whole: nobody else takes its lock.
const RestoringFile = "restoring"

// half says that a restore was cut off.
func half(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, RestoringFile)); err != nil {
		return nil
	}
	return fmt.Errorf("%w: a restore into %s was not finished: restore the backup again", engine.ErrInvalid, dir)
}

// LockDir takes the lock of a data directory, making the directory if need be.
// ErrConflict: another process holds it.
func LockDir(dir string, cfg LockConfig) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	if err := keepFromGit(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	for end := time.Now().Add(cfg.Wait); ; time.Sleep(lockRetry) {
		held, err := tryLock(f)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !held {
			break
		}
		inUse := fmt.Errorf("%w: data directory %s is in use by %s", engine.ErrConflict, dir, holder(f))
		if time.Now().After(end) {
			f.Close()
			return nil, inUse
		}
		if cfg.Waiting != nil {
			cfg.Waiting(inUse)
			cfg.Waiting = nil
		}
	}
	l := &Lock{f}
	if !cfg.Restoring {
		if err := half(dir); err != nil {
			f.Close()
			return nil, err
		}
	}
	if err := l.sign(cfg.Holder); err != nil {
		return nil, err
	}
	return l, nil
}

// HoldDir takes the lock of a data directory that is there, and makes nothing
// in it: one without a lock file needs none. ErrConflict: another process holds
// it. fs.ErrNotExist: there is no such directory.
func HoldDir(dir, who string) (*Lock, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	if err := half(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return &Lock{}, nil
	}
	if err != nil {
		return nil, err
	}
	held, err := tryLock(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if held {
		defer f.Close()
		return nil, fmt.Errorf("%w: data directory %s is in use by %s", engine.ErrConflict, dir, holder(f))
	}
	l := &Lock{f}
	return l, l.sign(who)
}

// sign writes who holds the lock, for those who come later.
func (l *Lock) sign(who string) error {
	err := l.file.Truncate(0)
	if err == nil {
		_, err = l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"+who+"\n"), 0)
	}
	if err != nil {
		l.file.Close()
		return fmt.Errorf("write %s: %w", l.file.Name(), err)
	}
	return nil
}

// keepFromGit makes git leave the directory alone: its key and its credentials
// must not end up in a repository with the flows beside it.
func keepFromGit(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, ".gitignore"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if os.IsExist(err) {
		return nil
	}
	if err == nil {
		_, err = f.WriteString("*\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("write the data directory's .gitignore: %w", err)
	}
	return nil
}

// holder says who has written a lock file: "qarion run (pid 4711)".
func holder(f *os.File) string {
	b := make([]byte, 100)
	n, _ := f.ReadAt(b, 0)
	pid, rest, _ := strings.Cut(string(b[:n]), "\n")
	if _, err := strconv.Atoi(pid); err != nil {
		return "another process"
	}
	name, _, _ := strings.Cut(rest, "\n")
	return cmp.Or(name, "another process") + " (pid " + pid + ")"
}

// Close gives the directory back.
func (l *Lock) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
