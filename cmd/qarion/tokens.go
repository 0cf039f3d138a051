package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/node"
)

func (a *app) tokensCommand() *cobra.Command {
	c := &cobra.Command{Use: "tokens", Short: "Tokens that let programs in by HTTP"}
	c.AddCommand(a.createTokenCommand(),
		&cobra.Command{Use: "list", Short: "List the tokens, without their secrets", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return a.listTokens(c.Context()) }},
		&cobra.Command{Use: "delete TOKEN", Short: "End a token at once, by its id", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return a.deleteToken(c.Context(), args[0]) }})
	return c
}

func (a *app) createTokenCommand() *cobra.Command {
	var in node.NewToken
	var ttl string
	c := &cobra.Command{
		Use: "create", Short: "Make a token; it is shown once",
		Long: `Makes a token that a program sends as Authorization: Bearer. Roles:

  viewer    sees flows, runs, values and the log
  trigger   starts runs, of --flow or of all flows, and sees nothing
  operator  both, and cancels, resolves, resets breakers
  admin     everything

The token goes to standard output, and is stored as its hash.`,
		Example: `  qarion tokens create --role viewer --name prometheus --ttl 90d
  qarion tokens create --role trigger --flow orders --name shop -q > token`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.createToken(c.Context(), in, ttl) },
	}
	f := c.Flags()
	f.StringVar(&in.Role, "role", "", "viewer, trigger, operator or admin")
	f.StringSliceVar(&in.Flows, "flow", nil, "a flow that a trigger may start; may be given again")
	f.StringVar(&in.Name, "name", "", "what it is for")
	f.StringVar(&ttl, "ttl", "", "how long it is good, such as 90d or 12h; without it, until it is deleted")
	return c
}

func (a *app) createToken(ctx context.Context, in node.NewToken, ttl string) error {
	if in.Role == "" {
		return usageError(errors.New("which role? --role viewer, trigger, operator or admin"))
	}
	if ttl != "" {
		d, err := days(ttl)
		if err != nil {
			return usageError(fmt.Errorf("--ttl is %q, want a time span such as 90d or 12h", ttl))
		}
		in.TTL = d.Seconds()
	}
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	var out node.TokenMade
	if err := s.Admin(ctx, "token.create", in, &out); err != nil {
		return refused(err)
	}
	if a.json() {
		return a.printJSON(out)
	}
	if !a.flags.quiet {
		fmt.Fprintf(a.ui.err, "token %s (%s), %s; it is shown this once\n", out.ID, tokenRights(&out.Token), tokenEnd(&out.Token, a.ui.errTerm, a.ui))
	}
	fmt.Fprintln(a.ui.out, out.Text)
	return nil
}

// tokenRights says what a token may do: "trigger of orders".
func tokenRights(t *engine.Token) string {
	if len(t.Flows) == 0 {
		return string(t.Role)
	}
	names := make([]string, len(t.Flows))
	for i, f := range t.Flows {
		names[i] = string(f)
	}
	return string(t.Role) + " of " + strings.Join(names, ", ")
}

func tokenEnd(t *engine.Token, term bool, u *ui) string {
	switch {
	case t.Expires.IsZero():
		return "does not expire"
	case time.Now().After(t.Expires):
		return "has expired"
	}
	return "good until " + u.clock(engine.FormatTime(t.Expires), term)
}

func (a *app) listTokens(ctx context.Context) error {
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	var answer struct {
		Tokens []engine.Token `json:"tokens"`
	}
	if err := s.Admin(ctx, "token.list", nil, &answer); err != nil {
		return refused(err)
	}
	switch {
	case a.json():
		return a.printJSON(answer.Tokens)
	case a.flags.quiet:
		for _, t := range answer.Tokens {
			fmt.Fprintln(a.ui.out, t.ID)
		}
		return nil
	case len(answer.Tokens) == 0:
		fmt.Fprintln(a.ui.err, "no tokens; make one: qarion tokens create --help")
		return nil
	}
	t := newTable("TOKEN", "MAY", "NAME", "MADE", "")
	for i := range answer.Tokens {
		one := &answer.Tokens[i]
		t.add(one.ID, tokenRights(one), one.Name, a.ui.clock(engine.FormatTime(one.Created), a.ui.outTerm), tokenEnd(one, a.ui.outTerm, a.ui))
	}
	a.ui.printTable(t)
	return nil
}

func (a *app) deleteToken(ctx context.Context, id string) error {
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Admin(ctx, "token.delete", node.TokenRef{ID: id}, nil); err != nil {
		return refused(err)
	}
	fmt.Fprintf(a.ui.out, "deleted: %s\n", id)
	return nil
}
