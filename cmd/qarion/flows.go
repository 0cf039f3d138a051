package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/node"
	"github.com/qarion/qarion/transform"
)

// taskTypes are the task types for looking at flows, without a node. done frees
// them.
func (a *app) taskTypes() (types flowfile.Types, done func(), err error) {
	return a.openTypes(apicall.Config{})
}

// openTypes is taskTypes with what calls work with.
func (a *app) openTypes(calls apicall.Config) (types flowfile.Types, done func(), err error) {
	if calls.Limits, err = a.cfg.limits(); err != nil {
		return nil, nil, err
	}
	hooks := node.NewHooks(node.HookConfig{Dir: a.cfg.Hooks.Dir})
	calls.Hooks = hooks
	open, err := node.OpenTypes(node.TypeConfig{Calls: calls, SQL: transform.Config{Databases: a.cfg.databases()}})
	if err != nil {
		hooks.Close()
		return nil, nil, err
	}
	return open.ByName(), func() { open.Close(); hooks.Close() }, nil
}

func (a *app) flowsCommand() *cobra.Command {
	c := &cobra.Command{Use: "flows", Short: "List, show, draw and check flows"}
	var strict, brief bool
	validate := &cobra.Command{
		Use: "validate [PATH...]", Short: "Check flow files without a server",
		Long: "Checks files and folders (default: the flow folder) as serve does, and prints every error with its place.",
		Example: `  qarion flows validate
  qarion flows validate flows/orders.toml --strict`,
		RunE: func(c *cobra.Command, args []string) error { return a.validate(c.Context(), args, strict, brief) },
	}
	validate.Flags().BoolVar(&strict, "strict", false, "warnings are errors")
	validate.Flags().BoolVar(&brief, "brief", false, "one line per problem")
	c.AddCommand(
		&cobra.Command{Use: "list", Short: "List the flows", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return a.listFlows(c.Context()) }},
		&cobra.Command{Use: "show FLOW", Short: "Show one flow and its tasks", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return a.showFlow(c.Context(), args[0]) }},
		a.graphCommand(), a.envFlag(validate), a.newFlowCommand(),
	)
	return c
}

func (a *app) validate(ctx context.Context, paths []string, strict, brief bool) error {
	types, done, err := a.taskTypes()
	if err != nil {
		return err
	}
	defer done()
	if len(paths) == 0 {
		paths = []string{a.cfg.Flows.Dir}
	}
	loader, err := a.loader(types)
	if err != nil {
		return err
	}
	all := &flowfile.Dir{}
	for _, path := range paths {
		d, strays, err := a.checked(path, loader)
		if err != nil {
			return err
		}
		addNew(all, strays)
		all.Files += d.Files
		all.Tasks += d.Tasks
		all.Found = append(all.Found, d.Found...)
		all.Credentials = append(all.Credentials, d.Credentials...)
	}
	if loader.Environment == nil { // none was asked for: each is held against the flows
		for _, name := range slices.Sorted(maps.Keys(a.cfg.environments.values)) {
			loader.Environment = a.cfg.environments.values[name]
			for _, path := range paths {
				d, strays, err := a.checked(path, loader)
				if err != nil {
					return err
				}
				addNew(all, strays)
				addNew(all, d.Found)
			}
		}
	}
	missing, err := a.unstored(ctx, all.Credentials)
	if err != nil {
		return err
	}
	return a.reportFound(all, missing, strict, brief)
}

// addNew adds what was not found before.
func addNew(all *flowfile.Dir, found flowfile.Errors) {
	for _, e := range found {
		if !slices.ContainsFunc(all.Found, func(o *flowfile.Error) bool { return *o == *e }) {
			all.Found = append(all.Found, e)
		}
	}
}

// checked reads a file, or the files of a folder, and holds the environment
// against them.
func (a *app) checked(path string, loader flowfile.Loader) (*flowfile.Dir, flowfile.Errors, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		d, err := loader.LoadDir(path)
		if err != nil {
			return nil, nil, err
		}
		return d, a.strays(loader.Environment, d, true), nil
	}
	f, err := loader.Read(path)
	if err != nil {
		return nil, nil, err
	}
	strays, err := a.straysOfFile(loader.Environment, loader, path, f.Flow)
	return &flowfile.Dir{Files: 1, Tasks: f.Tasks, Found: f.Found, Credentials: f.Credentials}, strays, err
}

func (a *app) reportFound(all *flowfile.Dir, missing flowfile.Errors, strict, brief bool) error {
	found, files, tasks := append(all.Found, missing...), all.Files, all.Tasks
	found.Sort()
	inFile := map[string]bool{}
	for _, e := range found {
		inFile[e.File] = true
	}
	touched := len(inFile)
	if a.cfg.path != "" && inFile[a.cfg.path] { // of the environment
		files++
	}
	errs, warns := len(found.Only(flowfile.SeverityError)), len(found.Only(flowfile.SeverityWarning))
	if a.json() {
		if found == nil {
			found = flowfile.Errors{}
		}
		if err := a.printJSON(found); err != nil {
			return err
		}
	} else {
		w := bufio.NewWriter(a.ui.out)
		for _, e := range found {
			fmt.Fprintln(w, e.Error())
			if a.ui.outTerm && !brief && e.Source != "" && len(e.Source) < 200 {
				fmt.Fprintf(w, "%5d | %s\n", e.Line, strings.ReplaceAll(e.Source, "\t", " "))
				fmt.Fprintf(w, "      | %s%s\n", strings.Repeat(" ", max(0, e.Column-1)), strings.Repeat("^", max(1, e.Width)))
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if errs == 0 && warns == 0 {
		if !a.json() {
			fmt.Fprintf(a.ui.out, "%s, %s: no errors\n", plural(files, "file"), plural(tasks, "task"))
		}
		return nil
	}
	summary := fmt.Errorf("%s, %s in %d of %s (%d fine)", plural(errs, "error"), plural(warns, "warning"), touched, plural(files, "file"), files-touched)
	if errs > 0 || strict {
		return fail(summary)
	}
	if !a.json() {
		a.ui.problem("warning", summary)
	}
	return nil
}

// offlineFlows reads the flow folder when no node serves.
func (a *app) offlineFlows() ([]*engine.Flow, error) {
	types, done, err := a.taskTypes()
	if err != nil {
		return nil, err
	}
	defer done()
	loader, err := a.loader(types)
	if err != nil {
		return nil, err
	}
	d, err := loader.LoadDir(a.cfg.Flows.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range d.Found {
		fmt.Fprintln(a.ui.err, e.Error())
	}
	return d.Flows, nil
}

func (a *app) listFlows(ctx context.Context) error {
	c, found, err := a.connect()
	if err != nil {
		return err
	}
	answer := struct {
		Flows []engine.FlowInfo `json:"flows"`
	}{Flows: []engine.FlowInfo{}}
	if found {
		defer c.Close()
		if err := c.Call(ctx, "flow.list", nil, &answer); err != nil {
			return refused(err)
		}
		defer a.tellLeftOut(ctx, c)
	} else {
		flows, err := a.offlineFlows()
		if err != nil {
			return err
		}
		for _, f := range flows {
			_, hash, err := f.Encode()
			if err != nil {
				return err
			}
			answer.Flows = append(answer.Flows, engine.FlowInfo{FlowID: f.ID, Name: f.Name, Description: f.Description, Version: hash, File: f.File, Tasks: len(f.Tasks), Triggers: f.Triggers})
		}
	}
	return a.printFlows(answer.Flows)
}

// tellLeftOut warns of the flow files that the node leaves out: they are not in
// the list, or with the version before.
func (a *app) tellLeftOut(ctx context.Context, c *bus.Client) {
	var p node.FlowProblems
	if a.flags.quiet || c.Call(ctx, "flow.problems", bus.FlowRef{}, &p) != nil {
		return // a node without files has none
	}
	d := flowfile.Dir{Found: p.Problems, Broken: map[string]int{}}
	for _, e := range p.Problems.Only(flowfile.SeverityError) {
		d.Broken[e.File]++
	}
	for _, file := range p.LeftOut {
		a.ui.problem("warning", errors.New(d.LeftOut(file)))
	}
}

func (a *app) printFlows(list []engine.FlowInfo) error {
	switch {
	case a.json():
		return a.printJSON(list)
	case a.flags.quiet:
		for _, f := range list {
			fmt.Fprintln(a.ui.out, f.FlowID)
		}
		return nil
	case len(list) == 0:
		fmt.Fprintf(a.ui.err, "no flows in %s/\n", a.cfg.Flows.Dir)
		return nil
	}
	t := newTable("FLOW", "TASKS", "RUNNING", "FILE", "DESCRIPTION").alignRight(1, 2)
	for _, f := range list {
		t.add(string(f.FlowID), fmt.Sprint(f.Tasks), fmt.Sprint(f.Running), f.File, f.Description)
	}
	a.ui.printTable(t)
	return nil
}

func (a *app) showFlow(ctx context.Context, id string) error {
	c, found, err := a.connect()
	if err != nil {
		return err
	}
	f := new(engine.Flow)
	if found {
		defer c.Close()
		if err := c.Call(ctx, "flow.get", map[string]string{"flow": id}, f); err != nil {
			return refused(err)
		}
	} else {
		flows, err := a.offlineFlows()
		if err != nil {
			return err
		}
		var names []string
		f = nil
		for _, flow := range flows {
			names = append(names, string(flow.ID))
			if string(flow.ID) == id {
				f = flow
			}
		}
		if f == nil {
			if near := engine.Nearest(id, names); near != "" {
				return fail(fmt.Errorf("no flow %q (did you mean %q?)", id, near))
			}
			return fail(fmt.Errorf("no flow %q in %s/", id, a.cfg.Flows.Dir))
		}
	}
	if a.json() {
		return a.printJSON(f)
	}
	fmt.Fprintf(a.ui.out, "%s: %s  %s\n", f.ID, plural(len(f.Tasks), "task"), f.File)
	if f.Description != "" {
		fmt.Fprintln(a.ui.out, f.Description)
	}
	fmt.Fprintln(a.ui.out)
	t := newTable("TASK", "CALL", "AFTER", "TRIES", "URL").alignRight(3)
	for i := range f.Tasks {
		task := &f.Tasks[i]
		var after []string
		for _, d := range task.Dependencies {
			after = append(after, string(d))
		}
		t.add(string(task.ID), strings.ToUpper(task.Subtype), strings.Join(after, ", "), fmt.Sprint(max(1, task.MaxAttempts)), task.TalksTo())
	}
	a.ui.printTable(t)
	return nil
}
