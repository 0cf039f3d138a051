package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
	"github.com/qarion/qarion/node"
	"github.com/qarion/qarion/wasmhooks"
)

func (a *app) hooksCommand() *cobra.Command {
	c := &cobra.Command{Use: "hooks", Short: "WebAssembly modules that check and rewrite the bodies of calls"}
	var name string
	push := &cobra.Command{
		Use: "push FILE", Short: "Store a module for every node, under a name", Args: cobra.ExactArgs(1),
		Example: "  qarion hooks push check_order.wasm --name check_order",
		RunE:    func(c *cobra.Command, args []string) error { return a.pushHook(c.Context(), args[0], name) },
	}
	push.Flags().StringVar(&name, "name", "", "how flows name it: { object = NAME } (default the file's name)")
	c.AddCommand(
		&cobra.Command{Use: "list", Short: "List the modules of the folder and those that were pushed", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return a.listHooks(c.Context()) }},
		&cobra.Command{Use: "check FILE", Short: "Load a module as a node does, and say what it is", Args: cobra.ExactArgs(1),
			Example: "  qarion hooks check hooks/check_order.wasm",
			RunE:    func(c *cobra.Command, args []string) error { return a.checkHook(c.Context(), args[0]) }},
		push)
	return c
}

// hookInfo is a module as hooks list and check show it.
type hookInfo struct {
	Name string `json:"name"`
	From string `json:"from"` // file, object
	wasmhooks.Info
	Error  string  `json:"error,omitempty"`
	CallUS float64 `json:"call_us,omitempty"` // of a sample call
}

func (a *app) listHooks(ctx context.Context) error {
	list, err := a.hookFiles(ctx)
	if err != nil {
		return err
	}
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	var pushed struct {
		Hooks []kvstore.NamedModule `json:"hooks"`
	}
	if err := s.Admin(ctx, "hook.list", nil, &pushed); err != nil {
		return refused(err)
	}
	for _, h := range pushed.Hooks {
		list = append(list, hookInfo{Name: h.Name, From: "object", Info: wasmhooks.Info{Hash: h.SHA256, Size: int(h.Size), Exports: h.Exports}})
	}
	if a.json() {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintf(a.ui.err, "no hooks: none in %s, and none was pushed\n", a.cfg.Hooks.Dir)
		return nil
	}
	t := newTable("NAME", "FROM", "SHA256", "SIZE", "DOES").alignRight(3)
	for _, h := range list {
		does := strings.Join(h.Exports, ", ")
		if h.Error != "" {
			does = "cannot be used: " + printable(h.Error)
		}
		t.add(printable(strings.ReplaceAll(h.Name, "\n", "·")), h.From, h.Hash[:min(12, len(h.Hash))], bytesize(int64(h.Size)), does)
	}
	for _, line := range t.lines(a.ui.outTerm, a.ui.width()) {
		fmt.Fprintln(a.ui.out, line)
	}
	return nil
}

// hookFiles looks at the modules in the folder of hooks.
func (a *app) hookFiles(ctx context.Context) ([]hookInfo, error) {
	hooks := node.NewHooks(node.HookConfig{Dir: a.cfg.Hooks.Dir})
	defer hooks.Close()
	list := []hookInfo{}
	err := filepath.WalkDir(a.cfg.Hooks.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".wasm") {
			return err
		}
		rel, _ := filepath.Rel(a.cfg.Hooks.Dir, path)
		h := hookInfo{Name: filepath.ToSlash(rel), From: "file"}
		module, err := hooks.File(ctx, h.Name)
		if err == nil {
			h.Hash, h.Size = wasmhooks.Hash(module), len(module)
			var info wasmhooks.Info
			if info, err = hooks.Check(ctx, module); err == nil {
				h.Info = info
			}
		}
		if err != nil {
			h.Error = err.Error()
		}
		list = append(list, h)
		return nil
	})
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return list, err
}

// sampleCalls is how often a module is asked to see how fast it is.
const sampleCalls = 20

func (a *app) checkHook(ctx context.Context, path string) error {
	h, _, err := a.loadHook(ctx, path)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(h)
	}
	fmt.Fprintf(a.ui.out, "%s: %s\n", h.Name, strings.Join(h.Exports, ", "))
	for _, row := range [][2]string{
		{"interface", "qarion-hook/" + h.Version}, {"sha256", h.Hash}, {"size", bytesize(int64(h.Size))},
		{"memory", bytesize(h.MemoryKiB << 10)}, {"call", fmt.Sprintf("%.1f us, with a body of 2 bytes", h.CallUS)},
	} {
		fmt.Fprintf(a.ui.out, "  %-10s %s\n", row[0], row[1])
	}
	if h.Note != "" {
		fmt.Fprintf(a.ui.err, "qarion: %s\n", h.Note)
	}
	return nil
}

// loadHook loads a module from a file and asks it a few times.
func (a *app) loadHook(ctx context.Context, path string) (*hookInfo, []byte, error) {
	module, err := wasmhooks.ReadFile(path, wasmhooks.Limits{})
	if err != nil {
		return nil, nil, fail(err)
	}
	hooks := node.NewHooks(node.HookConfig{Dir: a.cfg.Hooks.Dir})
	defer hooks.Close()
	info, err := hooks.Check(ctx, module)
	if err != nil {
		return nil, nil, fail(fmt.Errorf("%s: %w", path, err), "what a module must have: docs/hooks.md")
	}
	h := &hookInfo{Name: path, From: "file", Info: info}
	best := time.Hour
	for range sampleCalls {
		best = min(best, hooks.Sample(ctx, info))
	}
	h.CallUS = float64(best.Nanoseconds()) / 1000
	return h, module, nil
}

func (a *app) pushHook(ctx context.Context, path, name string) error {
	in := node.HookPush{Name: name}
	if name == "" {
		in.Name = strings.TrimSuffix(filepath.Base(path), ".wasm")
	}
	if err := in.Check(); err != nil {
		return usageError(fmt.Errorf("--name: %s", strings.TrimPrefix(err.Error(), engine.ErrInvalid.Error()+": ")))
	}
	h, module, err := a.loadHook(ctx, path)
	if err != nil {
		return err
	}
	in.SHA256 = h.Hash
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Admin(ctx, "hook.list", nil, nil); err != nil { // the object store is there afterwards
		return refused(err)
	}
	modules, err := kvstore.OpenModules(ctx, s.Conn())
	if err != nil {
		return err
	}
	if err := modules.Keep(ctx, h.Hash, module); err != nil {
		return err
	}
	if err := s.Admin(ctx, "hook.push", in, nil); err != nil {
		return refused(err)
	}
	if a.json() {
		return a.printJSON(in)
	}
	fmt.Fprintf(a.ui.out, "pushed: %s (%s)\n", in.Name, h.Hash[:12])
	return nil
}
