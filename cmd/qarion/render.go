package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/kvstore"
	"github.com/qarion/qarion/node"
)

// renderFlags are those of render.
type renderFlags struct {
	task, run, date   string
	xcom              []string
	vars              variableFlags
	batch             int64
	item              int
	curl, hooks       bool
	template, context string
	native            bool
}

func (a *app) renderCommand() *cobra.Command {
	var r renderFlags
	c := &cobra.Command{
		Use: "render FLOW", Short: "Show requests as they would be sent, or try a template",
		Long: `Builds the requests of a flow, an id or a file, without sending anything: redacted, and as a line for curl with
secrets as variables of the shell. What upstream tasks would return is given by --xcom, or taken from a run by --run.

With --template it renders that text alone, with the names of --context; --native prints the typed value as JSON.`,
		Example: `  qarion render orders --task create_invoice --var customer=7 --xcom fetch_order='{"id": 8817, "total": 129.9}'
  qarion render flows/orders.toml --task create_invoice --run last --curl
  qarion render --template '{{ user.name | upper }}' --context '{"user": {"name": "Ann"}}'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch given := c.Flags().Changed("template"); {
			case given && len(args) == 1:
				return usageError(errors.New("a flow or --template, not both"))
			case given:
				return a.renderTemplate(c.Context(), &r)
			case len(args) == 0:
				return usageError(errors.New("which flow? qarion render FLOW, or --template '{{ ... }}'"))
			}
			return a.renderFlow(c.Context(), args[0], &r)
		},
	}
	r.vars.add(c)
	f := c.Flags()
	f.StringVar(&r.task, "task", "", "one task alone")
	f.StringArrayVar(&r.xcom, "xcom", nil, "what a task has left, task=JSON")
	f.StringVar(&r.run, "run", "", "take what tasks have left from this run")
	f.IntVar(&r.item, "item", 1, "of a task with for_each: the number of the item")
	f.Int64Var(&r.batch, "batch-id", 1, "the batch id")
	f.StringVar(&r.date, "execution-date", "", "RFC 3339 time (default: now)")
	a.envFlag(c)
	f.BoolVar(&r.curl, "curl", false, "the lines for curl alone")
	f.BoolVar(&r.hooks, "hooks", false, "run the hooks of requests too")
	f.StringVar(&r.template, "template", "", "a template to try; - reads standard input")
	f.StringVar(&r.context, "context", "", "the template's names as a JSON object; - reads standard input")
	f.BoolVar(&r.native, "native", false, "with --template: the typed value as JSON")
	return c
}

// renderTemplate renders one template.
func (a *app) renderTemplate(ctx context.Context, r *renderFlags) error {
	if r.template == "-" && r.context == "-" {
		return usageError(errors.New("only one of --template and --context can be standard input"))
	}
	source, err := a.orStdin(r.template)
	if err != nil {
		return err
	}
	text, err := a.orStdin(r.context)
	if err != nil {
		return err
	}
	vars := jinja.MapVars{}
	if strings.TrimSpace(text) != "" {
		v, err := value.ParseJSON([]byte(text))
		m, ok := v.(*value.Map)
		if err != nil || !ok {
			return usageError(fmt.Errorf("--context is not a JSON object%s", jsonNote([]byte(text), err)))
		}
		for k, e := range m.All() {
			vars[k] = jinja.Var{Value: e, Origin: value.Response}
		}
	}
	tpl, err := jinja.Parse("template", source)
	if err != nil {
		return fail(err)
	}
	if r.native {
		got, err := tpl.Value(ctx, vars)
		if err != nil {
			return fail(named(err))
		}
		line, err := value.JSON(got.Value)
		if err != nil {
			return fail(fmt.Errorf("template: the value is no JSON: %w", err))
		}
		_, err = fmt.Fprintf(a.ui.out, "%s\n", line)
		return err
	}
	got, err := tpl.Text(ctx, vars)
	if err != nil {
		return fail(named(err))
	}
	_, err = fmt.Fprintln(a.ui.out, got.Value)
	return err
}

// named adds what there is to an error about a name that is not.
func named(err error) error {
	var u *jinja.UndefinedError
	if errors.As(err, &u) && len(u.Available) > 0 {
		return fmt.Errorf("%w (there are: %s)", err, strings.Join(u.Available, ", "))
	}
	return err
}

func jsonNote(text []byte, err error) string {
	if err == nil {
		return ""
	}
	return jsonPlace(text, err)
}

// orStdin is a flag's text, or standard input for "-".
func (a *app) orStdin(text string) (string, error) {
	if text != "-" {
		return text, nil
	}
	data, err := io.ReadAll(io.LimitReader(a.ui.in, engine.MaxTemplateValue))
	return string(data), err
}

// renderFlow shows the requests of a flow.
func (a *app) renderFlow(ctx context.Context, name string, r *renderFlags) error {
	s, err := a.renderSession(ctx, r)
	if err != nil {
		return err
	}
	if s != nil {
		defer s.Close()
	}
	types, done, err := a.openTypes(apicall.Config{Credentials: standIns{s}, PreviewHooks: r.hooks})
	if err != nil {
		return err
	}
	defer done()
	flow, err := a.findFlow(name, types)
	if err != nil {
		return err
	}
	input, err := a.renderInput(ctx, s, flow, r)
	if err != nil {
		return err
	}
	shown := []*engine.Preview{}
	var failed []error
	silent := ""
	for i := range flow.Tasks {
		task := &flow.Tasks[i]
		if r.task != "" && string(task.ID) != r.task {
			continue
		}
		program, problems := types[task.Type].Prepare(flow, task)
		if wrong := engine.Refused(problems); wrong != nil {
			return fail(fmt.Errorf("task %s: %s", task.ID, wrong.Message))
		}
		shows, ok := program.(engine.Previewer)
		if !ok {
			silent = task.Type
			continue
		}
		in := input(task)
		err := renderItem(ctx, task, in, r.item)
		var p *engine.Preview
		if err == nil {
			p, err = shows.Preview(ctx, in)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("task %s: %w%s", task.ID, err, xcomHint(err, task)))
			continue
		}
		shown = append(shown, p)
	}
	if r.task != "" && silent != "" {
		return fail(fmt.Errorf("task %s of type %s sends nothing: try its templates with --template", r.task, silent))
	}
	if r.task != "" && len(shown)+len(failed) == 0 {
		return fail(fmt.Errorf("flow %s has no task %q%s", flow.ID, r.task, nearestTask(flow, r.task)))
	}
	if line := environmentLine(flow); line != "" && !a.json() {
		w := a.ui.out
		if r.curl {
			w = a.ui.err
		}
		fmt.Fprintf(w, "%s\n\n", line)
	}
	if err := a.printPreviews(shown, r.curl); err != nil {
		return err
	}
	if len(failed) == 0 {
		return nil
	}
	for _, err := range failed[:len(failed)-1] {
		a.ui.problem("error", err)
	}
	return fail(failed[len(failed)-1])
}

// renderItem gives the input of a task with for_each its item.
func renderItem(ctx context.Context, task *engine.Task, in *engine.TaskInput, number int) error {
	if task.ForEach == "" {
		return nil
	}
	tpl, err := jinja.Parse("for_each", task.ForEach)
	if err != nil {
		return err
	}
	list, err := engine.EachItem(ctx, tpl, in)
	if err != nil {
		return err
	}
	n := task.Batches(list.Len())
	if err := engine.CheckItemCount(n); err != nil {
		return err
	}
	v, ok := list.Item(number-1, task.Batch)
	if !ok {
		return fmt.Errorf("for_each: there is no item %d: the list has %d", number, n)
	}
	in.SetItem(engine.ItemInput{Value: v, Origin: list.Origin, Index: number, Total: n})
	return nil
}

func nearestTask(flow *engine.Flow, got string) string {
	var names []string
	for i := range flow.Tasks {
		names = append(names, string(flow.Tasks[i].ID))
	}
	if near := engine.Nearest(got, names); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return " (there are: " + strings.Join(names, ", ") + ")"
}

// xcomHint says which flag gives a value that is missing.
func xcomHint(err error, task *engine.Task) string {
	for _, d := range task.Dependencies {
		if strings.Contains(err.Error(), "xcom_"+d.TemplateName()+" is undefined") {
			if slices.Contains(task.Secrets, d) {
				return fmt.Sprintf("; %s is sensitive, so what it left is not taken from a run; give something in its place: --xcom %s='{...}'", d, d)
			}
			return fmt.Sprintf("; give it: --xcom %s='{...}' or --run last", d)
		}
	}
	return ""
}

// renderSession connects where render needs what is stored: the values of a
// run, or credentials. nil: nothing is there.
func (a *app) renderSession(ctx context.Context, r *renderFlags) (*session, error) {
	c, found, err := a.connect()
	if err != nil {
		return nil, err
	}
	if found {
		return &session{Client: c}, nil
	}
	if _, err := os.Stat(filepath.Join(a.cfg.DataDir, "nats")); err != nil && r.run == "" {
		return nil, nil
	}
	return a.anyNode(ctx)
}

// findFlow loads a flow by its file or its id.
func (a *app) findFlow(name string, types flowfile.Types) (*engine.Flow, error) {
	loader, err := a.loader(types)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(name); err == nil && !info.IsDir() || strings.HasSuffix(name, ".toml") {
		return a.loadFlow(name, types)
	}
	if strings.ContainsRune(name, filepath.Separator) || strings.Contains(name, "/") {
		return a.loadFlow(name+".toml", types)
	}
	d, err := loader.LoadDir(a.cfg.Flows.Dir)
	if err != nil {
		return nil, fail(fmt.Errorf("no flow %q: there is neither a file of that name nor a folder %s/", name, a.cfg.Flows.Dir))
	}
	var names []string
	for _, f := range d.Flows {
		if string(f.ID) == name {
			return f, a.refuse(a.strays(loader.Environment, d, false))
		}
		names = append(names, string(f.ID))
	}
	text := fmt.Sprintf("no flow %q in %s/", name, a.cfg.Flows.Dir)
	if why := d.LeftOut(filepath.ToSlash(filepath.Join(a.cfg.Flows.Dir, name+".toml"))); why != "" {
		return nil, fail(fmt.Errorf("no flow %q: %s", name, why))
	}
	if near := engine.Nearest(name, names); near != "" {
		text += fmt.Sprintf(" (did you mean %q?)", near)
	}
	return nil, fail(errors.New(text))
}

// renderInput reads the flags, and returns how a task's input is made.
func (a *app) renderInput(ctx context.Context, s *session, flow *engine.Flow, r *renderFlags) (func(*engine.Task) *engine.TaskInput, error) {
	given, err := r.vars.read(a.ui.in, flow)
	if err != nil {
		return nil, err
	}
	if err := engine.CheckVariables(flow, given); err != nil {
		return nil, fail(err)
	}
	variables := new(value.Map)
	if len(given) > 0 {
		if err := variables.UnmarshalJSON(given); err != nil {
			return nil, err
		}
	}
	at := time.Now()
	if r.date != "" {
		if at, err = time.Parse(time.RFC3339, r.date); err != nil {
			return nil, usageError(fmt.Errorf("--execution-date is %q, want a time such as 2026-11-23T12:00:00Z", r.date))
		}
	}
	values := map[engine.TaskID]any{}
	if r.run != "" {
		if err := a.valuesOf(ctx, s, flow, r.run, values); err != nil {
			return nil, err
		}
	}
	for _, kv := range r.xcom {
		task, text, ok := strings.Cut(kv, "=")
		v, err := value.ParseJSON([]byte(text))
		if !ok || err != nil {
			return nil, usageError(fmt.Errorf("--xcom %s: want task=JSON, such as fetch_order='{\"id\": 1}'", task))
		}
		values[engine.TaskID(task)] = v
	}
	run := engine.DeriveRunID(at, "render", 0)
	return func(task *engine.Task) *engine.TaskInput {
		in := engine.NewTaskInput(flow, task, variables, values)
		in.Key.Run, in.BatchID, in.ExecutionDate = run, r.batch, at
		if task.ReadsRun {
			in.SetRunSoFar(engine.SampleRun(flow))
		}
		return in
	}, nil
}

// valuesOf takes what the tasks of a run have left.
func (a *app) valuesOf(ctx context.Context, s *session, flow *engine.Flow, ref string, values map[engine.TaskID]any) error {
	id, err := s.FindRun(ctx, ref)
	if err != nil {
		return refused2(err)
	}
	for i := range flow.Tasks {
		var text json.RawMessage
		task := flow.Tasks[i].ID
		ref := bus.XComRef{Run: string(id), Task: string(task)}
		content, err := s.XCom(ctx, ref)
		if err != nil {
			continue // it left none, or it is sensitive
		}
		if content.Bytes {
			values[task] = &value.Bytes{
				Name: "xcom_" + task.TemplateName(), ContentType: content.ContentType, Size: content.Size, SHA256: content.SHA256, Open: content.Open,
			}
			continue
		}
		if err := s.Call(ctx, "xcom.get", ref, &text); err != nil {
			return fmt.Errorf("read what %s has left: %w", task, err)
		}
		v, err := value.ParseJSON(text)
		if err != nil {
			return fmt.Errorf("read what %s has left: %w", task, err)
		}
		values[task] = v
	}
	return nil
}

// standIns are the stored credentials with names in place of their secrets,
// which never leave the store for this.
type standIns struct{ s *session }

// Get implements apicall.CredentialStore.
func (c standIns) Get(ctx context.Context, id string) (engine.Credential, error) {
	if c.s == nil {
		return engine.Credential{}, engine.ErrNotFound
	}
	var info kvstore.CredentialInfo
	if err := c.s.Admin(ctx, "credential.show", node.CredentialInput{ID: id}, &info); err != nil {
		return engine.Credential{}, engine.ErrNotFound
	}
	if info.Error != "" {
		return engine.Credential{}, errors.New(info.Error)
	}
	return apicall.StandIn(engine.Credential{ID: id, Type: info.Type, Data: info.Data}), nil
}

func (a *app) printPreviews(list []*engine.Preview, curl bool) error {
	if a.json() {
		return a.printJSON(list)
	}
	w := a.ui.out
	for i, p := range list {
		if curl {
			if p.Curl != "" {
				fmt.Fprintln(w, p.Curl)
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		if p.Database != "" {
			a.printStatements(p)
			continue
		}
		fmt.Fprintf(w, "%s: 1 request, nothing is sent\n\n%s %s\n", p.Task, p.Method, p.URL)
		for _, h := range p.Headers {
			note := ""
			if h.Note != "" {
				note = a.ui.paint("  "+h.Note, dim)
			}
			fmt.Fprintf(w, "%s: %s%s\n", h.Name, h.Value, note)
		}
		if p.Body != "" {
			fmt.Fprintf(w, "\n%s\n", printable(p.Body))
		}
		if p.Hook != "" {
			fmt.Fprintf(w, "\n%s\n", a.ui.paint(p.Hook, dim))
		}
		fmt.Fprintf(w, "\n%s\n\n%s\n", p.Curl, p.Policy)
	}
	return nil
}

// printStatements shows what a task would run on a database.
func (a *app) printStatements(p *engine.Preview) {
	w := a.ui.out
	fmt.Fprintf(w, "%s: %s on %s, nothing is run\n", p.Task, plural(len(p.Statements), "statement"), p.Database)
	for _, st := range p.Statements {
		fmt.Fprintf(w, "\n%s\n", printable(st.SQL))
		for _, v := range st.Parameters {
			fmt.Fprintf(w, "  :%s = %s\n", v.Name, printable(v.Value))
		}
	}
	fmt.Fprintf(w, "\n%s\n", p.Policy)
}
