package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/kvstore"
	"github.com/qarion/qarion/node"
)

func (a *app) credentialsCommand() *cobra.Command {
	c := &cobra.Command{Use: "credentials", Short: "Secrets for calls, sealed"}
	c.AddCommand(a.storeCredentialCommand(),
		&cobra.Command{Use: "list", Short: "List the credentials, without their secrets", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return a.listCredentials(c.Context()) }},
		&cobra.Command{Use: "show CREDENTIAL", Short: "Show one credential, secrets as ***", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return a.showCredential(c.Context(), args[0]) }},
		&cobra.Command{Use: "delete CREDENTIAL", Short: "Delete a credential and the token fetched with it", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return a.deleteCredential(c.Context(), args[0]) }},
		&cobra.Command{Use: "rekey", Short: "Make a new key and seal everything again with it", Args: cobra.NoArgs,
			Long: "Makes a new key and seals all credentials and tokens again with it. It may be cut off at any moment:\nuntil all is done both keys are kept, and the next rekey goes on.\nWhere the key comes from QARION_KEY, give the one that follows in QARION_NEW_KEY.",
			RunE: func(c *cobra.Command, _ []string) error { return a.rekey(c.Context()) }})
	return c
}

func (a *app) storeCredentialCommand() *cobra.Command {
	var in node.CredentialInput
	var text, file string
	c := &cobra.Command{
		Use: "store", Short: "Store a credential, in place of the one of that id",
		Long: `Stores a credential. Types and their fields (* required):

  basic_auth  username*, password*                                  auth_type = "basic", "digest"
  oauth       client_id*, client_secret*, token_url*, scope,        auth_type = "oauth2"
              audience, grant_type, refresh_token, auth_style, extra,
              username, password, private_key, certificate, key_id,
              issuer, subject, claims, assertion_audience,
              assertion_life, signing_alg, scheme, token_path
  api_key     api_key*, header_name (X-API-Key) or query_param      auth_type = "api_key"
  aws         access_key_id*, secret_access_key*, session_token,    auth_type = "aws_sigv4"
              region, service
  custom      token*, prefix (Bearer), and fields of your own       auth_type = "bearer"

Without --json and --json-file a terminal is asked for what is needed, field by
field, and for the names of the files that hold keys and certificates.`,
		Example: `  qarion credentials store --credential-id shop --type basic_auth --json '{"username": "ann", "password": "..."}'
  qarion credentials store --credential-id shop --type api_key --json-file key.json
  pass show shop | qarion credentials store --credential-id shop --type custom --json -`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.storeCredential(c.Context(), in, text, file, c.Flags().Changed("json"))
		},
	}
	f := c.Flags()
	f.StringVar(&in.ID, "credential-id", "", "how flows name it (credential_id)")
	f.StringVar(&in.Type, "type", "", strings.Join(engine.CredentialTypeNames(), ", "))
	f.StringVar(&text, "json", "", "the fields as JSON; - reads standard input")
	f.StringVar(&file, "json-file", "", "a file with the fields as JSON")
	c.MarkFlagsMutuallyExclusive("json", "json-file")
	return c
}

func (a *app) storeCredential(ctx context.Context, in node.CredentialInput, text, file string, onLine bool) error {
	if in.ID == "" {
		return usageError(errors.New("which credential? --credential-id ID"))
	}
	in.Type = engine.CredentialTypeOf(in.Type)
	data, err := a.credentialFields(&in, text, file, onLine)
	if err != nil {
		return err
	}
	in.Data = data
	if err := (engine.Credential{ID: in.ID, Type: in.Type, Data: in.Data}).Check(); err != nil {
		return fail(err)
	}
	if onLine && text != "-" {
		a.ui.problem("warning", errors.New("the secret is now in the shell's history and was in the process list; next time: --json - or --json-file"))
	}
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	var out node.CredentialStored
	if err := s.Admin(ctx, "credential.store", in, &out); err != nil {
		return refused(err)
	}
	if out.KeyMade != "" {
		fmt.Fprintf(a.ui.err, "key: %s made for credentials, 0600; keep a copy, it cannot be recovered\n", out.KeyMade)
	}
	if a.json() {
		return a.printJSON(out)
	}
	note := ""
	if out.Replaced {
		note = ", in place of the one that was there"
	}
	fmt.Fprintf(a.ui.out, "stored: %s (%s)%s\n", out.ID, out.Type, note)
	return nil
}

// credentialFields reads the fields from where the flags say, or asks.
func (a *app) credentialFields(in *node.CredentialInput, text, file string, onLine bool) (*value.Map, error) {
	if !onLine && file == "" {
		return a.askCredential(in)
	}
	if in.Type == "" {
		return nil, usageError(fmt.Errorf("which type? --type %s", strings.Join(engine.CredentialTypeNames(), "|")))
	}
	source, data, err := "--json", []byte(text), error(nil)
	switch {
	case file != "":
		source = file
		data, err = os.ReadFile(file)
	case text == "-":
		source = "standard input"
		data, err = io.ReadAll(io.LimitReader(a.ui.in, 2*engine.MaxCredential))
	}
	if err != nil {
		return nil, err
	}
	v, err := value.ParseJSON(data)
	if err != nil {
		return nil, fail(fmt.Errorf("%s: malformed JSON%s", source, jsonPlace(data, err)), `want an object such as {"username": "ann", "password": "..."}`)
	}
	m, ok := v.(*value.Map)
	if !ok {
		return nil, fail(fmt.Errorf("%s: the JSON is a %s, want an object such as {\"api_key\": \"...\"}", source, value.TypeName(v)))
	}
	return m, nil
}

// jsonPlace says where the text stops being JSON, without quoting it.
func jsonPlace(data []byte, err error) string {
	var syntax *value.SyntaxError
	if !errors.As(err, &syntax) || syntax.What == "" {
		return ": it ends too early"
	}
	before := string(data[:min(syntax.Offset, len(data))])
	line := strings.Count(before, "\n") + 1
	column := len([]rune(before[strings.LastIndex(before, "\n")+1:])) + 1
	return fmt.Sprintf(" near line %d, column %d", line, column)
}

// credentials asks a node for what it has stored.
func (s *session) credentials(ctx context.Context) ([]kvstore.CredentialInfo, error) {
	var answer struct {
		Credentials []kvstore.CredentialInfo `json:"credentials"`
	}
	err := s.Admin(ctx, "credential.list", nil, &answer)
	return answer.Credentials, err
}

func (a *app) listCredentials(ctx context.Context) error {
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	list, err := s.credentials(ctx)
	if err != nil {
		return refused(err)
	}
	switch {
	case a.json():
		return a.printJSON(list)
	case a.flags.quiet:
		for _, c := range list {
			fmt.Fprintln(a.ui.out, c.ID)
		}
		return nil
	case len(list) == 0:
		fmt.Fprintln(a.ui.err, "no credentials; store one: qarion credentials store --help")
		return nil
	}
	t := newTable("CREDENTIAL", "TYPE", "STORED", "PROBLEM")
	for _, c := range list {
		t.add(c.ID, c.Type, a.ui.clock(c.StoredAt, a.ui.outTerm), c.Error)
	}
	a.ui.printTable(t)
	return nil
}

func (a *app) showCredential(ctx context.Context, id string) error {
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	var info kvstore.CredentialInfo
	if err := s.Admin(ctx, "credential.show", node.CredentialInput{ID: id}, &info); err != nil {
		return refused(err)
	}
	if a.json() {
		return a.printJSON(info)
	}
	fmt.Fprintf(a.ui.out, "%s (%s), stored %s\n", info.ID, info.Type, a.ui.clock(info.StoredAt, a.ui.outTerm))
	for name, v := range info.Data.All() {
		fmt.Fprintf(a.ui.out, "  %s: %v\n", name, v)
	}
	if info.Error != "" {
		return fail(fmt.Errorf("credential %s: %s", info.ID, info.Error))
	}
	return nil
}

func (a *app) deleteCredential(ctx context.Context, id string) error {
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Admin(ctx, "credential.delete", node.CredentialInput{ID: id}, nil); err != nil {
		return refused(err)
	}
	fmt.Fprintf(a.ui.out, "deleted: %s\n", id)
	return nil
}

func (a *app) rekey(ctx context.Context) error {
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	var out node.Rekeyed
	if err := s.Admin(ctx, "credential.rekey", nil, &out); err != nil {
		return refused(err)
	}
	if a.json() {
		return a.printJSON(out)
	}
	fmt.Fprintf(a.ui.out, "%s sealed with a new key; keep a copy of it\n", plural(out.Sealed, "record"))
	if out.Failed > 0 {
		return fail(fmt.Errorf("%s could not be opened and stayed as before", plural(out.Failed, "record")), "see which: qarion credentials list")
	}
	return nil
}
