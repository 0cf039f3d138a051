package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/password"
	"github.com/qarion/qarion/node"
)

func (a *app) usersCommand() *cobra.Command {
	c := &cobra.Command{Use: "users", Short: "Who logs in to the pages with a password"}
	c.AddCommand(a.setUserCommand(),
		&cobra.Command{Use: "list", Short: "List the users", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return a.listUsers(c.Context()) }},
		&cobra.Command{Use: "delete NAME", Short: "Take a user away, and end its logins", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return a.deleteUser(c.Context(), args[0]) }})
	return c
}

func (a *app) setUserCommand() *cobra.Command {
	var in node.SetUser
	c := &cobra.Command{
		Use: "set NAME", Short: "Make a user, or change its password and role",
		Long: fmt.Sprintf(`Sets the password and the role of a user, who then logs in at /login with it. The
password is asked for, or read from standard input, and stored as its argon2id
hash; it has at least %d bytes. A change ends all logins of the user.
Roles are those of tokens: viewer, trigger, operator, admin.`, password.Shortest),
		Example: `  qarion users set ann --role operator
  pass show qarion/ann | qarion users set ann --role operator`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in.Name = args[0]
			return a.setUser(c.Context(), in)
		},
	}
	c.Flags().StringVar(&in.Role, "role", "", "viewer, trigger, operator or admin")
	return c
}

func (a *app) setUser(ctx context.Context, in node.SetUser) error {
	if in.Role == "" {
		return usageError(errors.New("which role? --role viewer, trigger, operator or admin"))
	}
	if _, err := engine.ParseUserName(in.Name); err != nil {
		return usageError(errors.New(engine.ErrorLine(err)))
	}
	var err error
	if in.Password, err = a.askPassword(); err != nil {
		return err
	}
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	var out engine.User
	if err := s.Admin(ctx, "user.set", in, &out); err != nil {
		return refused(err)
	}
	if a.json() {
		return a.printJSON(out)
	}
	fmt.Fprintf(a.ui.out, "set: %s (%s); it logs in at /login\n", out.Name, out.Role)
	return nil
}

// askPassword reads a new password: twice and without echo on a terminal, else
// the first line of standard input.
func (a *app) askPassword() (string, error) {
	f, ok := a.ui.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		text, err := io.ReadAll(io.LimitReader(a.ui.in, password.Longest+3))
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		line, _, _ := strings.Cut(string(text), "\n")
		line = strings.TrimSuffix(line, "\r")
		if err := password.Check(line); err != nil {
			return "", fmt.Errorf("standard input: %w", err)
		}
		return line, nil
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(a.ui.err, prompt)
		text, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.ui.err)
		return string(text), err
	}
	one, err := ask("password: ")
	if err == nil {
		err = password.Check(one)
	}
	if err != nil {
		return "", err
	}
	again, err := ask("again: ")
	if err == nil && again != one {
		err = errors.New("the two passwords are not the same")
	}
	return one, err
}

func (a *app) listUsers(ctx context.Context) error {
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	var answer struct {
		Users []engine.User `json:"users"`
	}
	if err := s.Admin(ctx, "user.list", nil, &answer); err != nil {
		return refused(err)
	}
	switch {
	case a.json():
		return a.printJSON(answer.Users)
	case a.flags.quiet:
		for _, u := range answer.Users {
			fmt.Fprintln(a.ui.out, u.Name)
		}
		return nil
	case len(answer.Users) == 0:
		fmt.Fprintln(a.ui.err, "no users; make one: qarion users set --help")
		return nil
	}
	t := newTable("USER", "ROLE", "SET")
	for _, u := range answer.Users {
		t.add(u.Name, string(u.Role), a.ui.clock(engine.FormatTime(u.Changed), a.ui.outTerm))
	}
	a.ui.printTable(t)
	return nil
}

func (a *app) deleteUser(ctx context.Context, name string) error {
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Admin(ctx, "user.delete", node.UserRef{Name: name}, nil); err != nil {
		return refused(err)
	}
	fmt.Fprintf(a.ui.out, "deleted: %s\n", name)
	return nil
}
