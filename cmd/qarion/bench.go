package main

import "github.com/spf13/cobra"

func (a *app) benchCommand() *cobra.Command { return &cobra.Command{Use: "bench"} }
func (a *app) benchTargetCommand() *cobra.Command {
	return &cobra.Command{Use: "bench-target", Hidden: true}
}
