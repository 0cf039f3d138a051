package node

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/engine/runtime"
)

// settleFor is how long a folder must be quiet before its changes are read: an
// editor writes a file in more than one step.
const settleFor = 100 * time.Millisecond

// Flows keeps the engine's flows as the files of a folder say.
type Flows struct {
	dir    string
	hooks  string // folder of the modules that they name
	asks   *Hooks // for them
	loader flowfile.Loader
	engine *runtime.Engine
	log    *slog.Logger

	watcher *fsnotify.Watcher // nil where there is no such folder

	changed atomic.Bool // files changed since the last reading began
	absent  atomic.Bool // there is no such folder yet
	reading sync.Mutex  // one reading at a time

	mu   sync.Mutex
	last *flowfile.Dir
}

// open begins to watch the folder and then reads it, in this order, so that no
// change falls between.
func (f *Flows) open(ctx context.Context) error {
	if err := f.watch(); err != nil {
		return err
	}
	return f.load(ctx)
}

// watch begins to watch the folder, if it is there.
func (f *Flows) watch() error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	if err := w.Add(f.dir); err != nil {
		f.absent.Store(true)
		return w.Close()
	}
	f.watcher = w
	f.absent.Store(false)
	if f.hooks != "" {
		_ = w.Add(f.hooks) // it may not be there
	}
	f.watchBelow()
	return nil
}

// maxFolders is how many folders below that of the flows are watched.
const maxFolders = 200

// watchBelow watches the folders below, where files lie that flows name. A folder
// that is watched already stays so.
func (f *Flows) watchBelow() {
	n := 0
	_ = filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || path == f.dir || !d.IsDir():
			return nil
		case strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		}
		if n++; n > maxFolders {
			return fs.SkipAll
		}
		_ = f.watcher.Add(path) // it may be gone
		return nil
	})
}

// lookEvery is how often a folder that is not there yet is looked for.
const lookEvery = time.Second

// await waits until the folder is there and watched, and reads it.
func (f *Flows) await(ctx context.Context, report func(*flowfile.Dir)) {
	for f.watcher == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
		}
		if err := f.watch(); err != nil {
			f.log.Warn("the flow folder cannot be watched", "dir", f.dir, engine.LogErr, err)
		}
		if f.watcher != nil {
			f.reread(ctx, report)
		}
	}
}

// reread reads the folder, and reports what it found.
func (f *Flows) reread(ctx context.Context, report func(*flowfile.Dir)) {
	if err := f.load(ctx); err != nil && ctx.Err() == nil {
		f.log.Warn("the flow folder could not be read", "dir", f.dir, engine.LogErr, err)
		return
	}
	report(f.Found())
}

// load reads the folder: changed flows become new versions, flows whose file
// is gone are removed, and a broken file never replaces a good version.
func (f *Flows) load(ctx context.Context) error {
	f.reading.Lock()
	defer f.reading.Unlock()
	f.changed.Store(false)
	defer f.asks.hold()()
	d, err := f.loader.LoadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		d, err = &flowfile.Dir{}, nil
	}
	if err != nil {
		return err
	}
	have := map[engine.FlowID]bool{}
	for _, flow := range d.Flows {
		have[flow.ID] = true
		changed, err := f.engine.PutFlow(ctx, flow)
		if err != nil {
			return err
		}
		if changed {
			f.log.Debug("flow loaded", engine.LogFlow, flow.ID, "file", flow.File)
		}
	}
	known, err := f.engine.Flows(ctx)
	if err != nil {
		return err
	}
	for _, flow := range known {
		if f.has(flow.File) && !have[flow.FlowID] && d.Broken[flow.File] == 0 {
			if err := f.engine.RemoveFlow(ctx, flow.FlowID); err != nil {
				return err
			}
			f.log.Info("flow removed: its file is gone", engine.LogFlow, flow.FlowID, "file", flow.File)
		}
	}
	f.mu.Lock()
	f.last = d
	f.mu.Unlock()
	return nil
}

// Fresh implements bus.FlowFiles: who asks for a flow right after its file was
// written finds it, before the folder has been quiet for a moment.
func (f *Flows) Fresh(ctx context.Context) {
	if f.absent.Load() {
		if _, err := os.Stat(f.dir); err != nil {
			return
		}
	} else if !f.changed.Load() {
		return
	}
	if err := f.load(ctx); err != nil && ctx.Err() == nil {
		f.log.Warn("the flow folder could not be read", "dir", f.dir, engine.LogErr, err)
	}
}

// LeftOut implements bus.FlowFiles.
func (f *Flows) LeftOut(ctx context.Context, id engine.FlowID) string {
	d := f.Found()
	if len(d.Broken) == 0 {
		return ""
	}
	file, err := f.fileOf(ctx, id)
	if err != nil {
		return ""
	}
	return d.LeftOut(file)
}

// fileOf is the file of a flow, also of one that was never whole: then the file
// of its name.
func (f *Flows) fileOf(ctx context.Context, id engine.FlowID) (string, error) {
	flow, err := f.engine.Flow(ctx, id)
	if err == nil {
		return flow.File, nil
	}
	file := filepath.ToSlash(filepath.Join(f.dir, string(id)+".toml"))
	if _, broken := f.Found().Broken[file]; broken && errors.Is(err, engine.ErrNotFound) {
		return file, nil
	}
	return "", err
}

// Found is what the last reading had to say about the files.
func (f *Flows) Found() *flowfile.Dir {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

func (f *Flows) summary() map[string]any {
	return map[string]any{"dir": f.dir, "loaded": len(f.Found().Flows), "left_out": f.leftOut()}
}

// leftOut lists the files with errors.
func (f *Flows) leftOut() []string {
	broken := []string{}
	for file := range f.Found().Broken {
		broken = append(broken, file)
	}
	slices.Sort(broken)
	return broken
}

func isFolder(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// watched are the endings of files that flows are made of.
var watched = []string{".toml", ".wasm", ".sql"}

// Watch follows the folder until ctx ends. report hears of each reading that
// found something.
func (f *Flows) Watch(ctx context.Context, report func(*flowfile.Dir)) error {
	if f.await(ctx, report); f.watcher == nil {
		return nil
	}
	defer f.watcher.Close()
	quiet := time.NewTimer(time.Hour)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-f.watcher.Events:
			folder := e.Has(fsnotify.Create) && isFolder(e.Name)
			if folder {
				f.watchBelow()
			}
			if folder || slices.Contains(watched, filepath.Ext(e.Name)) {
				f.changed.Store(true)
				quiet.Reset(settleFor)
			}
		case err := <-f.watcher.Errors:
			f.log.Warn("changes of the flow folder may be missed", engine.LogErr, err)
		case <-quiet.C:
			f.reread(ctx, report)
		}
	}
}
