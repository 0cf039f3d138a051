package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/internal/curl"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/node"
)

// starter is the flow that somebody begins with.
const starter = `# %[1]s: one call, and another that uses its answer.
# qarion flows validate, qarion render %[1]s, qarion run %[2]s
[variables]
base = "https://api.example.com"

[[tasks]]
id = "get_user"
type = "api_call"
[tasks.properties]
url = "{{ base }}/users/1"
retry_count = 2

[[tasks]]
id = "send_report"
type = "api_call"
[tasks.properties]
url = "{{ base }}/reports"
operation = "post"
idempotency_key = true                    # sent once, whatever happens
body = { user = "{{ xcom_get_user.id }}" }  # what get_user has answered
`

type newFlow struct {
	curl  string
	store bool
	force bool
}

func (a *app) newFlowCommand() *cobra.Command {
	var n newFlow
	c := &cobra.Command{
		Use: "new NAME", Short: "Write a flow to begin with, or one that makes the request of a curl command",
		Long: `Writes NAME.toml into the folder of flows. With --curl, its task makes the request of a curl command, as browsers copy it and as
the manuals of APIs show it. Passwords, tokens, keys and cookies do not go into the file: they are fields of a credential, which --store stores
at once. What cannot be carried over is said.`,
		Example: `  qarion flows new orders
  qarion flows new orders --curl 'curl -u ann:secret https://api.example.com/orders'
  pbpaste | qarion flows new orders --curl - --store`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.newFlow(c, args[0], &n) },
	}
	c.Flags().StringVar(&n.curl, "curl", "", "a curl command; - reads it from standard input")
	c.Flags().BoolVar(&n.store, "store", false, "with --curl: store the secrets of the command as credentials")
	c.Flags().BoolVar(&n.force, "force", false, "replace a file that is there")
	return c
}

func (a *app) newFlow(c *cobra.Command, name string, n *newFlow) error {
	id, err := engine.ParseFlowID(strings.TrimSuffix(name, ".toml"))
	if err != nil {
		return usageError(errors.New(strings.TrimPrefix(err.Error(), engine.ErrInvalid.Error()+": ")))
	}
	path := filepath.Join(a.cfg.Flows.Dir, string(id)+".toml")
	if _, err := os.Stat(path); err == nil && !n.force {
		return fail(fmt.Errorf("%s is there already", path), "choose another name, or replace it: --force")
	}
	text, made := fmt.Sprintf(starter, id, path), &fromCurl{}
	if c.Flags().Changed("curl") {
		if made, err = a.fromCurl(string(id), n.curl); err != nil {
			return fail(fmt.Errorf("--curl: %w", err))
		}
		text = made.text
	}
	if err := a.checkText(path, text); err != nil {
		return fail(fmt.Errorf("--curl: the request cannot be written as a flow: %w", err))
	}
	if err := os.MkdirAll(a.cfg.Flows.Dir, 0o755); err != nil {
		return fail(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fail(err)
	}
	fmt.Fprintln(a.ui.out, path)
	for _, l := range made.left {
		a.ui.problem("warning", fmt.Errorf("left out: %s: %s", l.Option, l.Why))
	}
	return a.keepSecrets(c, made, n.store)
}

// checkText holds a flow against the rules before it is written.
func (a *app) checkText(path, text string) error {
	types, done, err := a.taskTypes()
	if err != nil {
		return err
	}
	defer done()
	_, _, err = flowfile.Parse(path, []byte(text), types)
	return err
}

func (a *app) fromCurl(name, line string) (*fromCurl, error) {
	if line == "-" {
		data, err := io.ReadAll(io.LimitReader(a.ui.in, 2<<20))
		if err != nil {
			return nil, err
		}
		line = string(data)
	}
	r, err := curl.Parse(line, ".")
	if err != nil {
		return nil, err
	}
	return translate(name, r)
}

// keepSecrets stores what went into credentials, or says how to.
func (a *app) keepSecrets(c *cobra.Command, made *fromCurl, store bool) error {
	for _, cred := range made.credentials {
		unknown := cred.unknown()
		if !store || len(unknown) > 0 {
			shown := value.NewMap(cred.data.Len())
			for k, v := range cred.data.All() {
				if !cred.open(k) {
					v = "..."
				}
				shown.Set(k, v)
			}
			text, err := value.JSON(shown)
			if err != nil {
				return err
			}
			a.ui.hint(fmt.Sprintf("store its secrets: qarion credentials store --credential-id %s --type %s --json '%s'", cred.id, cred.kind, strings.ReplaceAll(string(text), "'", `'\''`)))
			continue
		}
		s, err := a.anyNode(c.Context())
		if err != nil {
			return err
		}
		err = s.Admin(c.Context(), "credential.store", node.CredentialInput{ID: cred.id, Type: cred.kind, Data: cred.data}, nil)
		s.Close()
		if err != nil {
			return refused(err)
		}
		fmt.Fprintf(a.ui.err, "stored: %s (%s)\n", cred.id, cred.kind)
	}
	return nil
}
