package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/node"
)

// completer offers words to the shell, behind the arguments that are there. A
// description may follow a word, behind a tab.
type completer func(c *cobra.Command, args []string) []string

// completions says what the shell offers for arguments and flags.
func (a *app) completions(root *cobra.Command) {
	files := func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return []string{"toml"}, cobra.ShellCompDirectiveFilterFileExt
	}
	for path, offer := range map[string]completer{
		"flows show": first(a.flowIDs), "flows graph": first(a.flowIDs), "trigger": first(a.flowIDs), "render": first(a.flowIDs),
		"runs show": first(a.runIDs), "runs watch": first(a.runIDs), "runs cancel": first(a.runIDs), "runs rerun": first(a.runIDs),
		"runs resolve": a.runAndTask, "runs approve": a.runAndTask, "runs reject": a.runAndTask, "signal": first(a.runIDs), "schedules next": first(a.flowIDs), "schedules pause": first(a.flowIDs), "schedules resume": first(a.flowIDs), "xcom get": a.runAndTask, "xcom list": first(a.runIDs),
		"credentials show": first(a.credentialIDs), "credentials delete": first(a.credentialIDs), "breakers reset": first(a.breakerKeys),
	} {
		find(root, path).ValidArgsFunction = a.offered(offer)
	}
	for _, path := range []string{"run", "flows validate"} {
		find(root, path).ValidArgsFunction = files
	}
	statuses := words(runStatuses()...)
	outcomes := make([]string, len(node.OperationStatuses))
	for i, s := range node.OperationStatuses {
		outcomes[i] = string(s)
	}
	for path, flags := range map[string]map[string]completer{
		"runs list":         {"flow": a.flowIDs, "status": statuses},
		"runs show":         {"task": a.taskIDs},
		"runs resolve":      {"as": words("success", "failed", "retry")},
		"logs":              {"flow": a.flowIDs, "run": a.runIDs, "status": words(outcomes...)},
		"render":            {"run": a.runIDs},
		"credentials store": {"type": words(engine.CredentialTypeNames()...), "credential-id": a.credentialIDs},
	} {
		for name, offer := range flags {
			if err := find(root, path).RegisterFlagCompletionFunc(name, a.offered(offer)); err != nil {
				panic(err) // a flag that there is not: a test asks for every one
			}
		}
	}
	for name, offer := range map[string]completer{"output": words("table", "json"), "color": words("auto", "always", "never")} {
		if err := root.RegisterFlagCompletionFunc(name, a.offered(offer)); err != nil {
			panic(err)
		}
	}
}

// find returns the command of a path below the root.
func find(root *cobra.Command, path string) *cobra.Command {
	c, _, err := root.Find(strings.Fields(path))
	if err != nil || c == root {
		panic("no command " + path)
	}
	return c
}

// offered makes a completer what cobra wants. Whatever goes wrong offers nothing.
func (a *app) offered(offer completer) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if a.start(strings.Fields(c.Annotations[moreFormats])...) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return offer(c, args), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// first offers for the first argument alone.
func first(offer completer) completer {
	return func(c *cobra.Command, args []string) []string {
		if len(args) > 0 {
			return nil
		}
		return offer(c, args)
	}
}

func words(list ...string) completer { return func(*cobra.Command, []string) []string { return list } }

// ask asks the serving node, if there is one.
func (a *app) ask(by func(*bus.Client) error) bool {
	client, found, err := a.connect()
	if err != nil || !found {
		return false
	}
	defer client.Close()
	return by(client) == nil
}

// flowIDs are those of the serving node, or of the files in the folder.
func (a *app) flowIDs(c *cobra.Command, _ []string) (ids []string) {
	var answer struct {
		Flows []engine.FlowInfo `json:"flows"`
	}
	if a.ask(func(n *bus.Client) error { return n.Call(c.Context(), "flow.list", nil, &answer) }) {
		for _, f := range answer.Flows {
			ids = append(ids, string(f.FlowID))
		}
		return ids
	}
	paths, _ := filepath.Glob(filepath.Join(a.cfg.Flows.Dir, "*.toml"))
	for _, path := range paths {
		ids = append(ids, flowIDOf(path))
	}
	slices.Sort(ids)
	return ids
}

// flowIDOf is the id in a flow's file, as far as it can be read; else it is the
// name of the file.
func flowIDOf(path string) string {
	var head struct {
		ID string `toml:"id"`
	}
	data, err := os.ReadFile(path)
	if err != nil || toml.Unmarshal(data, &head) != nil || head.ID == "" {
		return strings.TrimSuffix(filepath.Base(path), ".toml")
	}
	return head.ID
}

// maxOffered bounds the runs that are offered.
const maxOffered = 30

// runIDs are the newest ones.
func (a *app) runIDs(c *cobra.Command, _ []string) []string {
	ids := []string{"last\tthe newest run"}
	var answer bus.RunList
	if a.ask(func(n *bus.Client) error {
		return n.Call(c.Context(), "run.list", bus.ListRuns{Limit: maxOffered}, &answer)
	}) {
		for _, r := range answer.Runs {
			ids = append(ids, string(r.RunID)+"\t"+string(r.FlowID)+", "+string(r.Status))
		}
	}
	return ids
}

// runAndTask offers a run, and behind it its tasks.
func (a *app) runAndTask(c *cobra.Command, args []string) []string {
	switch len(args) {
	case 0:
		return a.runIDs(c, args)
	case 1:
		return a.taskIDs(c, args)
	}
	return nil
}

// taskIDs are the tasks of the run that stands there.
func (a *app) taskIDs(c *cobra.Command, args []string) (ids []string) {
	if len(args) == 0 {
		return nil
	}
	doc := new(engine.RunDoc)
	found := a.ask(func(n *bus.Client) error {
		id, err := n.FindRun(c.Context(), args[0])
		if err == nil {
			doc, err = n.Run(c.Context(), id)
		}
		return err
	})
	if found {
		for i := range doc.Tasks {
			ids = append(ids, string(doc.Tasks[i].TaskID)+"\t"+string(doc.Tasks[i].Status))
		}
	}
	return ids
}

func (a *app) credentialIDs(c *cobra.Command, _ []string) (ids []string) {
	var answer struct {
		Credentials []struct {
			ID   string `json:"credential_id"`
			Type string `json:"type"`
		} `json:"credentials"`
	}
	if a.ask(func(n *bus.Client) error { return n.Admin(c.Context(), "credential.list", nil, &answer) }) {
		for _, k := range answer.Credentials {
			ids = append(ids, k.ID+"\t"+k.Type)
		}
	}
	return ids
}

func (a *app) breakerKeys(c *cobra.Command, _ []string) (keys []string) {
	var answer struct {
		Breakers []struct {
			Key string `json:"key"`
		} `json:"breakers"`
	}
	if a.ask(func(n *bus.Client) error { return n.Call(c.Context(), "breaker.list", nil, &answer) }) {
		for _, b := range answer.Breakers {
			keys = append(keys, b.Key)
		}
	}
	return keys
}
