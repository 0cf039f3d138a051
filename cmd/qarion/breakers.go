package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/node"
)

func (a *app) breakersCommand() *cobra.Command {
	c := &cobra.Command{Use: "breakers", Short: "The circuit breakers of the hosts"}
	c.AddCommand(
		&cobra.Command{Use: "list", Short: "List the breakers of the serving node", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return a.listBreakers(c.Context()) }},
		&cobra.Command{Use: "reset BREAKER", Short: "Close a breaker: calls to its host go on", Args: cobra.ExactArgs(1),
			Example: "  qarion breakers reset https://api.example.com:443",
			RunE:    func(c *cobra.Command, args []string) error { return a.resetBreaker(c.Context(), args[0]) }})
	return c
}

// breakers asks the serving node for its breakers.
func (s *session) breakers(ctx context.Context) ([]apicall.BreakerStatus, error) {
	var answer struct {
		Breakers []apicall.BreakerStatus `json:"breakers"`
	}
	err := s.Call(ctx, "breaker.list", nil, &answer)
	return answer.Breakers, err
}

func (a *app) listBreakers(ctx context.Context) error {
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	list, err := s.breakers(ctx)
	if err != nil {
		return refused(err)
	}
	switch {
	case a.json():
		if list == nil {
			list = []apicall.BreakerStatus{}
		}
		return a.printJSON(list)
	case len(list) == 0:
		fmt.Fprintln(a.ui.err, "no breakers: no calls were made yet")
		return nil
	}
	t := newTable("BREAKER", "STATE", "FAILURES", "NEXT PROBE").alignRight(2)
	for _, b := range list {
		probe := ""
		if b.State == apicall.BreakerOpen {
			probe = "in " + duration(time.Until(b.Until))
		}
		t.add(b.Key, string(b.State), fmt.Sprint(b.Failures), probe)
	}
	a.ui.printTable(t)
	return nil
}

func (a *app) resetBreaker(ctx context.Context, key string) error {
	s, err := a.needNode()
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Admin(ctx, "breaker.reset", node.BreakerRef{Key: key}, nil); err != nil {
		return refused(err)
	}
	fmt.Fprintf(a.ui.out, "closed: %s\n", key)
	return nil
}
