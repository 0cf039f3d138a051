package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version can be set at link time: -ldflags "-X main.version=1.2.3".
var version = ""

// programVersion is the version set at link time, or what the build knows.
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "0.1.0-dev"
}

// natsVersion is the version of the embedded server's module.
func natsVersion() string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/nats-io/nats-server/v2" {
				return d.Version
			}
		}
	}
	return "unknown"
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json() {
				return a.printJSON(map[string]string{"version": programVersion(), "go": runtime.Version(), "nats_server": natsVersion()})
			}
			_, err := fmt.Fprintf(a.ui.out, "qarion %s · %s · nats-server %s\n", programVersion(), runtime.Version(), natsVersion())
			return err
		},
	}
}
