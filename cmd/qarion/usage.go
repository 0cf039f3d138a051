package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// flagValues says how the values of flags are written, by the flag's type.
var flagValues = map[string]string{
	"int": "a whole number such as 10", "int64": "a whole number such as 10", "uint64": "a whole number such as 10",
	"bool": "true or false", "duration": "a time span such as 30s", "float64": "a number such as 0.5",
}

// flagError says in plain words what is wrong with a flag.
func flagError(c *cobra.Command, err error) error {
	var wrong *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &wrong):
		want := flagValues[wrong.GetFlag().Value.Type()]
		if want == "" {
			want = wrong.GetFlag().Usage
		}
		return fmt.Errorf("--%s is %s, want %s", wrong.GetFlag().Name, value.Quoted(wrong.GetValue()), want)
	case errors.As(err, &missing) && missing.GetSpecifiedName() == "json" && c.Flags().Lookup("var") != nil:
		return errors.New("--json needs the variables, as in --json '{\"customer\": 7}'; for output as JSON: --output json")
	case errors.As(err, &missing):
		return fmt.Errorf("--%s needs a value: %s", missing.GetFlag().Name, missing.GetFlag().Usage)
	case errors.As(err, &unknown) && len(unknown.GetSpecifiedShortnames()) == 0:
		return unknownFlag(c, unknown.GetSpecifiedName())
	}
	return err
}

func unknownFlag(c *cobra.Command, name string) error {
	if name == "json" {
		return errors.New("unknown flag --json (did you mean --output json?)")
	}
	var known []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	near := engine.Nearest(name, known)
	for _, k := range known { // --id for --credential-id
		if near == "" && strings.HasSuffix(k, "-"+name) {
			near = k
		}
	}
	if near != "" {
		return fmt.Errorf("unknown flag --%s (did you mean --%s?)", name, near)
	}
	return fmt.Errorf("unknown flag --%s", name)
}

// noSuchCommand refuses the arguments of a command that does nothing itself.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, s := range c.Commands() {
		if s.IsAvailableCommand() {
			names = append(names, s.Name())
		}
	}
	if near := engine.Nearest(args[0], names); near != "" {
		return fmt.Errorf("unknown command %s for %q (did you mean %q?)", value.Quoted(args[0]), c.CommandPath(), near)
	}
	return fmt.Errorf("unknown command %s for %q (there are: %s)", value.Quoted(args[0]), c.CommandPath(), strings.Join(names, ", "))
}

// argsError says which arguments a command wants, for cobra's counts.
func argsError(c *cobra.Command, args []string, err error) error {
	var said *cliError
	if err == nil || errors.As(err, &said) || c.HasSubCommands() {
		return err
	}
	want := strings.TrimSuffix(c.UseLine(), " [flags]")
	if names := strings.Fields(want)[len(strings.Fields(c.CommandPath())):]; len(args) < len(names) && !strings.HasPrefix(names[len(args)], "[") {
		return fmt.Errorf("%s is missing: %s", names[len(args)], want)
	} else if len(args) > 0 {
		return fmt.Errorf("%s is too much: %s", value.Quoted(args[len(args)-1]), want)
	}
	return err
}
