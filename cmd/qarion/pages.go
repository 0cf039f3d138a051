package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/node"
)

func (a *app) pagesCommand() *cobra.Command {
	var show bool
	c := &cobra.Command{
		Use: "ui", Short: "Open the node's web pages, logged in",
		Long: `Opens the pages of the serving node in the browser, with a login that may do
everything. The address is printed too; with a code in it that lets one browser
in, once, within a minute. Where there is no browser, or output is not a
terminal, it is only printed.`,
		Example: "  qarion ui\n  qarion ui --print",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.openPages(c.Context(), show) },
	}
	c.Flags().BoolVar(&show, "print", false, "only print the address")
	return c
}

func (a *app) openPages(ctx context.Context, show bool) error {
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	var st struct {
		HTTP string `json:"http"`
	}
	if err := s.Call(ctx, "node.status", nil, &st); err != nil {
		return err
	}
	if st.HTTP == "" {
		return nobody(errors.New("the node has no HTTP address"), "give it one: [http] listen, or qarion serve --http")
	}
	url := st.HTTP
	var code node.LoginCode
	switch err := s.Admin(ctx, "login.code", nil, &code); {
	case err == nil:
		url += "/login#" + code.Code
	case errors.Is(err, engine.ErrDenied): // of a node that was named, not of the data directory
		a.ui.problem("note", errors.New("without a login: a node gives that to who reads its data directory; a token logs in too: qarion tokens create"))
	default:
		return err
	}
	fmt.Fprintln(a.ui.out, url)
	if show || !a.ui.outTerm {
		return nil
	}
	if c := browser(url); c != nil && c.Start() == nil {
		go func() { _ = c.Wait() }()
	}
	return nil
}

// browser is the command that shows an address to the person who sits at this
// machine; nil where nobody seems to.
func browser(url string) *exec.Cmd {
	switch runtime.GOOS {
	case "darwin":
		return exec.Command("open", url)
	case "windows":
		return exec.Command("rundll32", "url.dll,FileProtocolHandler", url)
	}
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return nil
	}
	return exec.Command("xdg-open", url)
}
