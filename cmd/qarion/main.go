// Command qarion runs declarative flows of HTTP API calls, durably, on an
// embedded NATS server. This package stands on top of the house: it alone
// knows every other package. serve.go and node.go put the parts together;
// there is one file per command.
package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/internal/jq"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == jq.Argument { // a worker of this program
		os.Exit(jq.Serve(os.Stdin, os.Stdout))
	}
	os.Exit(Main())
}

// Main runs the command line and returns the exit code: 0 done, 1 it was tried
// and failed, 2 wrong usage, 3 nothing to talk to, 4 still going, 130 ended by
// Ctrl-C.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	root := a.root()
	root.SetArgs(os.Args[1:])
	return a.exit(ctx, root.ExecuteContext(ctx))
}

// aliases lets commands be called as those of other programs are.
func aliases(c *cobra.Command) {
	switch c.Name() {
	case "list":
		c.Aliases = []string{"ls"}
	case "delete":
		c.Aliases = []string{"rm"}
	}
	for _, sub := range c.Commands() {
		aliases(sub)
	}
}

// moreFormats annotates a command with what --output can be beside table and
// json.
const moreFormats = "formats"

// root is the table of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "qarion",
		Short: "Durable flows of API calls",
		Long:  "qarion runs flows of HTTP API calls that survive crashes, on an embedded NATS server.",
		Example: `  qarion demo                             # everything at work, in seconds
  qarion run flows/orders.toml            # one flow, in front of you
  qarion serve                            # the node: flows, triggers, workers
  qarion trigger orders --var customer=7 --wait`,
		SilenceErrors: true, SilenceUsage: true, Args: noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(a.ui.out)
	root.SetErr(a.ui.err)
	root.CompletionOptions.HiddenDefaultCmd = false
	f := root.PersistentFlags()
	f.StringVar(&a.flags.config, "config", "", "configuration file (default qarion.toml, where it is there)")
	f.StringVar(&a.flags.dataDir, "data-dir", "", "everything qarion remembers (default .qarion)")
	f.StringVar(&a.flags.server, "server", "", "address of a serving node, such as nats://127.0.0.1:4222")
	f.StringVarP(&a.flags.output, "output", "o", "table", "table or json")
	f.StringVar(&a.flags.jq, "jq", "", "a jq expression for the JSON output")
	f.BoolVarP(&a.flags.quiet, "quiet", "q", false, "ids only, no progress")
	f.StringVar(&a.flags.color, "color", "auto", "auto, always or never")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		a.path = c.CommandPath()
		return usageError(flagError(c, err))
	})
	root.AddCommand(
		a.demoCommand(), a.serveCommand(), a.pagesCommand(), a.runCommand(), a.triggerCommand(), a.signalCommand(), a.schedulesCommand(), a.flowsCommand(), a.runsCommand(),
		a.renderCommand(), a.credentialsCommand(), a.tokensCommand(), a.usersCommand(), a.hooksCommand(), a.xcomCommand(), a.logsCommand(), a.queryCommand(), a.statusCommand(), a.doctorCommand(), a.backupCommand(), a.restoreCommand(), a.breakersCommand(), a.benchCommand(), a.configCommand(), a.versionCommand(),
		a.benchTargetCommand(),
		a.benchEngineCommand(),
	)
	aliases(root)
	a.guardUsage(root)
	a.completions(root)
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		a.path = c.CommandPath()
		return a.start(strings.Fields(c.Annotations[moreFormats])...)
	}
	return root
}

// guardUsage turns wrong arguments, on every command, into usage errors.
func (a *app) guardUsage(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			a.path = c.CommandPath()
			return usageError(argsError(c, args, check(c, args)))
		}
	}
	if c.HasSubCommands() && c.RunE == nil { // it does nothing but name what there is
		c.Args = func(c *cobra.Command, args []string) error {
			a.path = c.CommandPath()
			return usageError(noSuchCommand(c, args))
		}
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	for _, s := range c.Commands() {
		a.guardUsage(s)
	}
}
