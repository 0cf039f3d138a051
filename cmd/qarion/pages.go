package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *app) pagesCommand() *cobra.Command {
	var show bool
	c := &cobra.Command{
		Use: "ui", Short: "Open the node's web pages",
		Long:    "Opens the pages of the serving node in the browser; where there is none, or output is not a terminal, their address is printed.",
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
	fmt.Fprintln(a.ui.out, st.HTTP)
	if show || !a.ui.outTerm {
		return nil
	}
	if c := browser(st.HTTP); c != nil && c.Start() == nil {
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
