package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
)

func (a *app) xcomCommand() *cobra.Command {
	c := &cobra.Command{Use: "xcom", Short: "Values that tasks left for others"}
	c.AddCommand(&cobra.Command{
		Use: "get RUN TASK", Short: "Print the value that a task left, as JSON", Args: cobra.ExactArgs(2),
		Example: "  qarion xcom get last fetch_cart\n  qarion xcom get last fetch_cart --jq .items[0].sku",
		RunE:    func(c *cobra.Command, args []string) error { return a.xcomGet(c.Context(), args[0], args[1]) },
	})
	return c
}

func (a *app) xcomGet(ctx context.Context, ref, task string) error {
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	id, err := s.FindRun(ctx, ref)
	if err != nil {
		return refused2(err)
	}
	var v json.RawMessage
	if err := s.Call(ctx, "xcom.get", bus.XComRef{Run: string(id), Task: task}, &v); err != nil {
		return refused(err)
	}
	if a.flags.jq != "" {
		return a.printJSON(v)
	}
	_, err = fmt.Fprintf(a.ui.out, "%s\n", v)
	return err
}
