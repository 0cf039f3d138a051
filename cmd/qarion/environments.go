package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/internal/secret"
	"github.com/qarion/qarion/internal/value"
)

// environments are the [environments.<name>.variables] of qarion.toml.
type environments struct {
	values map[string]*engine.Environment
	places map[string]map[string]flowfile.Error // environment, variable -> its place
}

// envFlag gives a command --env.
func (a *app) envFlag(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&a.flags.env, "env", "", "the environment of qarion.toml whose values flows have (QARION_ENV)")
	if err := c.RegisterFlagCompletionFunc("env", a.offered(func(*cobra.Command, []string) []string {
		return slices.Sorted(maps.Keys(a.cfg.environments.values))
	})); err != nil {
		panic(err)
	}
	return c
}

// envName is the environment that was asked for; "" for none.
func (a *app) envName() string { return cmp.Or(a.flags.env, os.Getenv("QARION_ENV")) }

// environment is the one that was asked for; nil for none. One that is not in
// the configuration is an error.
func (a *app) environment() (*engine.Environment, error) {
	name := a.envName()
	if name == "" {
		return nil, nil
	}
	known := a.cfg.environments.values
	if e := known[name]; e != nil {
		return e, nil
	}
	what := "no environment " + value.Quoted(name)
	if a.flags.env == "" {
		what += " (QARION_ENV)"
	}
	if len(known) == 0 {
		return nil, usageError(fmt.Errorf("%s: %s has no [environments.<name>.variables]", what, cmp.Or(a.cfg.path, defaultConfigFile)))
	}
	names := slices.Sorted(maps.Keys(known))
	text := fmt.Sprintf("%s in %s (there are: %s)", what, a.cfg.path, strings.Join(names, ", "))
	if near := engine.Nearest(name, names); near != "" {
		text = strings.TrimSuffix(text, ")") + fmt.Sprintf("; did you mean %q?)", near)
	}
	return nil, usageError(errors.New(text))
}

// loader reads flow files, with the values of the environment that was asked
// for.
func (a *app) loader(types flowfile.Types) (flowfile.Loader, error) {
	env, err := a.environment()
	return flowfile.Loader{Types: types, Environment: env}, err
}

// strays tells of names of the environment that no flow declares. One that is
// nearly a declared one is an error, for then a flow would go on with its own
// default; the others are warnings, told where all flows are known. Where a file
// could not be read nothing is an error.
func (a *app) strays(env *engine.Environment, d *flowfile.Dir, all bool) (found flowfile.Errors) {
	if env == nil || len(d.Flows) == 0 {
		return nil
	}
	for _, s := range env.Strays(d.Flows) {
		e := a.cfg.environments.places[env.Name][s.Name]
		e.Key, e.Width = s.Name, len(s.Name)
		e.Message, e.Suggestion = fmt.Sprintf("environment %s: no flow declares %s", env.Name, value.Quoted(s.Name)), s.Near
		if s.Near != "" && len(d.Broken) == 0 {
			e.Severity = flowfile.SeverityError
		}
		if s.Near != "" || all {
			found = append(found, &e)
		}
	}
	return found
}

// straysOfFile is strays for one flow file: a name may be one of the flows
// beside it.
func (a *app) straysOfFile(env *engine.Environment, loader flowfile.Loader, path string, flow *engine.Flow) (flowfile.Errors, error) {
	if env == nil || flow == nil || len(env.Strays([]*engine.Flow{flow})) == 0 {
		return nil, nil
	}
	d, err := loader.LoadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	d.Flows = append(d.Flows, flow)
	return a.strays(env, d, false), nil
}

// loadFlow reads a flow file with the values of the environment that was asked
// for, and prints what it warns of.
func (a *app) loadFlow(path string, types flowfile.Types) (*engine.Flow, error) {
	loader, err := a.loader(types)
	if err != nil {
		return nil, err
	}
	flow, warnings, err := loader.Load(path)
	if err == nil {
		var strays flowfile.Errors
		strays, err = a.straysOfFile(loader.Environment, loader, path, flow)
		if err = cmp.Or(err, a.refuse(strays)); err != nil {
			flow = nil
		}
	}
	for _, w := range warnings {
		fmt.Fprintln(a.ui.err, w.Error())
	}
	return flow, err
}

// refuse prints warnings, and returns the errors among what was found.
func (a *app) refuse(found flowfile.Errors) error {
	for _, e := range found.Only(flowfile.SeverityWarning) {
		fmt.Fprintln(a.ui.err, e.Error())
	}
	if errs := found.Only(flowfile.SeverityError); len(errs) > 0 {
		return errs
	}
	return nil
}

// environmentLine says which values a flow has of its environment: "environment
// prod: base_url=...".
func environmentLine(f *engine.Flow) string {
	if f.Environment == "" {
		return ""
	}
	var parts []string
	for name, v := range f.Values.All() {
		text := value.Kind(v)
		switch v.(type) {
		case *value.Map, []any: // it may hold anything
		default:
			if data, err := value.JSON(v); err == nil {
				text = string(data)
			}
		}
		if secret.Name(name) {
			text = "***"
		}
		parts = append(parts, name+"="+text)
	}
	return fmt.Sprintf("environment %s: %s", f.Environment, orText(strings.Join(parts, " "), "no values for this flow"))
}
